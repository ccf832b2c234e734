"""Rendered sequences as the runtime's cue sees them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench import scenes as seeds
from bench.scenes.scene import PictureBank, Scene
from edgebs.cues.background import OLDER_SAMPLES, SAMPLES, WINDOW_S, MedianBackground
from export.feeds import Sample, scene_feeds, segment_feeds
from export.models.request import ModelRequest
from export.training.samples.scenes import (
    COLD_SAMPLES,
    STAYING,
    WARM_SAMPLES,
    TrainingSample,
    kept_times,
    older_times,
    sequence_samples,
)

SIZE = (64, 64)
CUE = ModelRequest(model="edge", weights="random").cue


@pytest.fixture(scope="module")
def bank() -> PictureBank:
    return PictureBank.open(images=None)


@pytest.fixture(scope="module")
def sequences(bank: PictureBank) -> list[list[TrainingSample]]:
    return [sequence_samples(CUE, 7, index, SIZE, bank) for index in range(12)]


def test_samples_are_frame_cue_and_labels_of_one_size(sequences: list[list[TrainingSample]]) -> None:
    for samples in sequences:
        assert len(samples) == len(COLD_SAMPLES) == len(WARM_SAMPLES)
        for sample in samples:
            assert (sample.frame.shape, sample.frame.dtype) == ((*SIZE, 3), np.uint8)
            assert (sample.cue.shape, sample.cue.dtype) == ((11, *SIZE), np.float16)
            assert sample.labels.shape == SIZE
            assert set(np.unique(sample.labels)) <= {0, 50, 170, 255}
            assert np.isfinite(sample.cue).all()


def test_the_same_sequence_is_the_same_bytes_and_another_one_is_not(
    bank: PictureBank, sequences: list[list[TrainingSample]]
) -> None:
    again = sequence_samples(CUE, 7, 3, SIZE, bank)
    for first, second in zip(sequences[3], again, strict=True):
        assert (first.frame == second.frame).all()
        assert (first.cue == second.cue).all()
        assert (first.labels == second.labels).all()
    assert (sequences[3][0].frame != sequences[4][0].frame).any()


def test_some_scenes_start_cold_and_others_have_been_watched(sequences: list[list[TrainingSample]]) -> None:
    ages = np.array([[float(sample.cue[7, 0, 0]) for sample in samples] for samples in sequences])
    assert (np.diff(ages, axis=1) >= 0).all()
    assert (ages[:, 0] < 40).any()
    assert (ages[:, 0] > 150).any()


def stayed_px(sequences: list[list[TrainingSample]]) -> int:
    """Foreground that the median already shows, and the older background does not."""
    count = 0
    for sample in (sample for samples in sequences for sample in samples):
        frame, cue = sample.frame.transpose(2, 0, 1).astype(np.float32), sample.cue.astype(np.float32)
        is_known = np.abs(frame - cue[3:6]).max(axis=0) < 12
        is_new = np.abs(frame - cue[8:11]).max(axis=0) > 40
        count += int(np.count_nonzero(is_known & is_new & (sample.labels == 255)))
    return count


def test_settled_sequences_show_who_came_to_stay(
    bank: PictureBank, sequences: list[list[TrainingSample]]
) -> None:
    settled = [sequence_samples(CUE, 7, index, SIZE, bank, settled=1.0) for index in range(12)]
    assert stayed_px(settled) > 2 * stayed_px(sequences)
    assert min(float(samples[0].cue[7, 0, 0]) for samples in settled) > 10  # none begins unwatched


def test_a_scene_says_when_those_who_stay_came(bank: PictureBank) -> None:
    scenes = [Scene(seed=index, size=SIZE, bank=bank, mix=STAYING) for index in range(10)]
    came = [seconds for scene in scenes for seconds in scene.came_to_stay()]
    assert len(came) >= 10
    assert all(-60 < seconds < 0 for seconds in came)
    empty = Scene(seed=1, size=SIZE, bank=bank, mix=replace(STAYING, empty=1.0, removed=0.0))
    assert empty.came_to_stay() == []


@pytest.mark.parametrize(("past_s", "frame_s"), [(0.5, 0.04), (7.0, 0.04), (170.0, 0.1)])
def test_the_past_that_is_rendered_is_what_the_background_would_have_kept(
    past_s: float, frame_s: float
) -> None:
    """Watching every frame leaves the same samples as showing only those that are kept."""
    size = (4, 4)

    def picture(seconds: float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.full((*size, 3), round(seconds / frame_s) % 251, np.uint8)

    whole, sparse = MedianBackground(size), MedianBackground(size)
    count = round(past_s / frame_s)
    for t in range(count):
        seconds = (t - count) * frame_s
        if whole.is_due(seconds + 1e-9):
            whole.add(picture(seconds), seconds)
    times = kept_times(count * frame_s, frame_s)
    shown = sorted({times[0], *older_times(times), *times[-SAMPLES:]})
    assert len(shown) <= 1 + OLDER_SAMPLES + SAMPLES
    for seconds in shown:
        assert sparse.is_due(seconds + 1e-9)
        sparse.add(picture(seconds), seconds)
    assert abs(whole.median.astype(int) - sparse.median.astype(int)).max() <= 2 * max(
        1, round(WINDOW_S / SAMPLES / frame_s / 100)
    )
    assert abs(whole.older.astype(int) - sparse.older.astype(int)).max() <= 2 * max(
        1, round(WINDOW_S / SAMPLES / frame_s / 100)
    )
    assert whole.age_s(0.0) == pytest.approx(sparse.age_s(0.0))


def test_calibration_takes_one_frame_of_each_of_its_own_scenes(bank: PictureBank) -> None:
    told: list[tuple[int, int]] = []
    feeds = scene_feeds(CUE, SIZE, 3, lambda done, total: told.append((done, total)))["segment"]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [feed["frame"].shape for feed in feeds] == [(1, *SIZE, 3)] * 3
    assert all(feed["cue"].shape == (1, 11, *SIZE) and feed["cue"].dtype == np.float32 for feed in feeds)
    expected = sequence_samples(CUE, seeds.CALIBRATION, 1, SIZE, bank)[1]
    assert (feeds[1]["frame"][0] == expected.frame).all()


def test_each_camera_of_a_calibration_set_has_its_own_background() -> None:
    def sample(source: str, grey: int) -> Sample:
        frame = np.full((*SIZE, 3), grey, np.uint8)
        return Sample(frame, dict.fromkeys(CUE.intervals, frame), source)

    samples = [*(sample("A", 40) for _ in range(20)), *(sample("B", 220) for _ in range(12))]
    feeds = segment_feeds(samples, CUE, None)
    assert {float(feed["cue"][0, 3:6].mean()) for feed in feeds[:20]} == {40.0}
    assert {float(feed["cue"][0, 3:6].mean()) for feed in feeds[20:]} == {220.0}
