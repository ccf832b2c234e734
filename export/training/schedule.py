"""How far a run is, and the learning rate there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgebs.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Linear warm-up, then a cosine to zero; by steps, which repeat exactly, or by the clock."""

    peak: float = 2e-3
    """Learning rate after the warm-up."""
    warm_up_steps: int = 200
    steps: int = 0
    """Optimiser steps of the whole run; 0 for no limit."""
    minutes: float = 0.0
    """Minutes of the whole run; 0 for no limit."""

    def __post_init__(self) -> None:
        """Raise ExportError for a run without an end, or numbers that are none."""
        if not math.isfinite(self.minutes):
            raise OptionError(f"the minutes of a run are a number, got {self.minutes}: correct --minutes.")
        if self.steps <= 0 and self.minutes <= 0:
            raise OptionError("this training would never end: give --steps, --minutes or both.")
        if not (math.isfinite(self.peak) and self.peak > 0):
            raise OptionError(f"the learning rate must be above 0, got {self.peak}: correct --lr.")

    def progress(self, step: int, elapsed_s: float) -> float:
        """Share of the run that is over, by whichever limit is nearer; 1 and more is the end."""
        by_steps = step / self.steps if self.steps > 0 else 0.0
        by_clock = elapsed_s / (60 * self.minutes) if self.minutes > 0 else 0.0
        return max(by_steps, by_clock)

    def shown(self, step: int, elapsed_s: float) -> tuple[int, int]:
        """(done, total) for a progress bar: steps, or seconds where the clock ends the run first."""
        by_steps = step / self.steps if self.steps > 0 else 0.0
        if by_steps >= self.progress(step, elapsed_s):
            return min(step, self.steps), self.steps
        return min(int(elapsed_s), int(60 * self.minutes)), max(int(60 * self.minutes), 1)

    def rate(self, step: int, progress: float) -> float:
        """Learning rate of step `step`, counted from 0."""
        warm = min((step + 1) / self.warm_up_steps, 1.0) if self.warm_up_steps > 0 else 1.0
        return self.peak * warm * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
