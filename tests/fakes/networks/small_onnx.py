"""ONNX files of a few nodes, with results that can be computed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

IR_VERSION = 8


def save(
    file: Path, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], *, domain: str = ""
) -> Path:
    """Write a model of opset 17."""
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    graph = helper.make_graph(list(nodes), "small", list(inputs), list(outputs))
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION), str(file))
    return file


def scaled_sum(file: Path, *, factor: float = 2.0, height: int = 4, width: int = 6) -> Path:
    """probability = mean over colours of `frame` * factor + mean over channels of `cue`."""
    factor_tensor = helper.make_tensor("factor", TensorProto.FLOAT, [], [factor])
    nodes = [
        helper.make_node("Cast", ["frame"], ["colour"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["colour"], ["grey"], axes=[3], keepdims=0),
        helper.make_node("Constant", [], ["factor"], value=factor_tensor),
        helper.make_node("Mul", ["grey", "factor"], ["scaled"]),
        helper.make_node("ReduceMean", ["cue"], ["motion"], axes=[1], keepdims=0),
        helper.make_node("Add", ["scaled", "motion"], ["probability"]),
    ]
    inputs = [
        helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, height, width, 3]),
        helper.make_tensor_value_info("cue", TensorProto.FLOAT, [1, 3, height, width]),
    ]
    outputs = [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [1, height, width])]
    return save(file, nodes, inputs, outputs)


def unknown_operator(file: Path) -> Path:
    """A node that no runtime knows."""
    node = helper.make_node("Fancy", ["x"], ["y"], domain="my.ops", name="odd")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy")
    return save(file, [node], [x], [y], domain="my.ops")


def open_batch(file: Path) -> Path:
    """A network whose batch size is not fixed."""
    node = helper.make_node("Relu", ["x"], ["y"])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in "xy")
    return save(file, [node], [x], [y])


def constant_map(file: Path) -> Path:
    """y = x + a megabyte of constants, which a runtime reads where they lie at every run."""
    values = np.arange(64 * 64 * 64, dtype=np.float32).reshape(1, 64, 64, 64)
    nodes = [
        helper.make_node("Constant", [], ["map"], value=numpy_helper.from_array(values)),
        helper.make_node("Add", ["x", "map"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64, 64, 64]) for name in "xy")
    return save(file, nodes, [x], [y])
