"""What OpenVINO made of an ONNX file on this CPU, and how long each layer takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebs.errors import BackendError, MissingDependency, in_one_line
from edgebs.tensors import TensorSpec
from engines.layers import RUNS, LayerFacts, blank_feed, median_ms

PRECISIONS = {
    **dict.fromkeys(("i8", "u8"), "int8"),
    **dict.fromkeys(("f32", "fp32"), "fp32"),
    **dict.fromkeys(("f16", "fp16"), "fp16"),
    "bf16": "bf16",
    "i32": "int32",
}
"""By the end of OpenVINO's name of a kernel: brgconv_avx512_I8, jit_uni_f32."""


def openvino_layers(
    file: Path, inputs: Mapping[str, TensorSpec], compute: str, threads: int
) -> list[LayerFacts]:
    """The layers that OpenVINO runs, with median times; those that it fused away are not there.

    compute: as of the bundle. Raises BackendError where OpenVINO cannot compile the file.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingDependency("needs OpenVINO: pip install 'edgebs[cpu]'") from error
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": compute}
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    try:
        # Timing layers slows the whole down: never the network that a pipeline runs.
        model = openvino.Core().compile_model(str(file), "CPU", {**options, "PERF_COUNT": True})
    except RuntimeError as error:
        raise BackendError(f"OpenVINO cannot load {file}: {in_one_line(error)}") from error
    request, feed = model.create_infer_request(), blank_feed(inputs)
    runs = []
    for _ in range(RUNS):
        request.infer(feed)
        runs.append({node.node_name: _ms(node) for node in _executed(request, openvino)})
    times = median_ms(runs)
    return [
        LayerFacts(
            name=node.node_name,
            kind=node.node_type,
            precision=PRECISIONS.get(node.exec_type.rpartition("_")[2].lower(), ""),
            kernel=node.exec_type,
            ms=times[node.node_name],
        )
        for node in _executed(request, openvino)
    ]


def _executed(request: Any, openvino: Any) -> list[Any]:
    executed = openvino.ProfilingInfo.Status.EXECUTED
    return [node for node in request.profiling_info if node.status == executed]


def _ms(node: Any) -> float:
    return float(node.real_time.total_seconds() * 1e3)
