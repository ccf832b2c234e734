"""Time stamps become whole ticks, and what is none is refused."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from edgebs.cues.clock import TICKS_PER_S, check_time, is_reached, ticks_of
from edgebs.errors import SourceError


@pytest.mark.parametrize(
    "fps", [24, 25, 30, 50, 60, 120, 240, *(Fraction(n, 1001) for n in (24000, 30000, 60000))]
)
def test_a_frame_of_a_common_rate_is_a_whole_number_of_ticks(fps: Fraction) -> None:
    frame = TICKS_PER_S / Fraction(fps)
    assert frame.denominator == 1
    assert [ticks_of(float(t / fps)) for t in range(500)] == [t * frame for t in range(500)]


@pytest.mark.parametrize("origin_s", [0.0, 12.34, 1.7e9, -3e5])
@pytest.mark.parametrize("fps", [7, 12.5, 25, 30, 30000 / 1001, 60])
def test_the_origin_of_a_clock_changes_no_tick(origin_s: float, fps: float) -> None:
    stamps = [origin_s + t / fps for t in range(2000)]
    assert [ticks_of(s - stamps[0]) for s in stamps] == [ticks_of(t / fps) for t in range(2000)]


def test_a_spacing_is_reached_at_equality_however_it_was_summed() -> None:
    summed = sum([0.04] * 180)
    assert summed - sum([0.04] * 168) != 0.48
    assert is_reached(summed - sum([0.04] * 168), summed / 15)
    assert not is_reached(0.44, 0.48)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None), (0, 0.0), (-3, -3.0), (1.5, 1.5), (np.float32(0.5), 0.5), (np.float64(2), 2.0),
        (np.int64(7), 7.0), (np.uint8(9), 9.0), (Fraction(1, 4), 0.25), (1.7e9, 1.7e9),
    ],
)  # fmt: skip
def test_numbers_are_times(given: Any, seconds: float | None) -> None:
    found = check_time(given)
    assert found == seconds
    assert type(found) in (float, type(None))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (math.nan, "is nan, not a finite number"),
        (math.inf, "is inf, not a finite number"),
        (-math.inf, "is -inf"),
        (np.float32("nan"), "is nan"),
        (10**400, "not a finite number"),
        (1.7e12, r"is 1.7e\+12 s; .*Divide milliseconds by 1e3"),
        (-1e300, r"is -1e\+300 s"),
        (True, "is True, a bool"),
        (np.True_, "a bool"),
        ("0.04", "is '0.04', a str"),
        (1j, "a complex"),
        (np.zeros(1), "a ndarray"),
        ([0.0], "a list"),
    ],
)
def test_whatever_is_no_time_is_refused_by_name(given: Any, said: str) -> None:
    with pytest.raises(SourceError, match=f"captured_s of frame 7 .*{said}"):
        check_time(given, name="frame 7")
