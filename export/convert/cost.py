"""What a network costs: parameters and floating-point operations, a multiply-add counted as two."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(module: nn.Module) -> int:
    """Number of trained values; running statistics of batch norms are not among them."""
    return sum(tensor.numel() for tensor in module.parameters())


@torch.no_grad()
def gflop(module: nn.Module, *example_inputs: Any) -> float:
    """10^9 operations of one forward pass, of convolutions, transposed convolutions and matrix products.

    Works on the `meta` device too, where nothing is computed.
    """
    with FlopCounterMode(display=False) as counter:
        module(*example_inputs)
    return float(counter.get_total_flops()) / 1e9
