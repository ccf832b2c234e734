"""Flow networks of a few nodes, whose flow can be computed by hand from the colours of the two images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgebs.tensors import Array, Frame

SIDE = 64
FIRST_RED, SECOND_BLUE = 8.0, 6.0
"""The toy's flow: x is this times red of `image1`, y this times blue of `image2`, of values from 0 to 1."""


def flow_toy(
    file: Path,
    *,
    layout: str = "nchw",
    white: float = 1.0,
    bgr: bool = False,
    size: tuple[Any, Any] = (SIDE, SIDE),
    batch: Any = 1,
    dtype: int = TensorProto.FLOAT,
    low: int = 0,
    full: bool = True,
    channels: int = 2,
    bias: tuple[float, float] | None = None,
    opset: int = 17,
    extra_input: bool = False,
    undefined_on: str = "",
) -> Path:
    """Write it. low: also, or with `full` false only, the flow at 1/low of the size, in pixels of that size.

    undefined_on: pictures on which it gives NaN, one of UNDEFINED.
    bias: a constant flow in place of the colours' one. channels: of the output, further ones like x.
    """
    weights = np.zeros((channels, 6, 1, 1), np.float32)
    red, blue = (2, 0) if bgr else (0, 2)
    if bias is None:
        weights[0, red], weights[1, 3 + blue] = FIRST_RED / white, SECOND_BLUE / white
        weights[2:] = weights[:1]
    nodes, names = [], []
    for name in ("image1", "image2"):
        if dtype != TensorProto.FLOAT:
            nodes.append(helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT))
            name = f"{name}_float"
        if layout == "nhwc":
            nodes.append(helper.make_node("Transpose", [name], [f"{name}_planes"], perm=(0, 3, 1, 2)))
            name = f"{name}_planes"
        names.append(name)
    nodes += [
        helper.make_node("Concat", names, ["both"], axis=1),
        helper.make_node("Conv", ["both", "weights", "bias"], ["planes"]),
    ]
    if undefined_on:
        nodes[-1].output[0] = "defined"
        nodes += UNDEFINED[undefined_on](names)
    outputs = _outputs(nodes, layout, low, full)
    shape = [batch, *size, 3] if layout == "nhwc" else [batch, 3, *size]
    inputs = [helper.make_tensor_value_info(name, dtype, shape) for name in ("image1", "image2")]
    if extra_input:
        inputs.append(helper.make_tensor_value_info("iterations", TensorProto.INT64, [1]))
        nodes.append(helper.make_node("Identity", ["iterations"], ["same"]))
    constants = {"weights": weights, "bias": np.float32(bias or (0,) * channels)}
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save_model(model, str(file))
    return file


def _divided_by(reduced: list[Any], by: str) -> list[Any]:
    """Nodes that add 0 / `by` to the flow: 0, or NaN where `by` is 0."""
    zero = numpy_helper.from_array(np.float32(0), "zero")
    return [
        *reduced,
        helper.make_node("Constant", [], ["zero"], value=zero),
        helper.make_node("Mul", [by, "zero"], ["nothing"]),
        helper.make_node("Div", ["nothing", by], ["added"]),
        helper.make_node("Add", ["defined", "added"], ["planes"]),
    ]


def _deviation(names: list[str]) -> list[Any]:
    """As networks do that normalise each picture by its contrast."""
    axes = {"axes": [1, 2, 3]}
    return _divided_by(
        [
            helper.make_node("ReduceMax", [names[0]], ["most"], **axes),
            helper.make_node("ReduceMin", [names[0]], ["least"], **axes),
            helper.make_node("Sub", ["most", "least"], ["contrast"]),
        ],
        "contrast",
    )


def _brightness(names: list[str]) -> list[Any]:
    return _divided_by([helper.make_node("ReduceMax", [names[0]], ["most"], axes=[1, 2, 3])], "most")


def _darkness(names: list[str]) -> list[Any]:
    one = numpy_helper.from_array(np.float32(1), "one")
    return _divided_by(
        [
            helper.make_node("Constant", [], ["one"], value=one),
            helper.make_node("ReduceMin", [names[0]], ["least"], axes=[1, 2, 3]),
            helper.make_node("Sub", ["one", "least"], ["dark"]),
        ],
        "dark",
    )


def _difference(names: list[str]) -> list[Any]:
    return _divided_by(
        [
            helper.make_node("Sub", names, ["differences"]),
            helper.make_node("Abs", ["differences"], ["sizes"]),
            helper.make_node("ReduceMax", ["sizes"], ["difference"], axes=[1, 2, 3]),
        ],
        "difference",
    )


def _local_deviation(names: list[str]) -> list[Any]:
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    return _divided_by(
        [
            helper.make_node("ReduceMax", [names[0]], ["lightest"], axes=[1]),
            helper.make_node("Neg", ["lightest"], ["dark"]),
            helper.make_node("MaxPool", ["lightest"], ["most"], **window),
            helper.make_node("MaxPool", ["dark"], ["least"], **window),
            helper.make_node("Add", ["most", "least"], ["contrast"]),
        ],
        "contrast",
    )


UNDEFINED = {
    "even": _deviation,
    "black": _brightness,
    "white": _darkness,
    "identical": _difference,
    "even area": _local_deviation,
}


def _outputs(nodes: list[Any], layout: str, low: int, full: bool) -> list[Any]:
    names = []
    if full:
        turned = layout == "nhwc"
        nodes.append(
            helper.make_node("Transpose", ["planes"], ["flow"], perm=(0, 2, 3, 1))
            if turned
            else helper.make_node("Identity", ["planes"], ["flow"])
        )
        names.append("flow")
    if low:
        pool = {"kernel_shape": [low, low], "strides": [low, low]}
        by = numpy_helper.from_array(np.float32(1 / low), "by")
        nodes += [
            helper.make_node("AveragePool", ["planes"], ["pooled"], **pool),
            helper.make_node("Constant", [], ["by"], value=by),
            helper.make_node("Mul", ["pooled", "by"], ["flow_low"]),
        ]
        names.append("flow_low")
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in names]


def frames(size: tuple[int, int] = (SIDE, SIDE), pasts: int = 3, seed: int = 0) -> dict[str, Array]:
    """What a cue network is fed: noise that is smooth, so that it may be resized, (1, H, W, 3) uint8."""
    names = ["frame", *(f"past_{tau}" for tau in (1, 5, 10)[:pasts])]
    generator = np.random.default_rng(seed)
    return {name: _smooth(generator, size)[np.newaxis] for name in names}


def _smooth(generator: np.random.Generator, size: tuple[int, int]) -> Frame:
    coarse = generator.integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3)).astype(np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]])


def expected(feed: dict[str, Array]) -> Array:
    """(1, K, H, W): |flow| of the toy, by hand."""
    x = FIRST_RED * feed["frame"][0, :, :, 2] / 255
    ys = [SECOND_BLUE * feed[name][0, :, :, 0] / 255 for name in list(feed)[1:]]
    return np.stack([np.hypot(x, y) for y in ys])[np.newaxis]
