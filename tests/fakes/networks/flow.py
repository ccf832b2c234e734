"""Flow networks of a few nodes, whose flow can be computed by hand from the colours of the two images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto

from edgebs.tensors import Array, Frame
from fakes.networks.toy_onnx import Graph

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
    images = ("image1", "image2")
    weights = np.zeros((channels, 6, 1, 1), np.float32)
    red, blue = (2, 0) if bgr else (0, 2)
    if bias is None:
        weights[0, red], weights[1, 3 + blue] = FIRST_RED / white, SECOND_BLUE / white
        weights[2:] = weights[:1]
    graph, names = Graph(), []
    for name in images:
        if dtype != TensorProto.FLOAT:
            name = graph.add("Cast", [name], f"{name}_float", to=TensorProto.FLOAT)
        if layout == "nhwc":
            name = graph.add("Transpose", [name], f"{name}_planes", perm=(0, 3, 1, 2))
        names.append(name)
    constants = [
        graph.weight("weights", weights),
        graph.weight("bias", np.float32(bias or (0,) * channels)),
    ]
    planes = graph.add("Conv", [graph.add("Concat", names, "both", axis=1), *constants], "planes")
    if undefined_on:
        graph.nodes[-1].output[0] = "defined"
        by, zero = UNDEFINED[undefined_on](graph, *names), graph.weight("zero", np.float32(0))
        # 0 / `by`: 0, or NaN where `by` is 0.
        added = graph.add("Div", [graph.add("Mul", [by, zero], "nothing"), by], "added")
        graph.add("Add", ["defined", added], planes, name="/sum")
    outputs = _outputs(graph, planes, layout, low, full)
    shape = [batch, *size, 3] if layout == "nhwc" else [batch, 3, *size]
    inputs, dtypes = dict.fromkeys(images, shape), dict.fromkeys(images, dtype)
    if extra_input:
        inputs["iterations"], dtypes["iterations"] = [1], TensorProto.INT64
        graph.add("Identity", ["iterations"], "same")
    return graph.save(file, inputs, outputs, opset=opset, dtypes=dtypes)


def _deviation(graph: Graph, now: str, past: str) -> str:  # noqa: ARG001
    """As networks do that normalise each picture by its contrast."""
    ends = (graph.add(f"Reduce{end}", [now], end, axes=[1, 2, 3]) for end in ("Max", "Min"))
    return graph.add("Sub", ends, "contrast")


def _brightness(graph: Graph, now: str, past: str) -> str:  # noqa: ARG001
    return graph.add("ReduceMax", [now], "most", axes=[1, 2, 3])


def _darkness(graph: Graph, now: str, past: str) -> str:  # noqa: ARG001
    one = graph.weight("one", np.float32(1))
    return graph.add("Sub", [one, graph.add("ReduceMin", [now], "least", axes=[1, 2, 3])], "dark")


def _difference(graph: Graph, now: str, past: str) -> str:
    sizes = graph.add("Abs", [graph.add("Sub", [now, past], "differences")], "sizes")
    return graph.add("ReduceMax", [sizes], "difference", axes=[1, 2, 3])


def _local_deviation(graph: Graph, now: str, past: str) -> str:  # noqa: ARG001
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    lightest = graph.add("ReduceMax", [now], "lightest", axes=[1])
    most = graph.add("MaxPool", [lightest], "most", **window)
    least = graph.add("MaxPool", [graph.add("Neg", [lightest], "dark")], "least", **window)
    return graph.add("Add", [most, least], "contrast")


UNDEFINED = {
    "even": _deviation,
    "black": _brightness,
    "white": _darkness,
    "identical": _difference,
    "even area": _local_deviation,
}


def _outputs(graph: Graph, planes: str, layout: str, low: int, full: bool) -> dict[str, Any]:
    outputs = []
    if full and layout == "nhwc":
        outputs.append(graph.add("Transpose", [planes], "flow", perm=(0, 2, 3, 1)))
    elif full:
        outputs.append(graph.add("Identity", [planes], "flow"))
    if low:
        pooled = graph.add("AveragePool", [planes], "pooled", kernel_shape=[low, low], strides=[low, low])
        outputs.append(graph.add("Mul", [pooled, graph.weight("by", np.float32(1 / low))], "flow_low"))
    return dict.fromkeys(outputs, [None] * 4)


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
