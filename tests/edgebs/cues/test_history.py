"""Which past frame a cue gets: by count, by time, at the start, after a pause, from a very fast camera."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgebs.cues.history import History


def pushed(history: History[int], times: list[float | None]) -> History[int]:
    for number, captured_s in enumerate(times):
        history.push(number, captured_s)
    return history


def test_without_times_the_past_is_counted_in_pushes():
    history = pushed(History((1, 5, 10)), [None] * 20)
    assert [history.past(tau) for tau in (1, 5, 10)] == [18, 14, 9]
    assert not history.warming_up


def test_times_without_a_nominal_rate_are_ignored():
    history = pushed(History((1, 5)), [0.0, 7.0, 7.1, 100.0, 100.1, 3.0, 3.1])
    assert (history.past(1), history.past(5)) == (5, 1)


def test_the_oldest_frame_stands_in_until_there_is_enough_past():
    history = History[int]((1, 5))
    for number, expected_past, is_warming_up in [
        (0, 0, True),
        (1, 0, True),
        (4, 0, True),
        (5, 0, False),
        (6, 1, False),
    ]:
        while len(history) <= number and len(history) < 6:
            history.push(len(history))
        if number == 6:
            history.push(6)
        assert (history.past(5), history.warming_up) == (expected_past, is_warming_up)


@pytest.mark.parametrize("fps", [25.0, 24.999, 25.001])
def test_at_the_nominal_rate_times_and_counts_agree(fps):
    history = pushed(History((1, 5, 10), 25.0), [n / fps for n in range(100)])
    assert [history.past(tau) for tau in (1, 5, 10)] == [98, 94, 89]


def test_warm_up_is_as_long_by_time_as_by_count():
    by_time, by_count = History[int]((1, 10), 25.0), History[int]((1, 10))
    for number in range(30):
        by_time.push(number, 1000.0 + number / 25)
        by_count.push(number)
        assert by_time.warming_up == by_count.warming_up, number


def test_at_twice_the_nominal_rate_the_past_lies_twice_as_many_frames_back():
    history = pushed(History((1, 5, 10), 25.0), [n / 50 for n in range(100)])
    assert [history.past(tau) for tau in (1, 5, 10)] == [97, 89, 79]


def test_a_slow_camera_gets_the_frame_before_and_never_the_present():
    history = pushed(History((1, 5, 10), 25.0), [n / 2 for n in range(10)])
    assert [history.past(tau) for tau in (1, 5, 10)] == [8, 8, 8]
    assert not history.warming_up


def test_dropped_frames_do_not_change_the_time_that_an_interval_means():
    times = [n / 25 for n in range(40) if n not in (33, 34, 35)]
    history = History[float]((1, 5, 10), 25.0)
    for captured_s in times:
        history.push(captured_s, captured_s)
    assert history.past(1) == pytest.approx(38 / 25)
    assert history.past(5) in (pytest.approx(32 / 25), pytest.approx(36 / 25))
    assert history.past(10) == pytest.approx(29 / 25)


def test_a_timestamp_that_jumps_back_starts_again():
    history = pushed(History((1, 5), 25.0), [n / 25 for n in range(20)])
    history.push(99, 0.0)
    assert (history.past(5), len(history), history.warming_up) == (99, 1, True)


def test_a_long_pause_starts_again_and_a_short_one_does_not():
    history = pushed(History((1, 10), 25.0), [n / 25 for n in range(20)])
    history.push(20, 19 / 25 + 1.5)
    assert history.past(1) == 19
    history.push(21, 19 / 25 + 10)
    assert history.past(1) == 21


def test_going_from_times_to_none_starts_again():
    history = pushed(History((1, 5), 25.0), [0.0, 0.04, 0.08])
    history.push(3)
    assert (len(history), history.past(1)) == (1, 3)
    history.push(4, 0.16)
    assert (len(history), history.past(1)) == (1, 4)


def test_equal_times_do_not_hand_out_the_present():
    history = pushed(History((1,), 25.0), [0.0, 0.0, 0.0])
    assert history.past(1) < 2


def test_a_thousand_frames_a_second_stay_bounded_and_correct():
    history = History[float]((1, 5, 10), 25.0)
    for number in range(5000):
        history.push(number / 1000, number / 1000)
        assert len(history) <= 4 * 10 + 3
    for tau in (1, 5, 10):
        assert history.past(tau) == pytest.approx(4.999 - tau / 25, abs=0.006)


def test_jittering_times_give_the_nearest_frame():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.06, 300))
    history = History[float]((1, 5, 10), 25.0)
    for number, captured_s in enumerate(times):
        history.push(float(captured_s), float(captured_s))
        if number > 30:
            for tau in (1, 5, 10):
                wanted = captured_s - tau / 25
                best = min(times[:number], key=lambda t: abs(t - wanted))
                assert history.past(tau) == pytest.approx(float(best))


def test_nothing_older_than_the_longest_interval_is_held():
    history = pushed(History((1, 10), 25.0), [n / 25 for n in range(1000)])
    assert len(history) <= 12
    assert len(pushed(History((1, 10)), [None] * 1000)) == 11


def test_clear_forgets_everything():
    history = pushed(History((1,), 25.0), [0.0, 0.04])
    history.clear()
    assert len(history) == 0
    with pytest.raises(ValueError, match="nothing was pushed"):
        history.past(1)


@pytest.mark.parametrize("intervals", [(), (0, 1), (-1,)])
def test_intervals_must_be_at_least_one_frame(intervals):
    with pytest.raises(ValueError, match="at least 1"):
        History(intervals)


@pytest.mark.parametrize("nominal_fps", [0.0, -25.0, math.nan, math.inf])
def test_the_nominal_rate_must_be_positive(nominal_fps):
    with pytest.raises(ValueError, match="nominal_fps"):
        History((1,), nominal_fps)


def test_an_interval_that_was_not_announced_is_refused():
    history = pushed(History((1, 5)), [None])
    with pytest.raises(ValueError, match="tau must be 1 to 5"):
        history.past(6)


def test_a_time_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        History[int]((1,), 25.0).push(0, math.nan)
