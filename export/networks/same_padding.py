"""TensorFlow's SAME padding for stride 2, written so that ONNX keeps it inside the convolution.

PyTorch pads both sides alike. Where SAME does not (stride 2 on even sizes), eager mode pads or crops
around the convolution; in an ONNX export the same arithmetic becomes one Conv or ConvTranspose with
unequal `pads`, which every engine takes and which leaves nothing between a Q/DQ pair and its convolution.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 2


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
