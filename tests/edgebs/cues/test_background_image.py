"""The background image in bands: what the network says of the same 245 frames, and what comes before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgebs.bundle.manifest import CueSettings
from edgebs.cues.background_image import BackgroundImage, band_rows
from edgebs.errors import BundleError
from edgebs.tensors import Array, Frame, TensorSpec

pytest.importorskip("torch", reason="needs pip install 'edgebs[export]'")
import torch

from export.models.weights import init_weights
from export.networks.cdn_gm import BLOCK, FRAMES, CdnGm, SeriesGraph, StepGraph

SIZE = (20, 6)
SETTINGS = CueSettings(
    kind="background-image",
    provider="cdn-gm",
    intervals=(),
    max_magnitude=255.0,
    nominal_fps=25.0,
    maps=3,
    references=FRAMES,
)


class Network:
    """The step in PyTorch, behind the seam of an engine; its results are reused, as an engine's may be."""

    description = "PyTorch"

    def __init__(self, rows: int, width: int, dtype: str = "float32") -> None:
        self.network = CdnGm().eval()
        init_weights(self.network, 1)
        self._graph = StepGraph(self.network)
        size = (BLOCK * rows, width)
        self.inputs: Mapping[str, TensorSpec] = {
            name: spec if name == "frames" else replace(spec, dtype=dtype)
            for name, spec in self._graph.inputs(size).items()
        }
        self.outputs: Mapping[str, TensorSpec] = self._graph.outputs(size)
        self._results = {name: np.zeros(spec.shape, np.float32) for name, spec in self.outputs.items()}
        self.runs, self.is_closed = 0, False

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        self.runs += 1
        for name, spec in self.inputs.items():
            spec.check(name, feed[name])
        with torch.no_grad():
            found = self._graph(*(torch.from_numpy(feed[name]) for name in self.inputs))
        for name, tensor in zip(StepGraph.output_names, found, strict=True):
            np.copyto(self._results[name], tensor.numpy())
        return self._results

    def close(self) -> None:
        self.is_closed = True

    def background(self, series: Array) -> Array:
        """Of (245, h, w, 3) uint8: the definition, (3, h, w)."""
        with torch.no_grad():
            found: Array = SeriesGraph(self.network)(torch.from_numpy(series[np.newaxis])).numpy()
        return found[0]


def opened(
    size: tuple[int, int] = SIZE, dtype: str = "float32", **changes: Any
) -> tuple[BackgroundImage, Network]:
    network = Network(band_rows(size[0]), size[1], dtype)
    return BackgroundImage(replace(SETTINGS, **changes), size, network), network


def frames(count: int, size: tuple[int, int] = SIZE) -> Frame:
    return np.random.default_rng(count).integers(0, 256, (count, *size, 3)).astype(np.uint8)


def last_row_of_turn(turn: int, size: tuple[int, int] = SIZE) -> list[int]:
    """Rows whose background is from the step of `turn`, where a later band overlaps an earlier one."""
    rows = band_rows(size[0])
    top = min(turn * rows, size[0] - rows)
    return [row for row in range(top, top + rows) if turn == BLOCK - 1 or row < (size[0] - rows)]


@pytest.mark.parametrize("extra", [0, 3, 60])
def test_every_band_holds_the_networks_answer_for_the_245_frames_up_to_its_turn(extra: int) -> None:
    cue, network = opened()
    seen = frames(FRAMES + 2 * BLOCK + extra)
    for frame in seen:
        found = cue.update(frame, None).tensors["cue"][0]
    for turn in range(BLOCK - 1):
        ago = (len(seen) - turn) % BLOCK
        end = len(seen) - ago
        expected = network.background(seen[end - FRAMES : end])
        rows = last_row_of_turn(turn)
        assert np.abs(found[:, rows] - expected[:, rows]).max() / 255 < 1e-5
    assert found.std() > 1


def test_while_frames_are_missing_those_seen_stand_in_for_them() -> None:
    cue, network = opened()
    seen = frames(3)
    for frame in seen:
        found = cue.update(frame, None).tensors["cue"][0]
    # The third frame is the turn of the fourth band; its seven frames repeat the three.
    block = seen[[(age % 3) - 3 for age in range(-7, 0)]]
    expected = network.background(np.tile(block, (FRAMES // BLOCK, 1, 1, 1)))
    rows = last_row_of_turn(3)
    assert np.abs(found[:, rows] - expected[:, rows]).max() / 255 < 1e-5


def test_the_first_frame_is_its_own_background_until_its_rows_have_their_turn() -> None:
    cue, _ = opened()
    seen = frames(1)
    found = cue.update(seen[0], None).tensors["cue"][0]
    rows = last_row_of_turn(5)
    assert (found[:, rows] == seen[0].transpose(2, 0, 1)[:, rows]).all()


def test_every_frame_costs_one_step_once_each_band_has_had_its_first() -> None:
    cue, network = opened()
    for frame in frames(BLOCK):
        cue.update(frame, None)
    before = network.runs
    for frame in frames(20):
        cue.remember(frame, None)
    assert network.runs - before == 20


def test_it_warms_up_for_245_frames() -> None:
    cue, _ = opened()
    warm = [cue.update(frame, None).warming_up for frame in frames(FRAMES + 1)]
    assert warm == [True] * (FRAMES - 1) + [False] * 2


def test_a_reset_forgets_everything() -> None:
    (cue, _), (fresh, _) = opened(), opened()
    for frame in frames(20):
        cue.update(frame, None)
    cue.reset()
    for frame in frames(12):
        found, expected = cue.update(frame, None), fresh.update(frame, None)
        assert (found.tensors["cue"] == expected.tensors["cue"]).all()
    assert found.warming_up


def test_a_clock_that_jumps_back_starts_another_scene() -> None:
    (cue, _), (fresh, _) = opened(), opened()
    for t, frame in enumerate(frames(20)):
        cue.update(frame, 100 + t / 25)
    for t, frame in enumerate(frames(4)):
        found, expected = cue.update(frame, t / 25), fresh.update(frame, t / 25)
    assert (found.tensors["cue"] == expected.tensors["cue"]).all()


def test_with_a_spacing_frames_are_taken_closely_at_first_and_sparsely_later() -> None:
    cue, network = opened(references=10, spacing_s=0.2)
    taken = []
    for t, frame in enumerate(frames(200, SIZE)):
        before = network.runs
        cue.remember(frame, t / 25)
        if network.runs > before:
            taken.append(t)
    assert taken[:5] == [0, 1, 2, 3, 4]
    assert set(np.diff(taken)[-10:]) == {5}


def test_halved_rings_cost_half_the_memory_and_little_of_a_grey_level() -> None:
    (cue, _), (half, _) = opened(), opened(dtype="float16")
    for frame in frames(60):
        expected, found = cue.update(frame, None).tensors["cue"], half.update(frame, None).tensors["cue"]
    difference = np.abs(found - expected)
    assert np.quantile(difference, 0.99) < 0.5
    past = BLOCK * np.prod(SIZE) * 3
    assert half.nbytes - past == (cue.nbytes - past) / 2


def test_what_is_saved_is_the_image_and_a_restart_begins_with_it() -> None:
    (cue, _), (later, network) = opened(), opened()
    assert cue.background() == {}
    for frame in frames(30):
        found = cue.update(frame, None).tensors["cue"][0]
    later.restore(cue.background())
    again = later.update(frames(1)[0], None)
    turn = (FRAMES + 1) % BLOCK
    untouched = [row for row in range(SIZE[0]) if row not in last_row_of_turn(turn)]
    assert (again.tensors["cue"][0][:, untouched] == found[:, untouched]).all()
    assert not again.warming_up
    # Where one frame came, the image still fills the rest of the series.
    shown = np.rint(found).astype(np.uint8).transpose(1, 2, 0)
    series = np.stack([*[shown] * (FRAMES - 1), frames(1)[0]])
    rows = last_row_of_turn(turn)
    expected = network.background(series)[:, rows]
    assert np.abs(again.tensors["cue"][0][:, rows] - expected).max() / 255 < 1e-5


def test_frozen_it_takes_no_frame_and_outlives_a_reset() -> None:
    cue, network = opened()
    for frame in frames(20):
        before = cue.update(frame, None).tensors["cue"].copy()
    cue.freeze(True)
    runs = network.runs
    cue.reset()
    assert (cue.update(frames(1)[0], None).tensors["cue"] == before).all()
    assert network.runs == runs
    cue.freeze(False)
    cue.update(frames(1)[0], None)
    assert network.runs == runs + 1


@pytest.mark.parametrize("image", [np.zeros((3, 4, 4), np.float32), np.full((3, *SIZE), np.nan, np.float32)])
def test_an_image_that_cannot_be_one_is_refused(image: Array) -> None:
    cue, _ = opened()
    with pytest.raises(ValueError, match="image float32"):
        cue.restore({"image": image})


@pytest.mark.parametrize(("size", "megabytes"), [((240, 320), 67), ((480, 640), 132)])
def test_it_keeps_what_the_model_card_says(size: tuple[int, int], megabytes: int) -> None:
    dtype = StepGraph(CdnGm()).inputs(size)["sums"].dtype
    cue, _ = opened(size, dtype)
    frames_bytes = BLOCK * size[0] * size[1] * 3
    assert round((cue.nbytes - frames_bytes) / 1e6) == megabytes


def test_closing_closes_the_network() -> None:
    cue, network = opened()
    cue.close()
    assert network.is_closed


def test_a_network_for_another_size_is_refused() -> None:
    with pytest.raises(BundleError, match=r"a background image of 6x30 .* needs .*Export the bundle again"):
        BackgroundImage(SETTINGS, (30, 6), Network(band_rows(20), 6))
