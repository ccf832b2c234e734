"""How things move: closed forms of time, so that any instant can be rendered alone."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FOREVER = 1e6
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """Distance along a path: piecewise linear in time."""

    times: tuple[float, ...]
    distances: tuple[float, ...]

    def at(self, seconds: float) -> tuple[float, float]:
        """Distance, and distance per second."""
        nth = min(max(bisect_right(self.times, seconds) - 1, 0), len(self.times) - 2)
        t0, t1, d0, d1 = self.times[nth], self.times[nth + 1], self.distances[nth], self.distances[nth + 1]
        speed = (d1 - d0) / (t1 - t0)
        return d0 + (seconds - t0) * speed, speed


def timetable(speed: float, stops: Sequence[tuple[float, float]]) -> Timetable:
    """Always at `speed`, but standing between the (start, end) seconds of each of `stops`; distance 0 at the
    last stop, or at time 0."""
    times, distances = [-FOREVER], [0.0]
    for start, end in stops:
        if start > times[-1]:
            distances.append(distances[-1] + speed * (start - times[-1]))
            times.append(start)
        if end > times[-1]:
            distances.append(distances[-1])
            times.append(end)
    if times[-1] < FOREVER:
        distances.append(distances[-1] + speed * (FOREVER - times[-1]))
        times.append(FOREVER)
    raw = Timetable(tuple(times), tuple(distances))
    zero = raw.at(stops[-1][0] if stops else 0.0)[0]
    return Timetable(raw.times, tuple(d - zero for d in distances))


def zigzag(speed: float, leg_s: float, phase_s: float) -> Timetable:
    """To and fro at `speed`, turning every `leg_s` seconds; distance 0 in the middle of each leg."""
    first = -70.0 - phase_s
    count = math.ceil(90.0 / leg_s) + 2
    half = speed * leg_s / 2
    times = [first + nth * leg_s for nth in range(count)]
    return Timetable(tuple(times), tuple(half if nth % 2 else -half for nth in range(count)))


@dataclass(frozen=True, slots=True)
class Sway:
    """A sum of sines with unrelated periods, at most 1 in size: wind, a shaken mast."""

    weights: tuple[float, ...]
    """Sizes of the sines; they add up to 1."""
    rates: tuple[float, ...]
    """Radians per second."""
    phases: tuple[float, ...]
    """Radians at time 0."""

    def at(self, seconds: float) -> float:
        """Value in [-1, 1]."""
        return sum(
            weight * math.sin(rate * seconds + phase)
            for weight, rate, phase in zip(self.weights, self.rates, self.phases, strict=True)
        )


def random_sway(rng: np.random.Generator, slow_hz: float, fast_hz: float, count: int = 3) -> Sway:
    """A sway with frequencies spread from `slow_hz` to `fast_hz`, slower ones larger."""
    spread = np.arange(count) / max(count - 1, 1)
    rates = slow_hz * (fast_hz / slow_hz) ** spread * rng.uniform(0.8, 1.25, count)
    weights = rates**-0.5 / (rates**-0.5).sum()
    phases = rng.uniform(0, 2 * math.pi, count)
    return Sway(tuple(weights.tolist()), tuple((rates * 2 * math.pi).tolist()), tuple(phases.tolist()))
