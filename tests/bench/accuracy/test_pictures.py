import json

import cv2
import numpy as np
import pytest
from fakes.video.scored import write_cdnet

from bench.accuracy.pictures import WIDTH, CurveFiles, chosen_frames, coloured, curves_picture, shown_frames
from bench.accuracy.score import FrameScore, SequenceScore
from bench.scored import Counts, Sequence, find_sequences, scored_frames
from edgebs.errors import SinkError


def frame_score(index, tp, fp=0, fn=0):
    return FrameScore(index, Counts(tp=tp, fp=fp, fn=fn))


def test_worst_frames_lie_apart_and_a_typical_and_the_best_one_are_there():
    # F grows with the index; 100 frames, so the worst ones are at least 5 apart.
    frames = [frame_score(index, tp=index, fn=10) for index in range(100)]
    assert chosen_frames(frames) == [
        ("worst", 0),
        ("worst", 5),
        ("worst", 10),
        ("typical", 50),
        ("best", 99),
    ]


def test_the_frame_without_foreground_that_has_most_false_positives_is_shown():
    frames = [frame_score(0, 5, fn=1), frame_score(1, 0, fp=3), frame_score(2, 0, fp=9), frame_score(3, 0)]
    assert chosen_frames(frames) == [("worst", 0), ("false alarms", 2)]
    assert chosen_frames([frame_score(0, 0)]) == []


def test_right_is_green_wrong_red_missed_blue_and_unscored_dark():
    truth = np.array([[255, 0, 255, 0, 85]], np.uint8)
    mask = np.array([[255, 255, 0, 0, 255]], np.uint8)
    picture = coloured(np.full((1, 5, 3), 120, np.uint8), mask, truth, truth != 85)
    strongest = picture.argmax(axis=2)[0].tolist()
    assert strongest[:3] == [1, 2, 0]
    assert picture[0, 3].tolist() == [150, 150, 150]
    assert picture[0, 4].tolist() == [30, 30, 30]


def test_frames_are_shown_with_every_mask_as_small_jpegs(tmp_path):
    folder = write_cdnet(tmp_path / "a", frames=2, levels=(90, 100))
    for path in (folder / "input").iterdir():
        cv2.imwrite(str(path), np.full((300, 2 * WIDTH, 3), 90, np.uint8))
    for path in (folder / "groundtruth").iterdir():
        truth = np.zeros((300, 2 * WIDTH), np.uint8)
        truth[:100] = 255
        cv2.imwrite(str(path), truth)
    (sequence,) = find_sequences(tmp_path)
    row = [SequenceScore("a", None, True) for _ in range(2)]
    for index, (_, truth, valid) in enumerate(scored_frames(sequence)):
        row[0].add(index, truth, None, truth, valid)
        row[1].add(index, np.zeros_like(truth), None, truth, valid)
    first = shown_frames(sequence, row)[0]
    assert (first.why, first.file, len(first.masks)) == ("worst", "in000001.png", 2)
    right, missed = (
        cv2.imdecode(np.frombuffer(mask.jpeg, np.uint8), cv2.IMREAD_COLOR) for mask in first.masks
    )
    assert right.shape == (150, WIDTH, 3)
    assert right[20, 20].argmax() == 1
    assert missed[20, 20].argmax() == 0
    assert first.masks[1].score.counts.f_measure == 0.0


PROBABILITY = np.array([[0.9, 0.9, 0.6, 0.6, 0.3, 0.3, 0.1, 0.9]], np.float32)
TRUTH = np.array([[255, 255, 255, 0, 255, 0, 0, 85]], np.uint8)
"""The last pixel is outside: it does not count."""


def record(*names, threshold=0.5):
    return {
        "data": {"root": "data"},
        "date": "2026-01-01",
        "bundles": {name: {"threshold": threshold} for name in names},
    }


def curve_files(path, *rows):
    """rows: by sequence, the probability of each contestant, or None."""
    files = CurveFiles(path)
    for number, row in enumerate(rows):
        scores = [SequenceScore(f"s{number}") for _ in row]
        for score, probability in zip(scores, row, strict=True):
            score.add(0, TRUTH & 0, probability, TRUTH, TRUTH != 85)
        files.add(Sequence(name=f"s{number}", inputs=(), truths=()), scores)
    return files


def test_a_known_probability_gives_known_precision_and_recall_at_known_thresholds(tmp_path):
    found = curve_files(tmp_path / "c.png", [PROBABILITY]).points(record("edge"))
    curve = found["bundles"]["edge"]["sequences"]["s0"]
    at = {threshold: k for k, threshold in enumerate(found["thresholds"])}
    points = {
        threshold: [round(curve[name][at[threshold]], 6) for name in ("precision", "recall", "F")]
        for threshold in (0.0, 0.25, 0.5, 0.75)
    }
    assert points == {
        0.0: [0.571429, 1.0, 0.727273],  # 4 of 7 said, 4 of 4 found
        0.25: [0.666667, 1.0, 0.8],  # 4 of 6, 4 of 4
        0.5: [0.75, 0.75, 0.75],  # 3 of 4, 3 of 4
        0.75: [1.0, 0.5, 0.666667],  # 2 of 2, 2 of 4
    }
    assert curve["at_threshold"] == {"threshold": 0.5, "precision": 0.75, "recall": 0.75, "F": 0.75}
    # 0.1 * 256 is 25.6: with the next threshold that pixel is background.
    assert curve["best_threshold"] == pytest.approx(
        {"threshold": 26 / 256, "precision": 4 / 6, "recall": 1.0, "F": 0.8}
    )


def test_the_mean_curve_is_over_sequences_and_has_a_best_threshold_of_its_own(tmp_path):
    blind = np.full_like(PROBABILITY, 0.55)
    found = curve_files(tmp_path / "c.png", [PROBABILITY], [blind]).points(record("edge", threshold=0.6))
    mean = found["bundles"]["edge"]["mean"]
    assert mean["F"][128] == pytest.approx((3 / 4 + 8 / 11) / 2)
    assert mean["best_threshold"]["threshold"] == 26 / 256
    # Above .55 the second one says nothing, and has objects: precision, recall and F are 0.
    assert mean["at_threshold"]["threshold"] == 154 / 256
    assert mean["at_threshold"]["precision"] == pytest.approx((1 + 0) / 2)
    assert mean["at_threshold"]["recall"] == pytest.approx((2 / 4 + 0) / 2)


def test_a_sequence_without_foreground_and_alarms_has_no_precision(tmp_path):
    files = CurveFiles(tmp_path / "c.png")
    score = SequenceScore("empty")
    score.add(0, TRUTH & 0, PROBABILITY * 0, TRUTH & 0, TRUTH < 256)
    files.add(Sequence(name="empty", inputs=(), truths=()), [score])
    curve = files.points(record("edge"))["bundles"]["edge"]["sequences"]["empty"]
    assert curve["at_threshold"] == {"threshold": 0.5, "precision": None, "recall": None, "F": None}
    files.write(record("edge"))


def test_the_picture_has_a_panel_of_the_mean_and_one_of_each_sequence_in_the_colour_of_each_model(tmp_path):
    wide = curves_picture(curve_files(tmp_path / "a.png", *[[PROBABILITY] * 2] * 2).points(record("a", "b")))
    alone = curves_picture(curve_files(tmp_path / "b.png", [PROBABILITY]).points(record("a")))
    assert wide.shape[1] / 3 == alone.shape[1] / 2
    blue, orange = (225, 125, 42), (0, 123, 224)
    assert (wide == blue).all(axis=2).any()
    assert (wide == orange).all(axis=2).any()
    assert not (alone == orange).all(axis=2).any()


def test_the_picture_and_its_points_are_written_together(tmp_path):
    files = curve_files(tmp_path / "new" / "c.png", [PROBABILITY])
    files.write(record("edge"))
    assert cv2.imread(str(files.path)) is not None
    points = json.loads(files.points_path.read_text())
    assert points["bundles"]["edge"]["sequences"]["s0"]["precision"][128] == 0.75
    assert len(points["thresholds"]) == 256
    assert sorted(path.name for path in files.path.parent.iterdir()) == ["c.json", "c.png"]


def test_nothing_is_left_where_one_of_the_two_files_cannot_be_written(tmp_path):
    files = curve_files(tmp_path / "c.png", [PROBABILITY])
    with pytest.raises(ValueError, match="JSON"):
        files.write({**record("edge"), "date": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["c.jpg", "c", ".png", "c.png.html"])
def test_curves_have_a_name_that_ends_with_png(tmp_path, name):
    with pytest.raises(ValueError, match=r"ends with \.png is needed, got"):
        CurveFiles(tmp_path / name)


@pytest.mark.parametrize("there", ["c.png", "c.json"])
def test_neither_the_picture_nor_the_points_replace_a_file_unless_forced(tmp_path, there):
    (tmp_path / there).write_text("x")
    with pytest.raises(SinkError, match=f"{there} exists already"):
        CurveFiles(tmp_path / "c.png")
    CurveFiles(tmp_path / "c.png", force=True)
    (tmp_path / there).unlink()
    (tmp_path / there).mkdir()
    with pytest.raises(SinkError, match=f"{there} is a folder"):
        CurveFiles(tmp_path / "c.png", force=True)


def test_a_bundle_that_gives_no_probability_is_refused_and_a_baseline_has_no_curve(tmp_path):
    files = curve_files(tmp_path / "c.png", [PROBABILITY, None])
    assert list(files.points(record("edge"))["bundles"]) == ["edge"]
    with pytest.raises(SinkError, match="masks without a probability, which curves need"):
        files.write(record("edge", "masks-only"))
    assert list(tmp_path.iterdir()) == []
