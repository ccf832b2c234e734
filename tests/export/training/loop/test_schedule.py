import pytest

from edgebs.errors import ExportError
from export.training import Schedule


def test_the_rate_rises_then_follows_a_cosine_to_zero():
    schedule = Schedule(peak=1.0, warm_up_steps=4, steps=100)
    assert [schedule.rate(step, 0.0) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert schedule.rate(50, 0.5) == pytest.approx(0.5)
    assert schedule.rate(100, 1.0) == pytest.approx(0.0)
    assert schedule.rate(130, 1.3) == pytest.approx(0.0)


def test_whichever_limit_is_nearer_counts():
    schedule = Schedule(steps=100, minutes=2)
    assert schedule.progress(25, 30) == 0.25
    assert schedule.progress(25, 60) == 0.5
    assert schedule.shown(25, 30) == (25, 100)
    assert schedule.shown(25, 60) == (60, 120)


def test_one_limit_is_enough():
    assert Schedule(minutes=2).progress(10**6, 60) == 0.5
    assert Schedule(steps=10).progress(5, 10**6) == 0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [({}, "--steps, --minutes"), ({"steps": 5, "peak": 0.0}, "--lr"),
     ({"minutes": float("nan")}, "--minutes"), ({"steps": 5, "minutes": float("inf")}, "--minutes")],
)  # fmt: skip
def test_a_schedule_without_end_or_rate_is_refused(options, said):
    with pytest.raises(ExportError, match=said):
        Schedule(**options)
