"""The PyTorch networks."""

from __future__ import annotations

import copy
import warnings
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional


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


STRIDE = 2


# TensorFlow's SAME padding. PyTorch pads both sides alike. Where SAME does not (stride 2 on even sizes),
# eager mode pads or crops around the convolution; in an ONNX export the same arithmetic becomes one Conv or
# ConvTranspose with unequal `pads`, which every engine takes and which leaves nothing between a Q/DQ pair
# and its convolution.
def static_shape(tensor: Tensor) -> tuple[int, ...]:
    """The shape as plain numbers, also while tracing: exports have fixed shapes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return tuple(int(size) for size in tensor.shape)


def static_size(tensor: Tensor) -> tuple[int, int]:
    """(H, W) of an (N, C, H, W) tensor as plain numbers."""
    height, width = static_shape(tensor)[2:]
    return height, width


class Conv2dSame(nn.Conv2d):  # type: ignore[misc, unused-ignore]
    """Convolution with stride 2 on maps of even size; the output has exactly half the size."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        """kernel: odd, so that (kernel - 2) // 2 pads before and one more after."""
        super().__init__(in_channels, out_channels, kernel, stride=STRIDE)
        self.pads = ((kernel - 2) // 2, kernel - 2 - (kernel - 2) // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H/2, W/2)."""
        if torch.onnx.is_in_onnx_export():
            return _OnnxConv.apply(x, self.weight, self.bias, self.pads)
        before, after = self.pads
        padded = functional.pad(x, (before, after, before, after))
        return functional.conv2d(padded, self.weight, self.bias, STRIDE)


class ConvTranspose2dSame(nn.ConvTranspose2d):  # type: ignore[misc, unused-ignore]
    """The gradient of `Conv2dSame`: the full output cropped to exactly twice the input size."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        """kernel: odd, so that (kernel - 2) // 2 is cropped at the start and one more at the end."""
        super().__init__(in_channels, out_channels, kernel, stride=STRIDE, padding=(kernel - 2) // 2)
        self.pads = ((kernel - 2) // 2, kernel - 2 - (kernel - 2) // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', 2H, 2W)."""
        if torch.onnx.is_in_onnx_export():
            return _OnnxConvTranspose.apply(x, self.weight, self.bias, self.pads)
        height, width = x.shape[2] * STRIDE, x.shape[3] * STRIDE
        full = functional.conv_transpose2d(x, self.weight, self.bias, STRIDE, padding=self.pads[0])
        return full[:, :, :height, :width]


class _OnnxConv(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    """Used only while exporting: `symbolic` writes the node, `forward` gives the tracer the shape."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, pads: tuple[int, int]) -> Tensor:
        padded = functional.pad(x, (pads[0], pads[1], pads[0], pads[1]))
        return functional.conv2d(padded, weight, bias, STRIDE)

    @staticmethod
    def symbolic(graph: Any, x: Any, weight: Any, bias: Any, pads: tuple[int, int]) -> Any:
        sizes = x.type().sizes()
        output = [sizes[0], weight.type().sizes()[0], sizes[2] // STRIDE, sizes[3] // STRIDE]
        return _node(graph, "Conv", x, weight, bias, pads, output)


class _OnnxConvTranspose(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    """As `_OnnxConv`; in ONNX the pads of a ConvTranspose are what is cropped."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, pads: tuple[int, int]) -> Tensor:
        full = functional.conv_transpose2d(x, weight, bias, STRIDE, padding=pads[0])
        return full[:, :, :-1, :-1]

    @staticmethod
    def symbolic(graph: Any, x: Any, weight: Any, bias: Any, pads: tuple[int, int]) -> Any:
        sizes = x.type().sizes()
        output = [sizes[0], weight.type().sizes()[1], sizes[2] * STRIDE, sizes[3] * STRIDE]
        return _node(graph, "ConvTranspose", x, weight, bias, pads, output)


def _node(
    graph: Any, kind: str, x: Any, weight: Any, bias: Any, pads: tuple[int, int], output: list[int]
) -> Any:
    before, after = pads
    node = graph.op(
        kind,
        x,
        weight,
        bias,
        kernel_shape_i=weight.type().sizes()[2:],
        strides_i=[STRIDE, STRIDE],
        pads_i=[before, before, after, after],
        dilations_i=[1, 1],
        group_i=1,
    )
    node.setType(x.type().with_sizes(output))
    return node
