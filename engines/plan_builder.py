"""TensorRT plans from ONNX files: one builder for `tensorrt` 8.6, 10 and 11 and for `tensorrt_rtx`.

What differs between versions is asked for by name, never by number: `1 << 1` means strong typing in
TensorRT 10 and something else in 11. Precision is what the ONNX file says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebs import cuda
from edgebs.backends.tensorrt_module import import_tensorrt, last_error, make_logger
from edgebs.errors import ExportError
from edgebs.plan import PlanFacts, platform_name
from engines.plan_progress import Progress, show_progress
from engines.targets import Target

_REPAIRS = {
    "FP32 GEMM is not supported": ". Build precision fp16 or int8 for this target",
    "no optimization profile": ". Export the network with fixed sizes",
    "type UInt8": ". TensorRT reads uint8 only in Cast: cast frames to float before anything else",
    "input type of UINT8": ". TensorRT reads uint8 only in Cast: cast frames to float before anything else",
}


@dataclass(frozen=True, slots=True)
class BuiltPlan:
    """A plan on disk."""

    facts: PlanFacts
    layers: int
    """Of TensorRT's network as parsed, before it fuses them."""


def plan_from_onnx(
    onnx_file: Path, target: Target, out: Path, workspace_bytes: int | None, progress: Progress | None
) -> BuiltPlan:
    """Build the plan of `target` and write it to `out`. See engines.build.build_engine."""
    trt = import_tensorrt(target.module)
    if target.needs_gpu:
        cuda.require_device()
        cuda.use_device()
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    _parse(parser, onnx_file, logger)
    require_network(trt, network, onnx_file)
    config = _config(trt, builder, network, target, workspace_bytes)
    show_progress(trt, config, progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(_refusal(onnx_file, target, last_error(logger)))
    with out.open("wb") as stream:
        stream.write(memoryview(plan))
    return BuiltPlan(_facts(trt, target), network.num_layers)


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
            mode = _as_grid_sample(trt, layer).interpolation_mode
            if mode != trt.InterpolationMode.LINEAR:
                raise ExportError(
                    f"{onnx_file}: TensorRT reads GridSample '{layer.name}' as {mode.name}, not LINEAR. "
                    "Export it as bilinear with opset 16 to 19"
                )


def _as_grid_sample(trt: Any, layer: Any) -> Any:
    layer.__class__ = trt.IGridSampleLayer  # TensorRT's Python API gives only the base class
    return layer


def _parse(parser: Any, onnx_file: Path, logger: Any) -> None:
    if parser.parse_from_file(str(onnx_file)):
        return
    errors = [_spoken(parser.get_error(index)) for index in range(parser.num_errors)]
    reason = "; ".join(errors) or last_error(logger)
    raise ExportError(f"TensorRT cannot read {onnx_file}: {reason}{_repair(reason)}")


def _spoken(error: Any) -> str:
    """A parser error, with the node's name and operator where this version knows them (8.6 does not)."""
    name = error.node_name() if hasattr(error, "node_name") else ""
    operator = error.node_operator() if hasattr(error, "node_operator") else ""
    reason = _reason(str(error.desc()))
    if name or operator:
        return f"node '{name}' ({operator}): {reason}"
    return f"node {error.node()}: {reason}" if error.node() >= 0 else reason


def _reason(description: str) -> str:
    """A parser's description in one line, without what only says that there is no GPU."""
    lines = [line for line in description.splitlines() if line.strip() and "catchCudaError" not in line]
    if len(lines) > 1 and lines[0].startswith("Invalid Node"):
        lines = lines[1:]
    return " ".join(lines)


def _config(trt: Any, builder: Any, network: Any, target: Target, workspace_bytes: int | None) -> Any:
    config = builder.create_builder_config()
    if workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    if target.compute_capability:
        config.num_compute_capabilities = 1
        capability = getattr(trt.ComputeCapability, target.value.upper())
        if not config.set_compute_capability(capability, 0):
            raise ExportError(f"{target.module} {trt.__version__} cannot build for {target.value}")
    if not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        _hold_types(trt, network, config)
    return config


def _hold_types(trt: Any, network: Any, config: Any) -> None:
    """Keep a weakly typed TensorRT (8) to the types in the file, as far as it lets itself be told."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    is_int8 = any(layer.type == trt.LayerType.QUANTIZE for layer in layers)
    if is_int8:
        config.set_flag(trt.BuilderFlag.INT8)
    if not any(layer.get_output_type(0) == trt.DataType.HALF for layer in layers):
        return
    config.set_flag(trt.BuilderFlag.FP16)
    if is_int8:  # the quantised layers' own precision would contradict their Q/DQ pairs
        return
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    fixed = (trt.LayerType.CONSTANT, trt.LayerType.CAST, trt.LayerType.IDENTITY, trt.LayerType.SHAPE)
    for layer in layers:
        if layer.get_output_type(0) == trt.DataType.FLOAT and layer.type not in fixed:
            layer.precision = trt.DataType.FLOAT  # coordinates, grids and norms


def _refusal(onnx_file: Path, target: Target, reason: str) -> str:
    return f"TensorRT cannot build {onnx_file} for {target.value}: {reason}{_repair(reason)}"


def _repair(reason: str) -> str:
    return next((repair for sign, repair in _REPAIRS.items() if sign in reason), "")


def _facts(trt: Any, target: Target) -> PlanFacts:
    gpu = cuda.device_facts() if target.needs_gpu else None
    return PlanFacts(
        module=target.module,
        tensorrt=str(trt.__version__),
        compute_capability=gpu.compute_capability if gpu else target.compute_capability,
        platform=platform_name(),
        gpu=gpu.name if gpu else "",
    )
