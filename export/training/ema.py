"""An exponential moving average of a network: what is validated and shipped."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

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
