"""Rewrites of the quantise and dequantise nodes that NNCF places, for what each runtime makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from calib.graph import OnnxGraph, view

UNSIGNED_LEVELS, SIGNED_LEVELS = 255, 127
MOVES = frozenset({"Concat", "Expand", "Reshape", "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze"})
"""Operators that move values and compute nothing, with one data input (Concat: all)."""


def make_signed(model: Any) -> None:
    """Turn uint8 quantisers with zero point 0 into int8 ones of the same range, in place.

    TensorRT takes signed int8 only; NNCF writes uint8 where a tensor cannot be negative, and cannot be told
    otherwise. The range stays, the step doubles: scale * 255 / 127.
    """
    graph = view(model)
    pairs = {
        (node.input[1], node.input[2])
        for node in graph.nodes
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and _is_unsigned(graph, node)
    }
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for scale, zero_point in sorted(pairs):
        wider = numpy_helper.to_array(tensors[scale]) * np.float32(UNSIGNED_LEVELS / SIGNED_LEVELS)
        tensors[scale].CopyFrom(numpy_helper.from_array(wider, scale))
        zeros = numpy_helper.to_array(tensors[zero_point]).astype(np.int8)
        tensors[zero_point].CopyFrom(numpy_helper.from_array(zeros, zero_point))
    del model.graph.value_info[:]  # it still names uint8


def _is_unsigned(graph: OnnxGraph, node: Any) -> bool:
    zero_point = graph.constant(node.input[2]) if len(node.input) > 2 else None
    return zero_point is not None and zero_point.dtype == np.uint8 and not zero_point.any()


def concatenate_integers(model: Any) -> None:
    """Quantise in front of concatenations and dequantise behind them, so that integers are joined, in place.

    The results are the same. OpenVINO 2026.4 computes a wrong convolution from either form that NNCF writes,
    Conv(Concat(DQ(Q(a)), DQ(Q(b)))) and Conv(DQ(Q(Concat(a, b)))): CrossNet.s signal to noise is
    9 dB where it should be 30. From Conv(DQ(Concat(Q(a), Q(b)))) it computes a right one, as fast.
    """
    _quantise_early(model)
    _dequantise_late(model)
    remove_unread(model)


def _quantise_early(model: Any) -> None:
    """Replace Q(Concat(a, b)) by Concat(Q(a), Q(b))."""
    graph = view(model)
    nodes = []
    for node in model.graph.node:
        concat = graph.producers.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        if concat is not None and concat.op_type == "Concat":
            nodes.extend(_quantised_concat(model, graph, concat, node))
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _quantised_concat(model: Any, graph: OnnxGraph, concat: Any, quantise: Any) -> list[Any]:
    scale, zero_point = quantise.input[1:]
    nodes, parts = [], []
    for index, name in enumerate(concat.input):
        inner = graph.producers.get(name)
        part = f"{quantise.output[0]}_{index}"
        if name in graph.constants:
            part = _quantised_constant(model, graph, name, scale, zero_point)
        else:
            each = helper.make_node(
                "QuantizeLinear", [name, scale, zero_point], [part], name=f"{quantise.name}_{index}"
            )
            joined = inner is not None and inner.op_type == "Concat"
            nodes.extend(_quantised_concat(model, graph, inner, each) if joined else [each])
        parts.append(part)
    name = f"{concat.name}_of_{quantise.name}"
    joined_integers = helper.make_node("Concat", parts, list(quantise.output), name=name)
    joined_integers.attribute.extend(concat.attribute)
    return [*nodes, joined_integers]


def _dequantise_late(model: Any) -> None:
    """Move dequantisers behind operators that only move values."""
    graph = view(model)
    dequantisers = {node.output[0]: node for node in graph.nodes if node.op_type == "DequantizeLinear"}
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type in MOVES:
            late = _dequantiser_behind(model, graph, node, dequantisers)
            if late is not None:
                dequantisers[late.output[0]] = late
                nodes.append(late)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _dequantiser_behind(model: Any, graph: OnnxGraph, node: Any, dequantisers: dict[str, Any]) -> Any | None:
    """Rewire `node` to integers and return the dequantiser of its result; None where its inputs forbid it."""
    data = list(node.input) if node.op_type == "Concat" else [node.input[0]]
    sources = [dequantisers[name] for name in data if name in dequantisers]
    computed = [name for name in data if name not in graph.constants]
    if len(sources) != len(computed) or not _share_a_scale(graph, sources) or node.domain:
        return None
    scale, zero_point = sources[0].input[1:]
    for index, name in enumerate(data):
        if name in dequantisers:
            node.input[index] = dequantisers[name].input[0]
        else:
            node.input[index] = _quantised_constant(model, graph, name, scale, zero_point)
    output, integers = node.output[0], f"{node.output[0]}_integers"
    node.output[0] = integers
    return helper.make_node(
        "DequantizeLinear", [integers, scale, zero_point], [output], name=f"DequantizeLinear_{output}"
    )


def _share_a_scale(graph: OnnxGraph, sources: list[Any]) -> bool:
    kinds = set()
    for source in sources:
        scale, zero_point = graph.constant(source.input[1]), graph.constant(source.input[2])
        if scale is None or scale.size != 1 or zero_point is None or source.input[0] in graph.constants:
            return False
        kinds.add((scale.item(), zero_point.dtype.name, zero_point.item()))
    return len(kinds) == 1


def _quantised_constant(model: Any, graph: OnnxGraph, name: str, scale: str, zero_point: str) -> str:
    quantised = f"{name}_quantised_as_{scale}"
    if any(tensor.name == quantised for tensor in model.graph.initializer):
        return quantised
    tensors = graph.constants
    value, step, zero = (numpy_helper.to_array(tensors[each]) for each in (name, scale, zero_point))
    limits = np.iinfo(zero.dtype)
    integers = np.clip(np.rint(value / step) + zero, limits.min, limits.max).astype(zero.dtype)
    model.graph.initializer.append(numpy_helper.from_array(integers, quantised))
    return quantised


def remove_unread(model: Any) -> None:
    """Remove nodes and initializers that lead to no output, in place."""
    graph = model.graph
    read = {value.name for value in graph.output}
    for node in reversed(list(graph.node)):
        if read.intersection(node.output):
            read.update(node.input)
        else:
            graph.node.remove(node)
    for tensor in list(graph.initializer):
        if tensor.name not in read:
            graph.initializer.remove(tensor)
    kept = [value for value in graph.value_info if value.name in read]
    del graph.value_info[:]
    graph.value_info.extend(kept)
