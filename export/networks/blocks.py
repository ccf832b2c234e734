"""What our own networks are made of: frames as planes, 3x3 convolutions whose batch norms fold away."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn


def planes(frame: Tensor) -> Tensor:
    """frame (N, H, W, 3) uint8 -> (N, 3, H, W) float32, same values and same channel order."""
    return frame.float().permute(0, 3, 1, 2)  # TensorRT casts uint8, and does nothing else with it


class ConvUnit(nn.Sequential):  # type: ignore[misc, unused-ignore]
    """3x3 convolution, batch norm (gone once folded) and, unless `linear`, ReLU."""

    def __init__(self, before: int, after: int, stride: int = 1, *, linear: bool = False) -> None:
        """before, after: channels."""
        conv = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        super().__init__(conv, nn.BatchNorm2d(after), nn.Identity() if linear else nn.ReLU(inplace=True))


class FoldableNet(nn.Module):  # type: ignore[misc, unused-ignore]
    """A network all of whose batch norms stand in `ConvUnit`s."""

    folded = False
    """Whether the norms are gone: the form in which weights are shipped."""

    def units(self) -> list[ConvUnit]:
        """Every convolution that has, or had, a batch norm."""
        return [module for module in self.modules() if isinstance(module, ConvUnit)]

    def drop_norms(self) -> None:
        """Take the form that `fold` gives, weights still to be loaded. Called once, by the constructor."""
        for unit in self.units():
            unit[0].bias = nn.Parameter(torch.zeros(unit[0].out_channels))
            unit[1] = nn.Identity()
        self.folded = True


Net = TypeVar("Net", bound=FoldableNet)


@torch.no_grad()
def fold(network: Net) -> Net:
    """An equal network for inference, its batch norms gone into the convolutions in front of them."""
    folded: Net = copy.deepcopy(network).eval()
    for unit in () if network.folded else folded.units():
        unit[0] = nn.utils.fusion.fuse_conv_bn_eval(unit[0], unit[1])
        unit[1] = nn.Identity()
    folded.folded = True
    return folded
