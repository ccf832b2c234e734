"""Time of a scene as one camera counts it, whatever clock its source has: one rule for all cues."""

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


# Time stamps of a scene become ticks since its first stamp, each by one subtraction and one rounding. So the
# same frames give the same decisions, with any origin of their clock and after any other frames.
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

CORRECTED_S = 2.0
"""A step back of a clock by at most this is a correction; a larger one is another recording."""


class SceneClock:
    """Time since the scene's first frame, without the pauses of the recording.

    It counts whole ticks, and sets the stamps of a scene against its first one. So it depends on nothing that
    came before the scene, and not on the origin of the source's clock.
    """

    def __init__(self, nominal_fps: float, longest_step_s: float) -> None:
        """nominal_fps: of sources without time stamps. longest_step_s: of a step: more was a pause."""
        self._frame = max(ticks_of(1 / nominal_fps), 1)
        self._longest_step = ticks_of(longest_step_s)
        self._came: int | None = None
        # The first time stamp, and the source's ticks at it.
        self._origin_s: float | None = None
        self._origin = 0
        self.reset()

    @property
    def now_s(self) -> float:
        """Seconds that the scene was watched until the newest frame; 0 at the first one."""
        return self._now / TICKS_PER_S

    def tick(self, captured_s: float | None) -> bool:
        """Take the time of the next frame, or None. Returns whether another recording begins with it.

        captured_s: see `edgebs.cues.clock.check_time`. The first frame of a recording is at 0.
        """
        came = self._source_ticks(captured_s)
        step = self._step_if_unknown if self._came is None else came - self._came
        if step < -ticks_of(CORRECTED_S):
            self.reset()
            self._came = self._source_ticks(captured_s)
            return True
        self._now += min(max(step, 0), self._longest_step)
        self._came = came
        return False

    def skip(self) -> None:
        """Pause until the next frame, which counts as one frame time after the last frame before it."""
        self._came = self._origin_s = None
        self._step_if_unknown = self._frame

    def resume(self, now_s: float) -> None:
        """Go on with a scene that was watched for `now_s` seconds, with the next frame."""
        self._now = ticks_of(now_s)
        self.skip()

    def reset(self) -> None:
        """Start anew with the next frame."""
        self._now = self._step_if_unknown = 0
        self._came = self._origin_s = None

    def _source_ticks(self, captured_s: float | None) -> int:
        """Ticks of the source's own clock, from any origin."""
        following = 0 if self._came is None else self._came + self._frame
        if captured_s is None:
            return following
        if self._origin_s is None:
            self._origin_s, self._origin = captured_s, following
        return self._origin + ticks_of(captured_s - self._origin_s)
