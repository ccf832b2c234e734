"""HOP around an external flow network: one ONNX graph from uint8 BGR frames to a cue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calib.graph import constants_as_initializers
from edgebs.errors import ExportError, in_one_line
from edgebs.tensors import TensorSpec
from export.convert import cast_inputs_first
from export.external_flow.file import opset_of, require_flat
from export.external_flow.form import CHANNELS, FlowForm

NCHW_FROM_NHWC, NHWC_FROM_NCHW = (0, 3, 1, 2), (0, 2, 3, 1)
NETWORK = "network."
"""Prefix of the weights' names, as in our own graphs."""
OLDEST_IR, NEWEST_IR = 8, 9
"""File formats that belong to opsets 17 and 19."""


def simplified(model: Any, form: FlowForm, name: str) -> Any:
    """The network at the form's size and batch, its flow its only output, constants folded, inputs float32.

    Raises ExportError if it cannot be simplified, or if loops or branches are left.
    """
    import onnxsim

    alone = onnx.ModelProto()
    alone.CopyFrom(model)
    kept = [value for value in alone.graph.output if value.name == form.output]
    del alone.graph.output[:]
    alone.graph.output.extend(kept)
    image = [*form.run_size, CHANNELS] if form.layout == "nhwc" else [CHANNELS, *form.run_size]
    shapes = {name: [form.batch, *image] for name in form.inputs}
    try:
        result, _ = onnxsim.simplify(alone, overwrite_input_shapes=shapes)
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"step 'simplify' of {name} failed: {in_one_line(error)}") from error
    constants_as_initializers(result)
    require_flat(result, name)
    if form.dtype == "uint8":
        _take_floats(result, form, name)
    return result


def _take_floats(model: Any, form: FlowForm, name: str) -> None:
    """Make uint8 inputs float32 if they are only cast: TensorRT supports uint8 at a graph's inputs alone."""
    cast_inputs_first(model)
    for node in model.graph.node:
        if set(form.inputs).intersection(node.input):
            to_float = any(a.name == "to" and a.i == TensorProto.FLOAT for a in node.attribute)
            if node.op_type != "Cast" or not to_float:
                raise ExportError(
                    f"{name}: {node.op_type} '{node.name}' computes in uint8. Export it to take float32."
                )
    for value in model.graph.input:
        if value.name in form.inputs:
            value.type.tensor_type.elem_type = TensorProto.FLOAT


@dataclass(slots=True)
class _Builder:
    """Nodes and constants of a graph in the making."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node that is named after its one output; return the output."""
        name = f"{kind}_{output}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **attributes))
        return output

    def constant(self, name: str, values: Any, dtype: Any) -> str:
        """A constant's name."""
        if name not in self.names:
            self.names.add(name)
            self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def sliced(
        self, source: str, output: str, axes: Sequence[int], first: Sequence[int], end: Sequence[int]
    ) -> str:
        """Part of a tensor."""
        edges = [
            self.constant(f"{output}.{n}", v, np.int64)
            for n, v in (("from", first), ("to", end), ("axes", axes))
        ]
        return self.add("Slice", [source, *edges], output)

    def affine(self, source: str, output: str, gain: Sequence[float], offset: Sequence[float]) -> str:
        """Multiply and add by channel; steps that change nothing are left out."""
        for kind, values, nothing in (("Mul", gain, 1.0), ("Add", offset, 0.0)):
            if set(values) != {nothing}:
                shape = (1, len(values), 1, 1)
                by_channel = self.constant(f"{output}.{kind}", np.reshape(values, shape), np.float32)
                source = self.add(kind, [source, by_channel], f"{output}.{kind}ed")
        return source

    def resized(self, source: str, output: str, shape: Sequence[int]) -> str:
        """Bilinear."""
        sizes = self.constant(f"{output}.sizes", shape, np.int64)
        return self.add(
            "Resize",
            [source, "", "", sizes],
            output,
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )


def hop_graph(network: Any, form: FlowForm, intervals: Sequence[int], output: str) -> Any:
    """The cue network, from `frame` and `past_<interval>`, each (1, H, W, 3) uint8 BGR, to `output`.

    network: of `simplified`. output: `cue`, |flow| (1, K, H, W), or `flow`, (1, 2 K, H, W), x before y; in
    pixels of our frames, from the present to each past. Returns a ModelProto.
    """
    build = _Builder()
    gaps = len(intervals)
    frames = ["frame", *(f"past_{tau}" for tau in intervals)]
    images = _images(build, form, frames)
    now = build.sliced(images, "hop.now", [0], [0], [1])
    if form.batch == 1:
        pasts = [build.sliced(images, f"hop.{name}", [0], [i], [i + 1]) for i, name in enumerate(frames) if i]
        flows = [
            _insert(build, network, f"{name}.", dict(zip(form.inputs, (now, past), strict=True)), form.output)
            for name, past in zip(frames[1:], pasts, strict=True)
        ]
        flow = flows[0] if gaps == 1 else build.add("Concat", flows, "hop.flows", axis=0)
    else:
        past = build.sliced(images, "hop.pasts", [0], [1], [1 + gaps])
        repeated = build.add("Concat", [now] * gaps, "hop.nows", axis=0)
        flow = _insert(
            build, network, "flow.", dict(zip(form.inputs, (repeated, past), strict=True)), form.output
        )
    _add_output(build, form, flow, gaps, output)
    build.constants += _weights(network)
    return _model(build, form, frames, gaps, output, opset_of(network))


def _images(build: _Builder, form: FlowForm, frames: Sequence[str]) -> str:
    """All frames in the form of the network's inputs, one after the other on N."""
    # The only operator that TensorRT applies to uint8 is a cast.
    floats = [build.add("Cast", [name], f"{name}.float32", to=TensorProto.FLOAT) for name in frames]
    source = build.add("Concat", floats, "hop.frames", axis=0)
    source = build.add("Transpose", [source], "hop.planes", perm=NCHW_FROM_NHWC)
    if not form.is_bgr:
        reverse = build.constant("hop.rgb.order", [2, 1, 0], np.int64)
        source = build.add("Gather", [source, reverse], "hop.rgb", axis=1)
    source = build.affine(source, "hop.scaled", form.gain, form.offset)
    if form.fit == "resize":
        source = build.resized(source, "hop.resized", [len(frames), CHANNELS, *form.run_size])
        if form.dtype == "uint8":
            source = build.add("Round", [source], "hop.rounded")
    if form.fit == "pad":
        right, below = (
            run - own for run, own in zip(form.run_size[::-1], form.frame_size[::-1], strict=True)
        )
        pads = build.constant("hop.pads", [0, 0, 0, 0, 0, 0, below, right], np.int64)
        source = build.add("Pad", [source, pads], "hop.padded", mode="edge")
    if form.layout == "nhwc":
        source = build.add("Transpose", [source], "hop.nhwc", perm=NHWC_FROM_NCHW)
    return source


def _insert(build: _Builder, network: Any, prefix: str, feed: Mapping[str, str], output: str) -> str:
    """One more copy of the network, its weights shared; returns the name of its flow."""
    weights = {tensor.name: NETWORK + tensor.name for tensor in network.graph.initializer}
    known = {"": "", **weights, **feed}

    def renamed(name: str) -> str:
        return str(known.get(name, prefix + name))

    for index, node in enumerate(network.graph.node):
        copy = onnx.NodeProto(op_type=node.op_type, name=f"{prefix}{node.name or node.op_type}#{index}")
        copy.attribute.extend(node.attribute)
        copy.input.extend(map(renamed, node.input))
        copy.output.extend(name and prefix + name for name in node.output)
        build.nodes.append(copy)
    return prefix + output


def _weights(network: Any) -> list[Any]:
    tensors = []
    for tensor in network.graph.initializer:
        copy = TensorProto()
        copy.CopyFrom(tensor)
        copy.name = NETWORK + tensor.name
        tensors.append(copy)
    return tensors


def _add_output(build: _Builder, form: FlowForm, flow: str, gaps: int, output: str) -> None:
    """From the network's flows, one after the other on N, to the cue."""
    if form.output_layout == "nhwc":
        flow = build.add("Transpose", [flow], "hop.flow.planes", perm=NCHW_FROM_NHWC)
    if form.output_size != form.flow_size:
        flow = build.resized(flow, "hop.flow.resized", [gaps, 2, *form.flow_size])
    if form.fit == "pad":
        flow = build.sliced(flow, "hop.flow.cropped", [2, 3], [0, 0], form.frame_size)
    flow = build.affine(flow, "hop.flow.pixels", form.scale, (0.0, 0.0))
    if output == "cue":
        squares = build.add("Mul", [flow, flow], "hop.squares")
        axes = build.constant("hop.xy", [1], np.int64)
        square = build.add("ReduceSum", [squares, axes], "hop.square", keepdims=1)
        flow = build.add("Sqrt", [square], "hop.magnitude" if gaps > 1 else output)
        if gaps > 1:
            build.add("Transpose", [flow], output, perm=(1, 0, 2, 3))
    else:
        shape = build.constant("hop.shape", [1, 2 * gaps, *form.frame_size], np.int64)
        build.add("Reshape", [flow, shape], output)


def _model(build: _Builder, form: FlowForm, frames: Sequence[str], gaps: int, output: str, opset: int) -> Any:
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.UINT8, [1, *form.frame_size, CHANNELS]) for n in frames
    ]
    channels = gaps if output == "cue" else 2 * gaps
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, channels, *form.frame_size])
    graph = helper.make_graph(build.nodes, "hop", inputs, [result], build.constants)
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=OLDEST_IR if opset <= 18 else NEWEST_IR,
    )


def specs(
    form: FlowForm, intervals: Sequence[int], output: str
) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
    """Inputs and outputs of `hop_graph`."""
    names = ["frame", *(f"past_{tau}" for tau in intervals)]
    channels = len(intervals) * (1 if output == "cue" else 2)
    frame = TensorSpec((1, *form.frame_size, CHANNELS), "uint8")
    return dict.fromkeys(names, frame), {output: TensorSpec((1, channels, *form.frame_size), "float32")}
