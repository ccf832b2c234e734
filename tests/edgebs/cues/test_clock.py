"""How long a scene was watched, by one clock for all cues."""

from __future__ import annotations

import pytest

from edgebs.cues.clock import SceneClock


def clock() -> SceneClock:
    return SceneClock(25.0, 5.0)


def told(clock: SceneClock, times: list[float | None]) -> list[float]:
    """What the clock says after each."""
    found = []
    for captured_s in times:
        clock.tick(captured_s)
        found.append(clock.now_s)
    return found


def test_the_first_frame_is_at_zero_whatever_its_stamp() -> None:
    for start_s in (0.0, -9.0, 1.7e9):
        assert told(clock(), [start_s, start_s + 0.04]) == [0.0, 0.04]


def test_a_pause_is_cut_and_a_small_step_back_is_a_correction() -> None:
    assert told(clock(), [100.0, 101.0, 1000.0, 999.5, 1000.5]) == [0.0, 1.0, 6.0, 6.0, 7.0]


def test_a_step_back_of_more_than_two_seconds_is_another_recording_that_begins_at_zero() -> None:
    one = clock()
    assert [one.tick(seconds) for seconds in (100.0, 101.0, 99.0, 96.9, 97.9)] == [False] * 3 + [True, False]
    assert one.now_s == 1.0


def test_frames_without_stamps_take_the_nominal_time_also_among_stamps() -> None:
    assert told(clock(), [None] * 4) == [0.0, 0.04, 0.08, 0.12]
    assert told(clock(), [9.0, None, None, 9.2]) == [0.0, 0.04, 0.08, 0.2]
    # The first stamp says nothing of the time since the frame before it, which had none.
    assert told(clock(), [None, None, 1.7e9, 1.7e9 + 1]) == [0.0, 0.04, 0.08, 1.08]
    assert told(clock(), [None, None, None, -50.0]) == [0.0, 0.04, 0.08, 0.12]


def test_after_frames_that_nobody_watched_the_next_one_is_a_frame_later() -> None:
    one = clock()
    told(one, [3.0, 4.0])
    one.skip()
    one.skip()
    assert told(one, [-700.0, -699.0]) == [1.04, 2.04]


@pytest.mark.parametrize("start", [None, 0.0, 1.7e9])
def test_it_resumes_a_frame_after_what_was_watched_whatever_it_was_used_for(start: float | None) -> None:
    used = clock()
    told(used, [50.0, 51.0, 3.0])
    for one in (used, clock()):
        one.resume(60.0)
        assert told(one, [start]) == [60.04]


def test_a_reset_leaves_nothing() -> None:
    one = clock()
    for leave in (lambda: one.tick(77.0), one.skip, lambda: one.resume(8.0)):
        leave()
        one.reset()
        assert told(one, [5.0, None, 6.0]) == [0.0, 0.04, 1.0]
        one.reset()


def test_hours_at_any_rate_drift_by_no_tick() -> None:
    one = clock()
    assert told(one, [1e9 + t * 0.04 for t in range(0, 100_000, 5)])[-1] == pytest.approx(
        99_995 / 25, abs=1e-9
    )
