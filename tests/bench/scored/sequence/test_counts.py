import pytest

from bench.scored.sequence import Counts, mean_measures


def test_measures_by_hand():
    measures = Counts(tp=6, fp=2, fn=4, tn=88).measures()
    assert measures == pytest.approx(
        {
            "F": 2 * 6 / (12 + 2 + 4),
            "Pr": 6 / 8,
            "Re": 6 / 10,
            "PWC": 6.0,
            "Sp": 88 / 90,
            "FPR": 2 / 90,
            "FNR": 4 / 10,
        }
    )


def test_nothing_to_find_and_nothing_said_has_no_precision_recall_or_f():
    measures = Counts(tn=10).measures()
    assert (measures["F"], measures["Pr"], measures["Re"], measures["FNR"]) == (None, None, None, None)
    assert (measures["Sp"], measures["PWC"]) == (1.0, 0.0)


def test_saying_nothing_where_there_is_something_has_precision_zero():
    measures = Counts(fn=3, tn=7).measures()
    assert (measures["F"], measures["Pr"], measures["Re"]) == (0.0, 0.0, 0.0)


def test_a_false_alarm_without_foreground_has_f_zero_and_no_recall():
    measures = Counts(fp=3, tn=7).measures()
    assert (measures["F"], measures["Pr"], measures["Re"]) == (0.0, 0.0, None)


def test_the_mean_leaves_out_what_is_undefined():
    rows = [Counts(tp=1, fp=1).measures(), Counts(tn=4).measures()]
    assert mean_measures(rows)["Pr"] == 0.5
    assert mean_measures([Counts(tn=4).measures()])["F"] is None


def test_counts_add_up():
    assert (Counts(1, 2, 3, 4) + Counts(10, 20, 30, 40)).pixels == 110
