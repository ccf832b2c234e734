"""The builder of ONNX files for tests; and small networks, computed by hand or in the three precisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 32
UINT8_FRAME = {"frame": TensorProto.UINT8}
Shapes = Mapping[str, Sequence[Any] | None]


class Graph:
    """Nodes and weights that grow into a model of opset 17."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """A node, named after its output unless `name` says otherwise."""
        node = helper.make_node(operator, inputs, [output], **{"name": f"/{output}", **attributes})
        self.nodes.append(node)
        return output

    def weight(self, name: str, values: Any) -> str:
        """A constant tensor."""
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def quantised(self, x: str, scale: float) -> str:
        """x through a symmetric signed Q/DQ pair."""
        s, z = self.weight(f"{x}_s", np.float32(scale)), self.weight(f"{x}_z", np.int8(0))
        self.add("QuantizeLinear", [x, s, z], f"{x}_q")
        return self.add("DequantizeLinear", [f"{x}_q", s, z], f"{x}_dq")

    def model(
        self, inputs: Shapes, outputs: Shapes, *, opset: int = 17, dtypes: Mapping[str, int] = {}
    ) -> Any:
        """Tensors are float32 unless `dtypes` says otherwise; nodes may be of any domain."""
        ends = [
            [
                helper.make_tensor_value_info(name, dtypes.get(name, TensorProto.FLOAT), shape)
                for name, shape in end.items()
            ]
            for end in (inputs, outputs)
        ]
        graph = helper.make_graph(self.nodes, "toy", *ends, self.weights)
        domains = {"": opset} | {node.domain: 1 for node in self.nodes if node.domain}
        opsets = [helper.make_opsetid(*domain) for domain in domains.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def save(self, file: Path, inputs: Shapes, outputs: Shapes, **options: Any) -> Path:
        """Write the model."""
        onnx.save(self.model(inputs, outputs, **options), str(file))
        return file


def conv_net(file: Path, precision: str = "fp32", *, channels: int = 8) -> Path:
    """frame uint8 and cue float32 -> two convolutions -> probability float32."""
    graph, rng = Graph(), np.random.default_rng(0)
    kind = np.float16 if precision == "fp16" else np.float32
    graph.add("Cast", ["frame"], "colour", to=TensorProto.FLOAT)
    graph.add("Transpose", ["colour"], "planes", perm=[0, 3, 1, 2])
    x = graph.add("Concat", ["planes", "cue"], "seen", axis=1)
    if precision == "fp16":
        x = graph.add("Cast", [x], "seen16", to=TensorProto.FLOAT16)
    for index, (before, after) in enumerate([(6, channels), (channels, 1)]):
        weight = graph.weight(
            f"w{index}", rng.standard_normal((after, before, 3, 3)).astype(kind) * kind(0.1)
        )
        if precision == "int8":
            x, weight = graph.quantised(x, 0.5), _quantised_weight(graph, index, after, before)
        x = graph.add("Conv", [x, weight], f"conv{index}", pads=[1, 1, 1, 1])
        x = graph.add("Sigmoid", [x], f"active{index}")
    if precision == "fp16":
        x = graph.add("Cast", [x], "back", to=TensorProto.FLOAT)
    graph.add("Squeeze", [x, graph.weight("axis", np.array([1]))], "probability")
    inputs = {"frame": [1, SIZE, SIZE, 3], "cue": [1, 3, SIZE, SIZE]}
    return graph.save(file, inputs, {"probability": [1, SIZE, SIZE]}, dtypes=UINT8_FRAME)


def full_range_convolution(file: Path) -> Path:
    """x -> 288 products of u8 255 and i8 127, each of value 1: what saturates where sums have 16 bits."""
    graph = Graph()
    s, z = graph.weight("s", np.float32(1 / 255)), graph.weight("z", np.uint8(0))
    graph.add("QuantizeLinear", ["x", s, z], "x_q")
    x = graph.add("DequantizeLinear", ["x_q", s, z], "x_dq")
    weights = graph.weight("w_q", np.full((32, 32, 3, 3), 127, np.int8))
    scales = graph.weight("w_s", np.full(32, 1 / 127, np.float32))
    zeros = graph.weight("w_z", np.zeros(32, np.int8))
    w = graph.add("DequantizeLinear", [weights, scales, zeros], "w", axis=0)
    graph.add("Conv", [x, w], "y", pads=[1, 1, 1, 1])
    return graph.save(file, {"x": [1, 32, 8, 8]}, {"y": [1, 32, 8, 8]})


def _quantised_weight(graph: Graph, index: int, after: int, before: int) -> str:
    values = np.random.default_rng(1).integers(-127, 128, (after, before, 3, 3), np.int8)
    scales = graph.weight(f"w{index}_s", np.full(after, 0.01, np.float32))
    zeros = graph.weight(f"w{index}_z", np.zeros(after, np.int8))
    return graph.add(
        "DequantizeLinear", [graph.weight(f"w{index}_q", values), scales, zeros], f"w{index}_dq", axis=0
    )


def grid_sample_net(file: Path, precision: str = "fp32", *, mode: str = "bilinear", opset: int = 17) -> Path:
    """Features warped by a grid; the warp itself stays in float32, as the exporter has it."""
    graph = Graph()
    x = "image"
    kind = np.float16 if precision == "fp16" else np.float32
    if precision == "fp16":
        x = graph.add("Cast", [x], "image16", to=TensorProto.FLOAT16)
    if precision == "int8":
        x = graph.quantised(x, 0.02)
        weight = _quantised_weight(graph, 0, 4, 3)
    else:
        weight = graph.weight("w", np.full((4, 3, 3, 3), 0.1, kind))
    x = graph.add("Conv", [x, weight], "features", pads=[1, 1, 1, 1])
    if precision == "fp16":
        x = graph.add("Cast", [x], "features32", to=TensorProto.FLOAT)
    graph.add("GridSample", [x, "grid"], "warped", mode=mode, padding_mode="border")
    inputs = {"image": [1, 3, SIZE, SIZE], "grid": [1, SIZE, SIZE, 2]}
    return graph.save(file, inputs, {"warped": [1, 4, SIZE, SIZE]}, opset=opset)


def matmul_net(file: Path) -> Path:
    """A float32 matrix product, which TensorRT-RTX refuses on Turing."""
    graph = Graph()
    graph.add("MatMul", ["x", graph.weight("w", np.ones((64, 64), np.float32))], "product")
    return graph.save(file, {"x": [4, 64]}, {"product": [4, 64]})


def uint8_transpose_net(file: Path) -> Path:
    """Frames that are transposed before they are cast: TensorRT refuses it."""
    graph = Graph()
    graph.add("Transpose", ["frame"], "planes", perm=[0, 3, 1, 2])
    graph.add("Cast", ["planes"], "colour", to=TensorProto.FLOAT)
    return graph.save(file, {"frame": [1, SIZE, SIZE, 3]}, {"colour": [1, 3, SIZE, SIZE]}, dtypes=UINT8_FRAME)


def int32_bias_net(file: Path) -> Path:
    """A DequantizeLinear of an INT32 bias, as ONNX Runtime's quantiser writes it: TensorRT refuses it."""
    graph = Graph()
    scale = graph.weight("s", np.float32(0.1))
    bias = graph.add("DequantizeLinear", [graph.weight("b", np.ones(4, np.int32)), scale], "bias")
    graph.add("Add", ["x", bias], "sum")
    return graph.save(file, {"x": [2, 4]}, {"sum": [2, 4]})


def free_batch(file: Path) -> Path:
    """The same network, in place, for any number of frames a call."""
    model = onnx.load(str(file))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.save(model, str(file))
    return file


def scaled_sum(file: Path, *, factor: float = 2.0, height: int = 4, width: int = 6) -> Path:
    """probability = mean over colours of `frame` * factor + mean over channels of `cue`."""
    graph = Graph()
    graph.add("Cast", ["frame"], "colour", to=TensorProto.FLOAT)
    graph.add("ReduceMean", ["colour"], "grey", axes=[3], keepdims=0)
    graph.add("Mul", ["grey", graph.weight("factor", np.float32(factor))], "scaled")
    graph.add("ReduceMean", ["cue"], "motion", axes=[1], keepdims=0)
    graph.add("Add", ["scaled", "motion"], "probability")
    inputs = {"frame": [1, height, width, 3], "cue": [1, 3, height, width]}
    return graph.save(file, inputs, {"probability": [1, height, width]}, dtypes=UINT8_FRAME)


def unary(file: Path, operator: str, shape: Sequence[Any], **attributes: Any) -> Path:
    """y = operator(x)."""
    graph = Graph()
    graph.add(operator, ["x"], "y", **attributes)
    return graph.save(file, {"x": shape}, {"y": shape})


def unknown_operator(file: Path) -> Path:
    """A node that no runtime knows."""
    return unary(file, "Fancy", [1, 3], domain="my.ops", name="odd")


def open_batch(file: Path) -> Path:
    """A network whose batch size is not fixed."""
    return unary(file, "Relu", ["N", 3])


def constant_map(file: Path) -> Path:
    """y = x + a megabyte of constants, which a runtime reads where they lie at every run."""
    graph, shape = Graph(), [1, 64, 64, 64]
    graph.add("Add", ["x", graph.weight("map", np.arange(64**3, dtype=np.float32).reshape(shape))], "y")
    return graph.save(file, {"x": shape}, {"y": shape})
