"""Time as whole ticks, so that what depends on it does not depend on how seconds happen to be rounded.

Time stamps of a scene become ticks since its first stamp, each by one subtraction and one rounding. So the
same frames give the same decisions, whichever origin their clock has and whatever came before them.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from edgebs.errors import SourceError

TICKS_PER_S = 120_000
"""A frame lasts a whole number of ticks at 24, 25, 30, 50, 60, 120 and 240 frames/s and at 1000/1001 of 24,
30 and 60 (NTSC). Stamps in milliseconds or in 1/90000 s lie far from where rounding would turn."""
TOLERANCE_S = 1e-4
"""A spacing counts as reached this much early: more than rounding does at any frame rate, less than any
camera's frame time."""
LATEST_S = 1e11
"""Time stamps lie within this many seconds of 0: the year 5138, as seconds since 1970. Stamps in milliseconds
since 1970, given as seconds, lie beyond it."""


def ticks_of(seconds: float) -> int:
    """Whole ticks, rounded once."""
    return round(seconds * TICKS_PER_S)


def is_reached(elapsed_s: float, spacing_s: float) -> bool:
    """Whether `elapsed_s` is as long as `spacing_s`, or shorter by rounding alone."""
    return elapsed_s + TOLERANCE_S >= spacing_s


def check_time(captured_s: Any, *, name: str = "the frame") -> float | None:
    """The time stamp in seconds, or SourceError unless it is None or a finite real number (numpy's included).

    name: which frame it belongs to, for the message.
    """
    if captured_s is None:
        return None
    if isinstance(captured_s, bool | np.bool_) or not isinstance(captured_s, numbers.Real):
        found = f"{captured_s!r}, a {type(captured_s).__name__}"
        raise SourceError(f"captured_s of {name} is {found}. {_STAMPS}")
    try:
        seconds = float(captured_s)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise SourceError(f"captured_s of {name} is {seconds}, not a finite number. {_STAMPS}")
    if abs(seconds) > LATEST_S:
        raise SourceError(
            f"captured_s of {name} is {seconds:g} s; time stamps are seconds, at most {LATEST_S:g} from 0. "
            "Divide milliseconds by 1e3, nanoseconds by 1e9."
        )
    return seconds


_STAMPS = (
    "A time stamp is a number of seconds, as time.time() or time.monotonic() give it, or None for a frame "
    "without one."
)
