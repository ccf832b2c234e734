"""What a network costs that exists as ONNX alone: parameters and floating-point operations."""

from __future__ import annotations

import math
from typing import Any

import onnx
from onnx import TensorProto

from calib.graph import view


def parameters(model: Any) -> int:
    """Number of float values in its tensors; a scalar is no weight."""
    return sum(
        math.prod(tensor.dims)
        for tensor in view(model).constants.values()
        if tensor.data_type == TensorProto.FLOAT and tensor.dims
    )


def gflop(model: Any) -> float:
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
