"""What BMN-BSN is trained on."""

from __future__ import annotations

import numpy as np
import pytest

from bench.scenes.scene import PictureBank
from export.models.request import ModelRequest
from export.training.samples import RenderedSequences
from export.training.samples.scenes import TrainingSample, frames_of, sequence_samples
from export.training.stream.workers import Sample, rendered

SIZE = (64, 80)
CUE = ModelRequest(model="bmn-bsn", weights="random").cue


@pytest.fixture(scope="module")
def sequences() -> list[list[TrainingSample]]:
    bank = PictureBank.open(images=None)
    return [sequence_samples(CUE, 5, index, SIZE, bank) for index in range(8)]


def test_a_sample_is_a_frame_the_planes_of_its_references_and_labels(
    sequences: list[list[TrainingSample]],
) -> None:
    for samples in sequences:
        for sample in samples:
            assert (sample.frame.shape, sample.cue.shape) == ((*SIZE, 3), (48, *SIZE))
            assert sample.cue.dtype == np.uint8
            assert set(np.unique(sample.labels)) <= {0, 50, 170, 255}


def test_samples_of_a_sequence_share_their_references_also_through_a_process(
    sequences: list[list[TrainingSample]],
) -> None:
    assert all(sample.cue is sequences[0][0].cue for sample in sequences[0])
    found = rendered(RenderedSequences(cue=CUE, size=SIZE), 5, 0, 1)
    try:
        _, samples = next(found)
    finally:
        found.close()  # type: ignore[attr-defined]
    first: Sample = samples[0]
    assert all(sample[1] is first[1] for sample in samples)
    assert first[1].dtype == np.uint8


def test_some_scenes_were_seen_for_a_moment_only_and_frames_are_repeated(
    sequences: list[list[TrainingSample]],
) -> None:
    different = [len({frame.tobytes() for frame in frames_of(samples[0].cue)}) for samples in sequences]
    assert max(different) == 16
    assert min(different) < 16


def test_the_same_sequence_is_the_same_bytes(sequences: list[list[TrainingSample]]) -> None:
    again = sequence_samples(CUE, 5, 2, SIZE, PictureBank.open(images=None))
    assert np.array_equal(again[0].cue, sequences[2][0].cue)
    assert np.array_equal(again[3].frame, sequences[2][3].frame)
