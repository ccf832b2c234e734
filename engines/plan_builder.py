"""TensorRT plans from ONNX files: one builder for `tensorrt` 8.6, 10 and 11 and for `tensorrt_rtx`.

What differs between versions is looked up by name, never by number: `1 << 1` means strong typing in
TensorRT 10 and something else in 11. The ONNX file decides the precision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgebs.bundle.plan import PlanFacts, platform_name
from edgebs.errors import ExportError
from edgebs.files import library_path
from edgebs.machine.console import Progress
from edgebs.nvidia import cuda
from edgebs.nvidia.tensorrt import import_tensorrt, last_error, make_logger, without_collection
from engines import BuildOptions, Target
from engines.memory import LOWEST_FREE_BYTES, build_memory, host_memory, workspace_limit
from engines.plan_config import plan_config, watch_build
from engines.timing_cache import TimingCache, timing_facts

_REPAIRS = {
    "FP32 GEMM is not supported": ". Build precision fp16 or int8 for this target",
    "no optimization profile": ". Name the frames of one call: --batch 4",
    "type UInt8": ". TensorRT reads uint8 only in Cast: cast frames to float before anything else",
    "input type of UINT8": ". TensorRT reads uint8 only in Cast: cast frames to float before anything else",
}


@dataclass(frozen=True, slots=True)
class BuiltPlan:
    """A plan on disk."""

    facts: PlanFacts
    layers: int
    """Of TensorRT's network as parsed, before it fuses them."""
    gpu_layers: tuple[str, ...]
    """Those that a DLA refused, "name (KIND)"."""


def plan_from_onnx(
    onnx_file: Path, target: Target, out: Path, options: BuildOptions, progress: Progress | None
) -> BuiltPlan:
    """Build the plan of `target` and write it to `out`. See engines.build.build_engine."""
    trt = import_tensorrt(target.module)
    if not target.needs_gpu:
        with without_collection():
            return _built(trt, onnx_file, target, out, options, progress)
    cuda.require_device()
    with cuda.on_device(), without_collection():
        return _built(trt, onnx_file, target, out, options, progress)


def _built(
    trt: Any, onnx_file: Path, target: Target, out: Path, options: BuildOptions, progress: Progress | None
) -> BuiltPlan:
    # Before parsing, which copies the weights.
    free = build_memory(on_gpu=target.needs_gpu)
    limit = workspace_limit(onnx_file, free, options.workspace_bytes)
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if options.version_compatible is not None:
        # The default from TensorRT 10 on; in 8.6 instance norms are plugins, which the lean runtime lacks.
        parser.set_flag(trt.OnnxParserFlag.NATIVE_INSTANCENORM)
    _parse(parser, onnx_file, logger)
    require_network(trt, network, onnx_file)
    options = replace(options, workspace_bytes=limit)
    config, gpu_layers = plan_config(trt, builder, network, onnx_file, target, options)
    stopped = _watch_memory(trt, config, progress)
    # TensorRT-RTX measures nothing, and would ask for a GPU.
    cache = None
    if target.module == "tensorrt":
        cache = TimingCache(timing_facts(target.module, str(trt.__version__)), options.timing_cache)
        cache.give(config)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        reason = _out_of_memory(stopped[0]) if stopped else last_error(logger)
        raise ExportError(f"TensorRT cannot build {onnx_file} for {target.value}: {reason}{_repair(reason)}")
    if cache is not None:
        cache.keep(config)
    with out.open("wb") as stream:
        stream.write(memoryview(plan))
    return BuiltPlan(_facts(trt, target, options), network.num_layers, gpu_layers)


def _watch_memory(trt: Any, config: Any, progress: Progress | None) -> list[int]:
    """Report progress, and stop the build when memory runs short: the list then holds the bytes left."""
    left: list[int] = []

    def go_on() -> bool:
        free = host_memory().nbytes
        if free < LOWEST_FREE_BYTES:
            left.append(free)
        return not left

    watch_build(trt, config, progress, go_on)
    return left


def _out_of_memory(left: int) -> str:
    return (
        f"stopped with {left / 1e6:,.0f} MB of memory left, before the kernel would have killed the process. "
        "Close other programs, add swap, or give the plan less scratch memory with --workspace-mb"
    )


def network_flags(trt: Any) -> int:
    """Flags of `create_network` that make this TensorRT take types from the ONNX file where it can."""
    flags = trt.NetworkDefinitionCreationFlag
    if hasattr(flags, "STRONGLY_TYPED"):  # 10; ignored from 11 on, where nothing else exists
        return 1 << int(flags.STRONGLY_TYPED)
    if hasattr(flags, "EXPLICIT_BATCH"):  # 8
        return 1 << int(flags.EXPLICIT_BATCH)
    return 0


def require_network(trt: Any, network: Any, onnx_file: Path) -> None:
    """ExportError unless something was parsed and every GridSample interpolates linearly.

    TensorRT up to 11.1 reads the GridSample of opset 20 ("linear") as nearest, without a word
    (NVIDIA/TensorRT#4646).
    """
    if network.num_layers == 0 or network.num_outputs == 0:
        raise ExportError(f"{onnx_file} holds no network that TensorRT can read: export it again")
    for layer in (network.get_layer(index) for index in range(network.num_layers)):
        if layer.type == trt.LayerType.GRID_SAMPLE:
            sampling: Any = layer
            sampling.__class__ = trt.IGridSampleLayer  # TensorRT's Python API gives only the base class
            mode = sampling.interpolation_mode
            if mode != trt.InterpolationMode.LINEAR:
                raise ExportError(
                    f"{onnx_file}: TensorRT reads GridSample '{layer.name}' as {mode.name}, not LINEAR. "
                    "Export it as bilinear with opset 16 to 19"
                )


def _parse(parser: Any, onnx_file: Path, logger: Any) -> None:
    with library_path(onnx_file, ExportError) as path:
        if parser.parse_from_file(str(path)):
            return
    errors = [_describe(parser.get_error(index)) for index in range(parser.num_errors)]
    reason = "; ".join(errors) or last_error(logger)
    raise ExportError(f"TensorRT cannot read {onnx_file}: {reason}{_repair(reason)}")


def _describe(error: Any) -> str:
    """A parser error, with the node's name and operator where this version has them (8.6 does not)."""
    name = error.node_name() if hasattr(error, "node_name") else ""
    operator = error.node_operator() if hasattr(error, "node_operator") else ""
    reason = _reason(str(error.desc()))
    if name or operator:
        return f"node '{name}' ({operator}): {reason}"
    return f"node {error.node()}: {reason}" if error.node() >= 0 else reason


def _reason(description: str) -> str:
    """A parser's description in one line, without the notes about a missing GPU."""
    lines = [line for line in description.splitlines() if line.strip() and "catchCudaError" not in line]
    if len(lines) > 1 and lines[0].startswith("Invalid Node"):
        lines = lines[1:]
    return " ".join(lines)


def _repair(reason: str) -> str:
    return next((repair for sign, repair in _REPAIRS.items() if sign in reason), "")


def _facts(trt: Any, target: Target, options: BuildOptions) -> PlanFacts:
    gpu = cuda.device_facts() if target.needs_gpu else None
    return PlanFacts(
        module=target.module,
        tensorrt=str(trt.__version__),
        compute_capability=gpu.compute_capability if gpu else target.compute_capability,
        platform=platform_name(),
        gpu=gpu.name if gpu else "",
        version_compatible=options.version_compatible is not None,
    )
