import pytest

from edgebs.tensors import latency_percentiles


def test_percentiles_of_a_hundred_and_one_frames():
    assert latency_percentiles(range(101)) == {"p50": 50.0, "p90": 90.0, "p99": pytest.approx(99.0)}


def test_nothing_timed_is_zero():
    assert latency_percentiles([]) == {"p50": 0.0, "p90": 0.0, "p99": 0.0}
