"""Which nodes must compute in float32 whatever the precision of the network.

Convolutions, and what lies between two of them, may be narrowed. What touches a coordinate may not: at 512
pixels a float16 position is half a pixel coarse, and TensorRT takes a GridSample only with both inputs of one
type. Nor may norms, whose sums of squares overflow and whose reciprocals reach 1e6; nor a network's first and
last steps, which cost nothing: the scaling of the inputs and what turns the last convolution into the output.
"""

from __future__ import annotations

from collections.abc import Iterable

from calib.graph import FLOAT, OnnxGraph

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Where a walk ends: these are worth narrowing, and are not hurt by it."""
SAMPLERS = {"GridSample": 1, "GatherElements": 1, "GatherND": 1, "Gather": 1}
"""Operators that read features at positions, and which input holds the positions."""
NORMS = frozenset(
    {
        "BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization",
        "LpNormalization", "MeanVarianceNormalization", "ReduceL2", "ReduceSumSquare", "Softmax",
    }
)  # fmt: skip
STEEP = frozenset({"Exp", "Log", "Pow", "Reciprocal", "Sqrt", "ReduceL2", "ReduceSumSquare"})
"""Operators whose results span more decades than float16 has."""
BEFORE_STEEP = frozenset({"Abs", "Add", "Clip", "Max", "Mul", "Pow", "ReduceMean", "ReduceSum", "Sub"})
"""Operators of a norm in front of its square root."""
ARITHMETIC = frozenset(
    {
        "Abs", "Add", "Cast", "Ceil", "Clip", "Div", "Exp", "Expand", "Floor", "Flatten", "Identity",
        "Log", "Max", "Min", "Mul", "Neg", "Pow", "Reciprocal", "ReduceMean", "ReduceSum", "Reshape", "Round",
        "Sign", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
"""Operators that carry a float32 value on, where all that they read is float32."""


def float32_nodes(graph: OnnxGraph) -> set[str]:
    """Names of the nodes that must stay in float32; node names must be unique."""
    kept = _before_convolutions(graph)
    _keep_backward(graph, graph.outputs, kept)
    for node in graph.nodes:
        position = node.input[SAMPLERS[node.op_type]] if node.op_type in SAMPLERS else None
        if position is not None and position not in graph.constants:
            kept.add(node.name)
            _keep_backward(graph, [position], kept)
        elif node.op_type in ("GridSample", "Resize") or node.op_type in NORMS:
            kept.add(node.name)
        if node.op_type in STEEP:
            _keep_backward(graph, node.output, kept, through=BEFORE_STEEP | STEEP)
    _keep_forward(graph, kept)
    return kept


def first_convolutions(graph: OnnxGraph) -> set[str]:
    """Names of the convolutions that read the network's inputs, with nothing but their scaling between.

    Those behind a Clip at 0 or above are left out: what cannot be negative costs no bit on x86.
    """
    before = _before_convolutions(graph)
    return {
        node.name
        for node in graph.nodes
        if node.op_type in CONVOLUTIONS
        and all(_is_kept(graph, name, before) for name in graph.data_inputs(node))
        and not all(_is_clipped(graph, name) for name in graph.data_inputs(node))
    }


def _is_clipped(graph: OnnxGraph, tensor: str) -> bool:
    """Whether a Clip makes it 0 or larger."""
    node = graph.producers.get(tensor)
    if node is None or node.op_type != "Clip" or len(node.input) < 2:
        return False
    least = graph.constant(node.input[1])
    return least is not None and bool((least >= 0).all())


def _before_convolutions(graph: OnnxGraph) -> set[str]:
    """What depends on no convolution yet: layout and scaling of the inputs."""
    before: set[str] = set()
    for node in graph.nodes:
        if node.op_type not in CONVOLUTIONS and all(
            _is_kept(graph, name, before) for name in graph.data_inputs(node)
        ):
            before.add(node.name)
    return before


def _keep_backward(
    graph: OnnxGraph, tensors: Iterable[str], kept: set[str], through: frozenset[str] | None = None
) -> None:
    """Keep what leads to `tensors`, as far as the next convolution (or operator not in `through`)."""
    pending, seen = list(tensors), set()
    while pending:
        tensor = pending.pop()
        node = graph.producers.get(tensor)
        if tensor in seen or node is None or node.op_type in CONVOLUTIONS:
            continue
        seen.add(tensor)
        if through is None or node.op_type in through:
            kept.add(node.name)
            pending.extend(graph.data_inputs(node))


def _keep_forward(graph: OnnxGraph, kept: set[str]) -> None:
    """Keep arithmetic on kept values alone, and whatever reads a steep value."""
    steep: set[str] = set()
    for node in graph.nodes:
        inputs = [name for name in graph.data_inputs(node) if graph.dtypes.get(name, FLOAT) == FLOAT]
        arithmetic = node.op_type in ARITHMETIC
        if arithmetic and (all(_is_kept(graph, name, kept) for name in inputs) or steep.intersection(inputs)):
            kept.add(node.name)
        if node.op_type in STEEP or (arithmetic and inputs and steep.issuperset(inputs)):
            steep.update(node.output)


def _is_kept(graph: OnnxGraph, tensor: str, kept: set[str]) -> bool:
    """A graph input counts as kept: float32, or an image's integers on their way to it."""
    node = graph.producers.get(tensor)
    return node is None or node.name in kept
