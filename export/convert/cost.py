"""What a network costs: parameters and floating-point operations, a multiply-add counted as two."""

from __future__ import annotations

import math
from typing import Any

import onnx
import torch
from onnx import TensorProto
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from calib.graph import view


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


def onnx_parameters(model: Any) -> int:
    """Number of float values in its tensors; a scalar is no weight."""
    return sum(
        math.prod(tensor.dims)
        for tensor in view(model).constants.values()
        if tensor.data_type == TensorProto.FLOAT and tensor.dims
    )


def onnx_gflop(model: Any) -> float:
    """10^9 operations of one run, a multiply-add counted as two, of convolutions and matrix products.

    model: with fixed shapes, its weights inside.
    """
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    shapes.update((tensor.name, list(tensor.dims)) for tensor in graph.initializer)
    return sum(_operations(node, shapes) for node in graph.node) / 1e9


def _operations(node: Any, shapes: dict[str, list[int]]) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    first, second, result = (shapes.get(name, [0]) for name in (*node.input[:2], node.output[0]))
    if node.op_type == "Conv":  # every result is a sum over the kernel
        return 2 * math.prod(result) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":  # every input goes through the kernel
        return 2 * math.prod(first) * math.prod(second[1:])
    is_transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return 2 * math.prod(result) * first[0 if is_transposed else -1]
