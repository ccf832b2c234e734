import numpy as np
import pytest

from bench.accuracy.score import SequenceScore, frames_per_second, probability_histogram, summary
from bench.scored import Counts


def scored(name, mask_rows, *, category=None, keeps_masks=False, truth_rows=2, size=(4, 4)):
    score = SequenceScore(name, category, keeps_masks)
    mask, truth = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    mask[:mask_rows], truth[:truth_rows] = 255, 255
    score.add(0, mask, None, truth, np.ones(size, bool))
    score.seconds.append(0.5)
    return score


def test_a_probability_is_counted_in_its_class_for_background_and_foreground():
    probability = np.array([[0.0, 0.5, 1.0, np.nan, 0.999]], np.float32)
    truth = np.array([[0, 255, 255, 0, 85]], np.uint8)
    histogram = probability_histogram(probability, truth, truth != 85)
    assert {int(k): int(histogram[0, k]) for k in np.flatnonzero(histogram[0])} == {0: 2}
    assert {int(k): int(histogram[1, k]) for k in np.flatnonzero(histogram[1])} == {128: 1, 255: 1}


def test_the_histogram_is_of_the_probability_interpolated_to_camera_size():
    probability = np.array([[0.0, 1.0]], np.float32)
    truth = np.zeros((1, 4), np.uint8)
    # Linear, pixel centres: 0, 0.25, 0.75, 1.
    histogram = probability_histogram(probability, truth, truth == 0)
    assert np.flatnonzero(histogram[0]).tolist() == [0, 64, 192, 255]


def test_a_kept_mask_comes_back_and_is_forgotten():
    score = scored("a", 3, keeps_masks=True, size=(5, 7))
    assert (score.mask(score.frames[0], (5, 7))[:, 0] == [255, 255, 255, 0, 0]).all()
    score.forget_masks()
    assert score.frames[0].packed == b""


def test_mean_pooled_and_categories_are_different_averages():
    perfect, blind = scored("a", 2, category="x"), scored("b", 4, category="x", truth_rows=1)
    third = scored("c", 2, category="y")
    result = summary([perfect, blind, third])
    f_blind = 2 * 4 / (2 * 4 + 12)
    assert result["mean"]["F"] == pytest.approx((1 + f_blind + 1) / 3)
    assert result["pooled"]["F"] == pytest.approx(2 * 20 / (2 * 20 + 12))
    assert result["categories"]["x"]["F"] == pytest.approx((1 + f_blind) / 2)
    assert result["mean_of_categories"]["F"] == pytest.approx(((1 + f_blind) / 2 + 1) / 2)
    assert result["mean_dice"] == pytest.approx((1 + f_blind + 1) / 3)
    assert (result["frames"], result["sequences"]["b"]["frames"]) == (3, 1)


def test_mean_dice_is_over_frames_with_foreground_only():
    score = scored("a", 2)
    empty = np.zeros((4, 4), np.uint8)
    score.add(1, empty + 255, None, empty, np.ones((4, 4), bool))
    assert score.dice == [1.0]
    assert score.counts == Counts(tp=8, fp=16, fn=0, tn=8)


def test_speed_leaves_out_the_start_of_a_sequence_that_is_longer():
    assert frames_per_second([[9.0] * 12 + [0.5] * 4, [1.0] * 2]) == pytest.approx(6 / 4.0)
    assert frames_per_second([]) is None
