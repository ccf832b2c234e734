"""AdamW over a network, weight decay on what it is meant for."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edgebs.errors import OptionError


def adamw(module: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float) -> Any:
    """Decay pulls kernels alone: gains of norms and biases, the tensors of one axis, are left free."""
    kernels: list[Any] = []
    others: list[Any] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            (kernels if parameter.ndim > 1 else others).append(parameter)
    groups = [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, betas=betas, fused=True)


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


DECAY = 0.998


class MovingAverage:
    """A copy of a module whose tensors follow it: parameters, and the statistics of batch norms."""

    def __init__(self, module: nn.Module, decay: float = DECAY) -> None:
        """decay: share of the old value that stays at each update, once warm."""
        self.module: Any = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Follow `module` by one step. Early on the average is short, or it would keep random weights."""
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        followed, source = self.module.state_dict(), module.state_dict()
        floats = [name for name, tensor in followed.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([followed[n] for n in floats], [source[n] for n in floats], 1 - keep)
        for name, tensor in followed.items():
            if not tensor.is_floating_point():
                tensor.copy_(source[name])
