"""The layers of an engine, as its own runtime reports them."""

from __future__ import annotations

import json
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgebs.backends.onnxruntime import import_onnxruntime, inference_session, session_options
from edgebs.backends.openvino import import_openvino
from edgebs.bundle.manifest import NetworkFacts
from edgebs.errors import BackendError, in_one_line
from edgebs.files import library_path, scratch_folder
from edgebs.nvidia import DeviceOptions, cuda
from edgebs.nvidia.tensorrt import import_tensorrt, last_error, make_logger
from edgebs.nvidia.tensorrt.engine import module_of, open_runtime
from edgebs.tensors import Array, TensorSpec

RUNS = 10
"""Timed calls of a network; the median of each layer counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFacts:
    """One layer that the runtime executes, after it fused what it could."""

    name: str
    kind: str
    """The runtime's word for it: Convolution, Conv, kgen."""
    precision: str
    """Of its result: fp32, fp16, bf16, int8, ...; "" where the runtime does not say."""
    kernel: str = ""
    """What computes it."""
    ms: float | None = None
    """Wall time of one call; None where the runtime times no layers."""

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


def layers_of_network(
    file: Path, facts: NetworkFacts, threads: int = 0, device: DeviceOptions | None = None
) -> list[LayerFacts]:
    """The layers of one network of a bundle, in the order of execution, timed where its runtime can.

    threads: CPU threads; 0 uses every core. device: what loads a plan, and on which GPU. Raises BackendError
    where the engine cannot be loaded here.
    """
    if facts.backend == "openvino":
        return openvino_layers(file, facts.inputs, facts.compute, threads)
    if facts.backend == "onnxruntime":
        return onnxruntime_layers(file, facts.inputs, threads)
    if facts.is_plan:
        return plan_layers(file, facts.backend, device)
    raise BackendError(f"engines of '{facts.backend}' cannot be looked into")


def blank_feed(inputs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    """Zeros: a layer takes as long for any picture."""
    return {name: np.zeros(spec.shape, spec.dtype) for name, spec in inputs.items()}


def median_ms(runs: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Median over the runs of each layer's milliseconds."""
    taken: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for name, ms in run.items():
            taken[name].append(ms)
    return {name: statistics.median(times) for name, times in taken.items()}


def share_by(layers: Iterable[LayerFacts], what: str) -> dict[str, dict[str, float]]:
    """Layers and milliseconds by `precision` or `kind`, the most time or the most layers first."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: {"layers": 0.0, "ms": 0.0})
    for layer in layers:
        entry = sums[str(getattr(layer, what)) or "not said"]
        entry["layers"] += 1
        entry["ms"] += layer.ms or 0.0
    return dict(sorted(sums.items(), key=lambda item: (-item[1]["ms"], -item[1]["layers"])))


_ORT_PRECISIONS = {"float": "fp32", "float16": "fp16", "int8": "int8", "uint8": "int8"}
"""By ONNX Runtime's names of element types."""

_KERNEL = "_kernel_time"


def onnxruntime_layers(file: Path, inputs: Mapping[str, TensorSpec], threads: int) -> list[LayerFacts]:
    """The nodes that ONNX Runtime runs, with median times. Raises BackendError for an unusable file."""
    onnxruntime = import_onnxruntime()
    with scratch_folder() as made, library_path(made) as folder:
        options = session_options(onnxruntime)
        options.intra_op_num_threads = threads
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        try:
            session = inference_session(onnxruntime, file.read_bytes(), options)
        except Exception as error:  # its own exceptions share no base
            raise BackendError(f"ONNX Runtime cannot load {file}: {in_one_line(error)}") from error
        feed = blank_feed(inputs)
        for _ in range(RUNS):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return layers_from_profile(events)


def layers_from_profile(events: Iterable[Mapping[str, Any]]) -> list[LayerFacts]:
    """The layers in a profile of several runs, in the order in which they first ran."""
    ran: dict[str, Mapping[str, Any]] = {}
    runs: list[dict[str, float]] = []
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith(_KERNEL):
            continue
        name = event["name"].removesuffix(_KERNEL)
        ran.setdefault(name, event["args"])
        runs.append({name: float(event["dur"]) / 1e3})
    times = median_ms(runs)
    return [
        LayerFacts(
            name=name,
            kind=args["op_name"],
            precision=_ort_precision(args),
            kernel=args.get("provider", ""),
            ms=times[name],
        )
        for name, args in ran.items()
    ]


def _ort_precision(args: Mapping[str, Any]) -> str:
    outputs = args.get("output_type_shape") or [{}]
    kind = next(iter(outputs[0]), "")
    return _ORT_PRECISIONS.get(kind, kind)


_OPENVINO_PRECISIONS = {
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
    openvino = import_openvino()
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
        executed = _executed(request, openvino)
        runs.append({node.node_name: node.real_time.total_seconds() * 1e3 for node in executed})
    times = median_ms(runs)
    return [
        LayerFacts(
            name=node.node_name,
            kind=node.node_type,
            precision=_OPENVINO_PRECISIONS.get(node.exec_type.rpartition("_")[2].lower(), ""),
            kernel=node.exec_type,
            ms=times[node.node_name],
        )
        for node in _executed(request, openvino)
    ]


def _executed(request: Any, openvino: Any) -> list[Any]:
    executed = openvino.ProfilingInfo.Status.EXECUTED
    return [node for node in request.profiling_info if node.status == executed]


_PLAN_PRECISIONS = (
    ("int8", r"Int8"),
    ("fp16", r"FP16|Half"),
    ("bf16", r"BF16|BFloat16"),
    ("fp32", r"FP32|Float"),
    ("int32", r"Int32"),
    ("int64", r"Int64"),
    ("uint8", r"UInt8"),
    ("bool", r"Bool"),
)
"""In the inspector's words for a tensor: "Row major linear FP16 format", "Half"."""


def plan_layers(file: Path, module: str, options: DeviceOptions | None = None) -> list[LayerFacts]:
    """The layers of a plan, in the order of execution, untimed.

    options: the GPU, and what loads the plan. Verify the bundle first (edgebs.loading.load_bundle): a
    plan is native code. Raises BackendError where it cannot be loaded here.
    """
    options = options or DeviceOptions()
    trt = import_tensorrt(module_of(module, options))
    cuda.require_device()
    with cuda.on_device(options.device):
        logger = make_logger(trt)
        runtime, loader = open_runtime(trt, logger, module, options)
        engine = runtime.deserialize_cuda_engine(file.read_bytes())
        if engine is None:
            raise BackendError(f"{file} cannot be loaded: {last_error(logger)}")
        text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
        del engine, runtime, loader  # in this order
    return layers_from_inspector(text)


def layers_from_inspector(text: str) -> list[LayerFacts]:
    """The layers in an inspector's JSON, of TensorRT 8 to 11.

    Plans that were built without details hold names alone. Raises BackendError for another text.
    """
    try:
        layers = json.loads(text)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise BackendError(
            f"TensorRT's inspector said {text[:80]!r}, which this edgebs cannot read"
        ) from error
    return [_layer(layer) for layer in layers]


def _layer(layer: str | Mapping[str, Any]) -> LayerFacts:
    if isinstance(layer, str):
        return LayerFacts(name=layer, kind="", precision="")
    return LayerFacts(
        name=str(layer.get("Name", "")),
        kind=str(layer.get("LayerType", "")),
        precision=_plan_precision(layer),
        kernel=str(layer.get("TacticName", "")),
    )


def _plan_precision(layer: Mapping[str, Any]) -> str:
    """Of the first result; a Reformat reads what its inputs say in another type."""
    for tensor in layer.get("Outputs", ()):
        said = str(tensor.get("Format/Datatype") or tensor.get("Datatype") or "")
        for precision, words in _PLAN_PRECISIONS:
            if re.search(rf"\b(?:{words})\b", said):
                return precision
    return ""
