import cv2
import numpy as np
from fakes.video.scored import write_cdnet

from bench.accuracy.pictures import WIDTH, chosen_frames, coloured, shown_frames
from bench.accuracy.score import FrameScore, SequenceScore
from bench.scored import Counts, find_sequences, scored_frames


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
