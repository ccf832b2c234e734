"""The cue of edge with the flow of a network in place of DIS."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import pytest

from edgebs.bundle.manifest import CueSettings
from edgebs.cues import open_cue
from edgebs.cues.hop import DisVectors
from edgebs.errors import BundleError
from edgebs.tensors import Array, Frame, TensorSpec

SIZE = (64, 96)
INTERVALS = (1, 3)
FRAME = TensorSpec((1, *SIZE, 3), "uint8")


class DisNetwork:
    """A cue network that computes what DIS does, and keeps what it was fed; the array is reused."""

    def __init__(self) -> None:
        self.inputs: Mapping[str, TensorSpec] = dict.fromkeys(("frame", "past_1", "past_3"), FRAME)
        self.outputs: Mapping[str, TensorSpec] = {"flow": TensorSpec((1, 4, *SIZE), "float32")}
        self.description = "DIS as a network"
        self.fed: Mapping[str, Array] = {}
        self.closed = 0
        self._dis = DisVectors("fine")
        self._out = np.zeros((1, 4, *SIZE), np.float32)

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        for name, spec in self.inputs.items():
            spec.check(name, feed[name])
        self.fed = feed
        grey = [cv2.cvtColor(feed[name][0], cv2.COLOR_BGR2GRAY) for name in self.inputs]
        flows = self._dis.vectors(np.asarray(grey[0], np.uint8), [np.asarray(past) for past in grey[1:]])
        for index, flow in enumerate(flows):
            self._out[0, 2 * index : 2 * index + 2] = flow.transpose(2, 0, 1)
        return {"flow": self._out}

    def close(self) -> None:
        self.closed += 1


def settings(provider: str) -> CueSettings:
    return CueSettings(
        kind="hop-background", provider=provider, intervals=INTERVALS, max_magnitude=10.0, nominal_fps=25.0,
        preset="fine" if provider == "dis" else "",
    )  # fmt: skip


def scene(t: int) -> Frame:
    """A block of 16 pixels that walks a pixel a frame, seen by a camera that shakes."""
    coarse = np.random.default_rng(0).integers(0, 256, (20, 28, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (140, 100), interpolation=cv2.INTER_CUBIC)
    picture[40:56, 30 + t : 46 + t] = picture[:16, :16][::-1]
    right, down = (t * 7) % 5, (t * 3) % 4
    return np.ascontiguousarray(picture[10 + down : 74 + down, 10 + right : 106 + right])


def test_vectors_that_are_those_of_dis_give_the_cue_of_dis() -> None:
    network = DisNetwork()
    by_dis, by_network = open_cue(settings("dis"), SIZE, None), open_cue(settings("net"), SIZE, network)
    assert by_network.description.startswith("DIS as a network, and two median")
    for t in range(20):
        expected, found = (cue.update(scene(t), t / 25) for cue in (by_dis, by_network))
        assert expected.warming_up == found.warming_up
        np.testing.assert_array_equal(found.tensors["cue"], expected.tensors["cue"])
    still = found.tensors["cue"][0, 0, 50:, :]
    raw = np.hypot(network._out[0, 0], network._out[0, 1])[50:]
    assert np.median(raw) > 1
    assert np.median(still) < 0.3


def test_the_network_is_fed_the_frames_in_colour_and_each_interval_its_own() -> None:
    network = DisNetwork()
    cue = open_cue(settings("net"), SIZE, network)
    for t in range(6):
        cue.remember(scene(t), t / 25) if t < 5 else cue.update(scene(t), t / 25)
    for name, t in (("frame", 5), ("past_1", 4), ("past_3", 2)):
        np.testing.assert_array_equal(network.fed[name][0], scene(t))


def test_closing_the_cue_closes_the_network() -> None:
    network = DisNetwork()
    cue = open_cue(settings("net"), SIZE, network)
    cue.close()
    assert network.closed == 1


def test_a_network_of_magnitudes_or_of_other_intervals_is_refused() -> None:
    network = DisNetwork()
    network.outputs = {"cue": TensorSpec((1, 2, *SIZE), "float32")}
    with pytest.raises(BundleError, match=r"provider 'net' gives \['cue'\], not the flow over 2 intervals"):
        open_cue(settings("net"), SIZE, network)
    network.outputs = {"flow": TensorSpec((1, 6, *SIZE), "float32")}
    with pytest.raises(BundleError, match="flow over 2 intervals"):
        open_cue(settings("net"), SIZE, network)
    with pytest.raises(BundleError, match="needs a cue network, and the bundle has none"):
        open_cue(settings("net"), SIZE, None)
