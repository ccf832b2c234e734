"""AdamW over a network, weight decay on what it is meant for."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


def adamw(module: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float) -> Any:
    """Decay pulls kernels alone: gains of norms and biases, the tensors of one axis, are left free."""
    kernels: list[Any] = []
    others: list[Any] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            (kernels if parameter.ndim > 1 else others).append(parameter)
    groups = [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, betas=betas, fused=True)


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
