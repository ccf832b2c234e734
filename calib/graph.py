"""A read-only view of an ONNX graph: who makes each tensor, and of what type it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
from onnx import numpy_helper

from edgebs.errors import ExportError, in_one_line
from edgebs.tensors import Array

SMALL_BYTES = 1024
"""Constants up to this size can steer shapes; larger ones are weights."""
FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """The nodes of a graph and its tensors by name."""

    nodes: Sequence[Any]
    """NodeProtos in the order of execution; those inside If and Loop bodies too."""
    producers: Mapping[str, Any]
    """The node that writes a tensor."""
    constants: Mapping[str, Any]
    """TensorProtos of initializers and Constant nodes."""
    dtypes: Mapping[str, int]
    """onnx.TensorProto element type, of every tensor that shape inference reaches."""
    outputs: Sequence[str]
    """Names of the graph's outputs."""

    def constant(self, name: str) -> Array | None:
        """The value of a constant; None for tensors that are computed."""
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def data_inputs(self, node: Any) -> list[str]:
        """The inputs of `node` that are neither absent nor constant."""
        return [name for name in node.input if name and name not in self.constants]


def view(model: Any) -> OnnxGraph:
    """The view of a ModelProto, whose weights may be left outside (external data, not loaded)."""
    nodes = list(_walk(model.graph))
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in nodes:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    return OnnxGraph(
        nodes=nodes,
        producers={name: node for node in nodes for name in node.output if name},
        constants=constants,
        dtypes=_dtypes(model, constants),
        outputs=[value.name for value in model.graph.output],
    )


def _walk(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from _walk(body)


def _dtypes(model: Any, constants: Mapping[str, Any]) -> dict[str, int]:
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.graph.name = "types"
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    for (
        tensor
    ) in model.graph.initializer:  # inference copies the model: gigabytes, were weights to come along
        if tensor.ByteSize() <= SMALL_BYTES and tensor.data_location != onnx.TensorProto.EXTERNAL:
            light.graph.initializer.append(tensor)
        else:
            light.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    graph = onnx.shape_inference.infer_shapes(light).graph
    values = (*model.graph.value_info, *graph.input, *graph.value_info, *graph.output)
    dtypes = {value.name: value.type.tensor_type.elem_type for value in values}
    dtypes.update((name, tensor.data_type) for name, tensor in constants.items())
    return dtypes


def constants_as_initializers(model: Any) -> None:
    """Turn Constant nodes into initializers, in place: NNCF and our own passes look for weights there."""
    for node in [node for node in model.graph.node if node.op_type == "Constant"]:
        if node.attribute[0].name == "value":
            tensor = model.graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
            model.graph.node.remove(node)


def load(file: Path) -> Any:
    """The ModelProto of an ONNX file. Raises ExportError if it cannot be read."""
    try:
        return onnx.load_model(str(file))
    except (OSError, DecodeError) as error:
        raise ExportError(f"{file} cannot be read as ONNX: {error}") from error


def require_valid(file: Path, refusal: str) -> None:
    """Raise ExportError that begins with `refusal` unless the checker and shape inference accept `file`."""
    try:
        onnx.checker.check_model(str(file), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{refusal}: {in_one_line(error)}") from error


def with_weights_outside(file: Path, folder: Path) -> Any:
    """The ModelProto of `file` without its weights, which go into `folder`, beside a copy of the model there.

    What edits or runs a model of gigabytes can then copy it freely; ONNX Runtime maps the weights from disk.
    Raises ExportError where `file` is not an ONNX file.
    """
    outside = folder / "model.onnx"
    model = load(file)
    constants_as_initializers(model)
    onnx.save_model(
        model,
        str(outside),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=SMALL_BYTES,
    )
    del model
    return onnx.load_model(str(outside), load_external_data=False)
