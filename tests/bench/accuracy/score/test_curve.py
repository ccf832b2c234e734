import numpy as np
import pytest

from bench.accuracy.score import curve_from_histogram, sweep
from bench.scored.sequence import Counts, mean_measures


def histogram(background, foreground):
    """{class: pixels} of each."""
    rows = np.zeros((2, 256), np.int64)
    for row, counts in zip(rows, (background, foreground), strict=True):
        for k, count in counts.items():
            row[k] = count
    return rows


def test_the_curve_by_hand():
    curve = curve_from_histogram(histogram({0: 90, 200: 10}, {100: 5, 250: 15}))
    # Above 200: 15 right. From 101 to 200: 15 right, 10 wrong. From 1 to 100: 20 right, 10 wrong.
    assert (curve.precision[250], curve.recall[250]) == (1.0, 0.75)
    assert (curve.precision[200], curve.recall[200]) == (15 / 25, 0.75)
    assert (curve.precision[100], curve.recall[100]) == (20 / 30, 1.0)
    assert (curve.precision[255], curve.recall[255]) == (1.0, 0.0)
    assert curve.f_measure[250] == pytest.approx(2 * 15 / (15 + 20))
    assert curve.average_precision == pytest.approx(0.75 * 1.0 + 0.25 * 20 / 30)


def test_the_best_threshold_maximises_the_mean_of_f_over_sequences():
    # The first wants 100 or less, the second 101 or more, and gains more by it.
    first = histogram({0: 100}, {100: 1, 200: 9})
    second = histogram({100: 100}, {200: 10})
    result = sweep([first, second])
    assert 100 / 256 < result["best_threshold"]["threshold"] <= 200 / 256
    assert result["best_threshold"]["mean_F"] == pytest.approx((2 * 9 / 19 + 1) / 2)
    assert result["average_precision"] < 1 < 1.0001 + result["mean_average_precision"]


def test_an_empty_sequence_counts_in_the_mean_as_zero_where_anything_is_said_in_it():
    empty, street = histogram({0: 9, 100: 1}, {}), histogram({0: 10}, {150: 5, 200: 5})
    result = sweep([empty, street])
    # Up to 100 a false alarm halves the mean of what is all found; above it the empty one has no F.
    assert result["curve"]["mean_F"][100] == 0.5
    assert result["curve"]["mean_F"][101] == 1.0
    assert result["best_threshold"] == {"threshold": 101 / 256, "mean_F": 1.0}
    for k in (0, 100, 101, 160, 201):
        rows = [
            Counts(tp=h[1][k:].sum(), fp=h[0][k:].sum(), fn=h[1][:k].sum(), tn=h[0][:k].sum()).measures()
            for h in (empty, street)
        ]
        assert result["curve"]["mean_F"][k] == pytest.approx(mean_measures(rows)["F"])


def test_sequences_without_foreground_and_alarms_do_not_enter_the_mean_curve():
    result = sweep([histogram({0: 10}, {}), histogram({0: 10}, {200: 10})])
    assert result["best_threshold"]["mean_F"] == 1.0
    only_empty = sweep([histogram({0: 10}, {})])
    assert only_empty["mean_average_precision"] is None
    assert only_empty["average_precision"] == 0.0
