import cv2
import numpy as np
import pytest

from bench.scored import Counts, find_sequences, read_sequence, scored_frames
from edgebs.errors import SourceError


def write_sequence(folder, *, frames=4, size=(6, 8), truth_size=None, temporal=None):
    for name in ("input", "groundtruth"):
        (folder / name).mkdir(parents=True)
    truth = np.zeros(truth_size or size, np.uint8)
    truth[0], truth[1], truth[2], truth[3] = 255, 170, 85, 50
    for number in range(1, frames + 1):
        cv2.imwrite(str(folder / f"input/in{number:06d}.jpg"), np.full((*size, 3), number, np.uint8))
        cv2.imwrite(str(folder / f"groundtruth/gt{number:06d}.png"), truth)
    if temporal:
        (folder / "temporalROI.txt").write_text(temporal)
    return folder


def test_frames_before_the_scored_range_are_run_and_not_scored(tmp_path):
    sequence = read_sequence(write_sequence(tmp_path / "a", temporal="3 4"))
    truths = [truth is not None for _, truth, _ in scored_frames(sequence)]
    assert truths == [False, False, True, True]


def test_unknown_and_outside_pixels_do_not_count_and_a_shadow_is_background(tmp_path):
    sequence = read_sequence(write_sequence(tmp_path / "a", frames=1))
    ((_, truth, valid),) = scored_frames(sequence)
    counts = Counts()
    counts.add(np.full((6, 8), 255, np.uint8), truth, valid)
    # row 0 foreground, rows 1 and 2 ignored, row 3 shadow, rows 4 and 5 background
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (8, 24, 0, 0)
    assert counts.f_measure == pytest.approx(2 * 8 / (2 * 8 + 24))


def test_the_region_of_interest_limits_the_score(tmp_path):
    folder = write_sequence(tmp_path / "a", frames=1)
    region = np.zeros((6, 8), np.uint8)
    region[:, :4] = 255
    cv2.imwrite(str(folder / "ROI.bmp"), region)
    ((_, truth, valid),) = scored_frames(read_sequence(folder))
    counts = Counts()
    counts.add(np.zeros((6, 8), np.uint8), truth, valid)
    assert (counts.fn, counts.tn) == (4, 12)


def test_nothing_right_is_zero_and_not_a_division_by_zero():
    assert Counts().f_measure == 0.0


def test_sequences_are_found_at_any_depth(tmp_path):
    write_sequence(tmp_path / "baseline" / "b")
    write_sequence(tmp_path / "a")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "c").symlink_to(tmp_path / "a")
    assert [sequence.name for sequence in find_sequences(tmp_path)] == ["a", "b", "c"]


def test_bad_data_is_named(tmp_path):
    with pytest.raises(SourceError, match="no scored sequence"):
        find_sequences(tmp_path)
    with pytest.raises(SourceError, match=r"gt000001\.png is \(5, 8\), its frame \(6, 8\)"):
        list(scored_frames(read_sequence(write_sequence(tmp_path / "a", truth_size=(5, 8)))))
    with pytest.raises(SourceError, match=r"temporalROI\.txt must hold two"):
        read_sequence(write_sequence(tmp_path / "b", temporal="all of it"))
    with pytest.raises(SourceError, match=r"no frame is both.*9 to 12"):
        read_sequence(write_sequence(tmp_path / "c", temporal="9 12"))
    damaged = write_sequence(tmp_path / "d", frames=1)
    (damaged / "groundtruth/gt000001.png").write_bytes(b"nothing")
    with pytest.raises(SourceError, match=r"gt000001\.png cannot be read"):
        list(scored_frames(read_sequence(damaged)))
