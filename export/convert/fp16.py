"""FP32 ONNX -> FP16 ONNX: float16 weights and activations where they do no harm, float32 where they would.

Written here and not taken from onnxconverter-common, which casts float32 inputs to float16 and back on the
way to a node that is to stay in float32, and clamps weights silently.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from calib.graph import (
    FLOAT,
    FLOAT16,
    OnnxGraph,
    constants_as_initializers,
    load,
    require_valid,
    view,
    with_weights_outside,
)
from calib.int8.float32_nodes import float32_nodes
from calib.int8.rewrites import remove_unread
from edgebs.errors import ExportError
from edgebs.files import work_folder
from edgebs.tensors import Array
from export.convert import open_session

logger = logging.getLogger(__name__)
LARGEST = float(np.finfo(np.float16).max)

COMPUTING = frozenset({"Add", "Conv", "ConvTranspose", "Div", "Gemm", "MatMul", "Mul", "ReduceSum", "Sub"})
"""Operators whose results can be larger than what they read."""


def fp16_from_fp32(fp32: Path, file: Path, feeds: Sequence[Mapping[str, Array]]) -> None:
    """Write `fp32` with its convolutions, and what lies between them, in float16.

    Inputs and outputs keep their types; the nodes of calib/int8/float32_nodes.py stay in float32.
    feeds: real inputs; on them every float16 tensor must stay below 65504.
    Raises ExportError naming the first weight or tensor that does not.
    """
    with work_folder(file) as folder:
        _require_range(with_weights_outside(fp32, folder), folder, feeds)
        model = load(fp32)
        constants_as_initializers(model)
        _convert(model)
        finished = folder / "fp16.onnx"
        onnx.save_model(model, str(finished))
        del model
        _check(finished, feeds)
        finished.replace(file)
    logger.info("wrote %s (%.1f MB)", file, file.stat().st_size / 1e6)


def _require_range(model: Any, folder: Path, feeds: Sequence[Mapping[str, Array]]) -> None:
    """Look at the float32 values of all tensors that will be float16: a CPU run in float16 would hide it."""
    graph = view(model)
    narrow = [name for node in _narrow_nodes(graph) if node.op_type in COMPUTING for name in node.output]
    present = {value.name for value in model.graph.output}
    model.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in narrow if name not in present
    )
    watched = folder / "watched.onnx"
    onnx.save_model(model, str(watched))
    session = open_session(watched)
    for index, feed in enumerate(feeds):
        for name, value in zip(narrow, session.run(narrow, dict(feed)), strict=True):
            largest = float(np.abs(value).max())
            if not largest <= LARGEST:  # also true for NaN
                node = graph.producers[name]
                raise ExportError(
                    f"FP16 overflows on sample {index}: tensor '{name}' ({node.op_type}) reaches "
                    f"{largest:.4g}, float16 ends at {LARGEST:.0f}. Use fp32 or int8 for this network."
                )


def _narrow_nodes(graph: OnnxGraph) -> list[Any]:
    """The nodes that compute in float16."""
    kept = float32_nodes(graph)
    return [
        node
        for node in graph.nodes
        if node.name not in kept and any(graph.dtypes.get(name) == FLOAT for name in node.output)
    ]


def _convert(model: Any) -> None:
    graph = view(model)
    narrow = {node.name for node in _narrow_nodes(graph)}
    halved = _Halved(graph)
    for name in sorted({name for node in graph.nodes if node.name in narrow for name in node.input}):
        if name in graph.constants and graph.dtypes[name] == FLOAT:
            halved.names[name, FLOAT16] = _half_constant(model, name)
    for node in list(model.graph.node):
        halved.add(node, FLOAT16 if node.name in narrow else FLOAT)
    del model.graph.node[:]
    model.graph.node.extend(halved.nodes)
    del model.graph.value_info[:]  # of types that no longer hold
    remove_unread(model)


def _half_constant(model: Any, name: str) -> str:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    value = numpy_helper.to_array(tensor)
    largest = float(np.abs(value).max(initial=0))
    if not largest <= LARGEST:
        raise ExportError(
            f"FP16 overflows: weight '{name}' reaches {largest:.4g}, float16 ends at {LARGEST:.0f}. "
            "Use fp32 or int8 for this network."
        )
    half = f"{name}_float16"
    model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float16), half))
    return half


@dataclass(slots=True)
class _Halved:
    """The new nodes, and under which name each tensor is found in each type."""

    graph: OnnxGraph
    nodes: list[Any] = field(default_factory=list)
    names: dict[tuple[str, int], str] = field(default_factory=dict)
    """(tensor of the float32 graph, element type) -> tensor of the new graph. Absent: its own name."""

    def add(self, node: Any, dtype: int) -> None:
        """Append `node`, computing in `dtype`, behind the casts that it needs."""
        for index, name in enumerate(node.input):
            if self.graph.dtypes.get(name) == FLOAT:
                node.input[index] = self._as(name, dtype)
        self.nodes.append(node)
        if dtype == FLOAT:
            self.names.update({(name, FLOAT): name for name in node.output})
        else:
            _make_half(node)
            for index, name in enumerate(node.output):
                if self.graph.dtypes.get(name) == FLOAT:
                    node.output[index] = self.names[name, FLOAT16] = f"{name}_float16"
                    if name in self.graph.outputs:
                        self._as(name, FLOAT)

    def _as(self, name: str, dtype: int) -> str:
        """The name of tensor `name` in `dtype`; a cast is appended where it exists in the other type only."""
        other = FLOAT if dtype == FLOAT16 else FLOAT16
        if (name, dtype) in self.names:
            return self.names[name, dtype]
        if name in self.graph.constants or (dtype == FLOAT and name not in self.graph.producers):
            return name
        source = self.names.get((name, other), name)
        target = name if dtype == FLOAT else f"{name}_float16"
        self.nodes.append(helper.make_node("Cast", [source], [target], name=f"Cast_{target}", to=dtype))
        self.names[name, dtype] = target
        return target


def _make_half(node: Any) -> None:
    """Change what in a node's attributes names its type."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
            attribute.i = FLOAT16


def _check(file: Path, feeds: Sequence[Mapping[str, Array]]) -> None:
    require_valid(file, "ONNX refuses the float16 network")
    session = open_session(file)
    for index, feed in enumerate(feeds):
        for output, value in zip(session.get_outputs(), session.run(None, dict(feed)), strict=True):
            if not np.isfinite(value).all():
                raise ExportError(f"FP16 gives NaN or infinity in output '{output.name}' on sample {index}")
