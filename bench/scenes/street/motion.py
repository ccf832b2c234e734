"""How things of the rendered street move: closed forms of time, so that any frame can be rendered alone."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True, slots=True)
class Track:
    """Distance as a function of time with piecewise constant acceleration, repeated without end."""

    times: tuple[float, ...]
    """Knots in seconds, rising from 0 to the period."""
    speeds: tuple[float, ...]
    """Speed at each knot in metres per second; linear in between."""
    distances: tuple[float, ...]
    """Metres covered at each knot, from 0 to the length of one lap."""

    @property
    def period(self) -> float:
        """Seconds of one lap."""
        return self.times[-1]

    @property
    def length(self) -> float:
        """Metres of one lap."""
        return self.distances[-1]

    def at(self, seconds: float) -> tuple[float, float]:
        """Metres covered since time 0 (laps added up) and the speed in metres per second."""
        laps, inside = divmod(seconds, self.period)
        knot = min(bisect_right(self.times, inside), len(self.times) - 1) - 1
        since = inside - self.times[knot]
        span = self.times[knot + 1] - self.times[knot]
        acceleration = (self.speeds[knot + 1] - self.speeds[knot]) / span
        speed = self.speeds[knot] + acceleration * since
        covered = self.distances[knot] + (self.speeds[knot] + speed) * 0.5 * since
        return laps * self.length + covered, speed


def stop_and_go(
    length: float, speed: float, stops: Sequence[tuple[float, float]], acceleration: float
) -> Track:
    """A lap of `length` metres at `speed`, standing still at each (distance, pause in seconds) of `stops`.

    Stops are in order and at least speed**2 / acceleration apart from each other and from both ends.
    """
    ramp_s = speed / acceleration
    ramp_m = speed * ramp_s / 2
    knots = [(0.0, speed, 0.0)]
    for distance, pause_s in stops:
        time, _, covered = knots[-1]
        brake = time + (distance - ramp_m - covered) / speed
        still = brake + ramp_s
        knots += [
            (brake, speed, distance - ramp_m),
            (still, 0.0, distance),
            (still + pause_s, 0.0, distance),
            (still + pause_s + ramp_s, speed, distance + ramp_m),
        ]
    time, _, covered = knots[-1]
    knots.append((time + (length - covered) / speed, speed, length))
    times, speeds, distances = zip(*knots, strict=True)
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise ValueError(f"stops {list(stops)} do not fit a lap of {length:.1f} m at {speed:.1f} m/s")
    return Track(times, speeds, distances)


@dataclass(frozen=True, slots=True)
class Path:
    """A polyline on the ground with rounded corners, straight on beyond both ends."""

    points: tuple[tuple[float, float], ...]
    """(X, Z) in metres: X to the right, Z away from the camera."""
    rounding: float = 0.45
    """Corners are rounded over this many metres before and after."""

    @property
    def length(self) -> float:
        """Metres from the first to the last point."""
        return sum(math.dist(a, b) for a, b in pairwise(self.points))

    def at(self, distance: float) -> tuple[float, float, float, float]:
        """X and Z at `distance` metres along, and the cosine and sine of the heading there."""
        back, here, front = (self._corner(distance + d) for d in (-self.rounding, 0.0, self.rounding))
        dx, dz = front[0] - back[0], front[1] - back[1]
        norm = math.hypot(dx, dz)
        x, z = ((b + 2 * h + f) / 4 for b, h, f in zip(back, here, front, strict=True))
        return x, z, dx / norm, dz / norm

    def _corner(self, distance: float) -> tuple[float, float]:
        left = distance
        for (x0, z0), (x1, z1) in pairwise(self.points):
            leg = math.dist((x0, z0), (x1, z1))
            if left <= leg or (x1, z1) == self.points[-1]:
                share = left / leg
                return x0 + (x1 - x0) * share, z0 + (z1 - z0) * share
            left -= leg
        raise AssertionError("a path has at least one leg")


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
