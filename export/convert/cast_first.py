"""Cast uint8 inputs before anything else reads them: TensorRT knows uint8 only as what a Cast reads."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper

from calib.graph import FLOAT, OnnxGraph, view

MOVES = frozenset({"Concat", "Gather", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that take any type: an exporter may leave them in front of the Cast."""


def cast_inputs_first(model: Any) -> None:
    """Move the float32 casts of uint8 inputs to the inputs, in place; the values are the same.

    A graph that computes in integers before the cast stays as it is: onnx_lint.py says so.
    """
    graph = view(model)
    images = [value.name for value in model.graph.input if graph.dtypes[value.name] == onnx.TensorProto.UINT8]
    moved, casts = _region(graph, images)
    if not casts or moved is None:
        return
    renamed = {cast.output[0]: cast.input[0] for cast in casts}
    renamed.update({name: f"{name}_float32" for name in images})
    nodes = [
        helper.make_node("Cast", [name], [renamed[name]], name=f"Cast_{name}", to=FLOAT) for name in images
    ]
    for node in model.graph.node:
        if node not in casts:
            for index, name in enumerate(node.input):
                while name in renamed:
                    name = renamed[name]
                node.input[index] = name
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _forget_types(model, moved)


def _region(graph: OnnxGraph, images: list[str]) -> tuple[set[str] | None, list[Any]]:
    """Tensors that carry the images as integers, and the casts that end them; None if anything else does."""
    moved, casts = set(images), []
    for node in graph.nodes:
        if not moved.intersection(node.input):
            continue
        if node.op_type == "Cast" and any(a.name == "to" and a.i == FLOAT for a in node.attribute):
            casts.append(node)
        elif node.op_type in MOVES and moved.issuperset(graph.data_inputs(node)):
            moved.update(node.output)
        else:
            return None, []
    return (None, []) if moved.intersection(graph.outputs) else (moved, casts)


def _forget_types(model: Any, tensors: set[str]) -> None:
    """Drop recorded types: these tensors are float32 now."""
    kept = [value for value in model.graph.value_info if value.name not in tensors]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
