"""What was found in a frame reaches the cue of the frame LAG_FRAMES later, however fast the stages are."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from fakes.networks.backends import SIZE, FakeCue, FakeSegment, fake_manifest
from fakes.video.views import settings

from edgebs.cues.held import LAG_FRAMES, Feedback
from edgebs.cues.hop_background import HopBackground
from edgebs.nvidia.cues import HostCues
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array, Frame, TensorSpec


class ListeningCue(FakeCue):
    """Writes down the blue channel of the frame whose probability it hears, None for none."""

    def __init__(self, is_hearing: bool = True) -> None:
        super().__init__()
        self.is_hearing = is_hearing
        self.heard: list[int | None] = []

    def hear(self, probability: Array | None) -> None:
        self.heard.append(None if probability is None else round(255 * float(probability[0, 0])))


class SlowSegment(FakeSegment):
    """Every third frame takes long, so that the other stage runs ahead as far as it may."""

    calls = 0

    def infer(self, feed: dict[str, Array]) -> dict[str, Array]:  # type: ignore[override]
        self.calls += 1
        time.sleep(0.02 if self.calls % 3 == 0 else 0.0)
        return dict(super().infer(feed))


def frames(count: int) -> list[Frame]:
    return [np.full((*SIZE, 3), 100 + t, np.uint8) for t in range(count)]


WANTED = [None] * LAG_FRAMES + [100 + t for t in range(12 - LAG_FRAMES)]


def test_a_cue_hears_the_same_whether_the_stages_overlap_or_not() -> None:
    cue = ListeningCue()
    with Pipeline(fake_manifest(), SlowSegment(), cue) as pipeline:
        for frame in frames(12):
            pipeline.process(frame)
        assert cue.heard == WANTED
        for _ in range(3):
            cue.heard.clear()
            assert len(list(pipeline.run(iter(frames(12))))) == 12
            assert cue.heard == WANTED


def test_a_remembered_frame_was_not_segmented_and_a_reset_forgets_what_is_on_its_way() -> None:
    cue = ListeningCue()
    with Pipeline(fake_manifest(), FakeSegment(), cue) as pipeline:
        pipeline.process(frames(1)[0])
        pipeline.remember(frames(2)[1], None)
        for frame in frames(6)[2:]:
            pipeline.process(frame)
        assert cue.heard == [None, None, None, 100, None, 102]
        pipeline.reset()
        cue.heard.clear()
        for frame in frames(4):
            pipeline.process(frame)
        assert cue.heard == [None, None, None, 100]


def test_a_frame_whose_segmentation_fails_is_heard_as_none() -> None:
    cue = ListeningCue()
    unlucky = np.full((*SIZE, 3), 13, np.uint8)
    with Pipeline(fake_manifest(), FakeSegment(), cue) as pipeline:
        with pytest.raises(ArithmeticError):
            pipeline.process(unlucky)
        for frame in frames(4):
            pipeline.process(frame)
    assert cue.heard == [None, None, None, None, 100]


def test_a_cue_that_does_not_listen_costs_no_copy() -> None:
    for cue in (FakeCue(), ListeningCue(is_hearing=False)):
        feedback = Feedback(cue)
        number = feedback.before_frame()
        feedback.found(number, np.zeros(SIZE, np.float32))
        assert not feedback._found
    assert cue.heard == []


def test_what_is_heard_is_a_copy_and_is_dropped_once_heard() -> None:
    feedback = Feedback(ListeningCue())
    buffer = np.zeros(SIZE, np.float32)
    for t in range(50):
        number = feedback.before_frame()
        buffer[:] = t / 255
        feedback.found(number, buffer)
        assert len(feedback._found) <= LAG_FRAMES
    assert feedback._cue.heard[-1] == 49 - LAG_FRAMES  # type: ignore[union-attr]


class FakeSlot:
    """A slot of the device without memory."""

    def __init__(self, slot_id: int) -> None:
        self.slot_id, self.host = slot_id, {}


def test_on_the_device_each_camera_hears_its_own() -> None:
    listening = [ListeningCue(), ListeningCue()]
    cues = HostCues(listening)  # type: ignore[arg-type]
    pictures = frames(12)
    for t in range(5):
        cues.before_upload(FakeSlot(t), [pictures[t], pictures[t + 6]], [None, None])  # type: ignore[arg-type]
        found = np.stack([np.full(SIZE, level / 255, np.float32) for level in (10 + t, 20 + t)])
        cues.found(t, found)
    # A run with a given cue is no frame of the stream.
    cues.found(99, found)
    assert [cue.heard for cue in listening] == [[None, None, None, 10, 11], [None, None, None, 20, 21]]
    cues.clear()
    cues.remember(pictures[0], None)
    assert listening[0].heard[-1] is None


class DifferenceSegment:
    """Probability = the difference from the background, so that what is held changes what is found."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.inputs = {
            "frame": TensorSpec((1, *size, 3), "uint8"),
            "cue": TensorSpec((1, 11, *size), "float32"),
        }
        self.outputs = {"probability": TensorSpec((1, *size), "float32")}
        self.description = "difference"
        self._calls = 0

    def infer(self, feed: dict[str, Array]) -> dict[str, Array]:
        self._calls += 1
        time.sleep(0.01 if self._calls % 4 == 0 else 0.0)
        frame = feed["frame"].astype(np.float32).transpose(0, 3, 1, 2)
        return {"probability": np.abs(frame - feed["cue"][:, 3:6]).max(axis=1).clip(0, 100) / 100}

    def close(self) -> None:
        pass


def probabilities(hold: float, *, overlapping: bool) -> Array:
    size = (64, 64)
    cue = settings(hold=hold)
    facts = replace(fake_manifest().networks["segment"], inputs=DifferenceSegment(size).inputs)
    manifest = fake_manifest(size=size, cue=cue, networks={"segment": facts})
    ground = np.random.default_rng(0).integers(80, 120, (*size, 3)).astype(np.uint8)
    shown = []
    for t in range(60):
        shown.append(ground.copy())
        if t >= 20:
            shown[-1][20:40, 20:36] = 230
    with Pipeline(manifest, DifferenceSegment(size), HopBackground(cue, size)) as pipeline:
        if overlapping:
            return np.stack([result.probability for result in pipeline.run(iter(shown))])
        return np.stack([pipeline.process(frame).probability for frame in shown])


def test_masks_are_the_same_bits_whether_the_stages_overlap_or_not() -> None:
    sequential = probabilities(0.6, overlapping=False)
    assert np.array_equal(sequential, probabilities(0.6, overlapping=True))
    # And holding does change them: without it the block has faded where it stands.
    plain = probabilities(0.0, overlapping=False)
    assert plain[45, 30, 28] < 0.1 < 0.9 < sequential[45, 30, 28]
