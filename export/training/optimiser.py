"""AdamW over a network, weight decay on what it is meant for."""

from __future__ import annotations

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
