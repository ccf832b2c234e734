"""The past frames that a cue compares the present with."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from edgebs.cues.clock import TICKS_PER_S, ticks_of

T = TypeVar("T")

STEPS_PER_INTERVAL = 4
"""Items kept per nominal frame time: enough to pick within 1/8 of it; bounds memory for very fast cameras."""
GAP_HORIZONS = 5.0
"""A pause of this many horizons ends a scene: what was seen before it is no past for what comes after."""
SHORTEST_GAP_S = 2.0
"""... but never a pause shorter than this: a slow camera (1 fps) is not a row of discontinuities."""


def longest_pause_s(horizon_s: float) -> float:
    """The longest pause between two frames that does not end a scene. horizon_s: the longest interval."""
    return max(GAP_HORIZONS * horizon_s, SHORTEST_GAP_S)


class History(Generic[T]):
    """Keeps what was pushed for as long as the longest interval needs it.

    T is whatever is compared: network-sized frames, grey pictures, frame numbers. Nothing is copied.

    An interval `tau` is a number of frames at `nominal_fps`. Where items carry capture times, `past(tau)` is
    the item nearest to `tau / nominal_fps` seconds ago, so that a camera that stutters or runs at another
    rate shows the same motion; without times (or without `nominal_fps`) it is the item `tau` pushes ago.
    Times are compared in whole ticks since the first one (edgebs.cues.clock): their origin changes nothing.
    """

    def __init__(self, intervals: Sequence[int], nominal_fps: float | None = None) -> None:
        """intervals: frames, each >= 1, any order. nominal_fps: frames/s that the intervals mean, or None."""
        if not intervals or min(intervals) < 1:
            raise ValueError(f"intervals must be whole numbers of frames, at least 1; got {tuple(intervals)}")
        if nominal_fps is not None and not (math.isfinite(nominal_fps) and nominal_fps > 0):
            raise ValueError(f"nominal_fps must be above 0, or None; got {nominal_fps}")
        self._longest = max(intervals)
        self._nominal_fps = nominal_fps
        self._items: list[T] = []
        self._times: list[int] = []  # ticks since _origin_s; same length as _items, or empty while counting
        self._origin_s: float | None = None

    def push(self, item: T, captured_s: float | None = None) -> None:
        """Make `item` the present. captured_s: seconds, any origin, or None for an item without a time.

        A time that runs backwards, a pause of many horizons, or a change between items with and without times
        is a discontinuity: the history starts again with this item.
        """
        if captured_s is not None and not math.isfinite(captured_s):
            raise ValueError(f"captured_s must be finite seconds or None, got {captured_s}")
        if captured_s is None or self._nominal_fps is None:
            self._push_counted(item)
        else:
            self._push_timed(item, captured_s, self._nominal_fps)

    def past(self, tau: int) -> T:
        """The item `tau` frames before the present; the oldest one stands in while there is no such past.

        Never the present itself, except right after a start, when there is nothing else.
        """
        if not 1 <= tau <= self._longest:
            raise ValueError(f"tau must be 1 to {self._longest}, the longest interval given; got {tau}")
        if not self._items:
            raise ValueError("nothing was pushed yet")
        if not self._times or self._nominal_fps is None:
            return self._items[max(len(self._items) - 1 - tau, 0)]
        return self._items[self._nearest(self._times[-1] - ticks_of(tau / self._nominal_fps))]

    @property
    def warming_up(self) -> bool:
        """True while the longest interval reaches back further than what was pushed."""
        if not self._times or self._nominal_fps is None:
            return len(self._items) <= self._longest
        return self._times[-1] - self._times[0] < ticks_of((self._longest - 0.5) / self._nominal_fps)

    def clear(self) -> None:
        """Forget everything, as at a change of scene."""
        self._items.clear()
        self._times.clear()
        self._origin_s = None

    def __iter__(self) -> Iterator[T]:
        """The items held now, oldest first."""
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def _push_counted(self, item: T) -> None:
        if self._times:
            self.clear()
        self._items.append(item)
        del self._items[: -(self._longest + 1)]

    def _push_timed(self, item: T, captured_s: float, nominal_fps: float) -> None:
        horizon = ticks_of(self._longest / nominal_fps)
        now = self._ticks(captured_s)
        if self._items and (not self._times or self._is_discontinuity(now, horizon)):
            self.clear()
            now = self._ticks(captured_s)
        # Rounded up: the spacing bounds how many items there can be.
        self._thin(math.ceil(TICKS_PER_S / (STEPS_PER_INTERVAL * nominal_fps)))
        self._items.append(item)
        self._times.append(now)
        self._forget_before(now - horizon)

    def _ticks(self, captured_s: float) -> int:
        """Seconds since the first pushed time; the first one is 0."""
        if self._origin_s is None:
            self._origin_s = captured_s
        return ticks_of(captured_s - self._origin_s)

    def _is_discontinuity(self, now: int, horizon: int) -> bool:
        step = now - self._times[-1]
        return step < 0 or step > max(GAP_HORIZONS * horizon, ticks_of(SHORTEST_GAP_S))

    def _thin(self, spacing: int) -> None:
        """Drop the last item if it is too close to the one before it to be worth keeping as a past."""
        if len(self._times) >= 2 and self._times[-1] - self._times[-2] < spacing:
            del self._items[-1], self._times[-1]

    def _forget_before(self, oldest: int) -> None:
        """Drop what lies before `oldest`, but keep one item at or before it, and one past in any case."""
        surplus = 0
        while surplus < len(self._times) - 2 and self._times[surplus + 1] <= oldest:
            surplus += 1
        del self._items[:surplus], self._times[:surplus]

    def _nearest(self, wanted: int) -> int:
        newest_past = max(len(self._times) - 2, 0)
        after = min(bisect_left(self._times, wanted), newest_past)
        before = max(after - 1, 0)
        is_before_nearer = wanted - self._times[before] < self._times[after] - wanted
        return before if is_before_nearer else after
