"""What a plan's builder is given beside the network: scratch memory, batch, accelerator, target, types."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgebs.errors import ExportError
from edgebs.machine.console import Progress
from engines import BatchRange, BuildOptions, LeanRuntime, Target


# TensorRT moves layers from the DLA to the GPU without a message. `tensorrt_rtx` has no DLA and ignores the
# request without a message too; Orin Nano and desktop GPUs have none.
def use_dla(trt: Any, builder: Any, network: Any, config: Any, core: int) -> tuple[str, ...]:
    """Let the plan run on DLA `core`, and return the layers that it refuses, "name (KIND)", which the
    GPU runs.

    Raises ExportError where there is no such core, or where no layer could run on it.
    """
    cores = int(getattr(builder, "num_DLA_cores", 0))
    if not 0 <= core < cores:
        there = f"its cores are 0 to {cores - 1}" if cores else "this machine's TensorRT finds none"
        raise ExportError(
            f"no DLA core {core}: {there}. Orin Nano has no DLA, and TensorRT 10.8 to 11.4.0 leave it out. "
            "Leave --dla-core out to build for the GPU."
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    refused = tuple(
        f"{layer.name} ({layer.type.name})" for layer in layers if not config.can_run_on_DLA(layer)
    )
    if len(refused) == len(layers):
        raise ExportError(
            f"no layer of the network can run on DLA core {core}: it computes in FP16 and INT8 with fixed "
            "sizes. Export with --precision fp16 or int8, or leave --dla-core out."
        )
    return refused


def plan_config(
    trt: Any, builder: Any, network: Any, onnx_file: Path, target: Target, options: BuildOptions
) -> tuple[Any, tuple[str, ...]]:
    """TensorRT's configuration for a plan, and the layers that a DLA leaves to the GPU.

    Raises ExportError for what this network, target or machine cannot have.
    """
    options.require_for(target)
    config = builder.create_builder_config()
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    # Names and types of the layers stay in the plan, for `edgebs inspect --layers`: kilobytes.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):
        # TensorRT-RTX: without it no run of the plan can be captured as a CUDA graph (release notes 1.2).
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    _give_target(trt, config, target)
    _give_versions(trt, config, options.version_compatible)
    _give_batch(builder, network, config, options.batch, onnx_file)
    if not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        _hold_types(trt, network, config)
    if options.dla_core is None:
        return config, ()
    return config, use_dla(trt, builder, network, config, options.dla_core)


def _give_target(trt: Any, config: Any, target: Target) -> None:
    if target.module != "tensorrt_rtx":
        return
    config.num_compute_capabilities = 1
    name = target.value.upper() if target.compute_capability else "CURRENT"
    capability = getattr(trt.ComputeCapability, name)
    if not config.set_compute_capability(capability, 0):
        raise ExportError(f"{target.module} {trt.__version__} cannot build for {target.value}")


def _give_versions(trt: Any, config: Any, lean: LeanRuntime | None) -> None:
    """Let later versions load the plan."""
    if lean is None:
        return
    config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if lean is LeanRuntime.OUTSIDE:
        config.set_flag(trt.BuilderFlag.EXCLUDE_LEAN_RUNTIME)


def _give_batch(builder: Any, network: Any, config: Any, batch: BatchRange | None, onnx_file: Path) -> None:
    """An optimisation profile for the inputs' first dimension, where it is free."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    free = [tensor for tensor in inputs if -1 in tuple(tensor.shape)]
    if batch is None:
        return
    if not free:
        raise ExportError(
            f"{onnx_file} takes as many frames a call as it was exported with; its batch is not free. "
            "Export the network with --batch, or leave it out."
        )
    profile = builder.create_optimization_profile()
    for tensor in inputs:
        sizes = tuple(tensor.shape)
        if sizes[0] != -1 or -1 in sizes[1:]:
            raise ExportError(
                f"{onnx_file}: input '{tensor.name}' has sizes {sizes}; the first, and no other, must be "
                "free (-1). Export the network with a fixed height and width."
            )
        profile.set_shape(
            tensor.name, *((n, *sizes[1:]) for n in (batch.smallest, batch.usual, batch.largest))
        )
    config.add_optimization_profile(profile)


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


GoOn = Callable[[], bool]
"""Asked at every step; False stops the builder."""


class Steps:
    """Steps done, and steps known so far: TensorRT tells a phase's steps only when the phase starts."""

    def __init__(self, progress: Progress) -> None:
        """progress: called with (done, known) at every step."""
        self._progress = progress
        self._known = 0
        self._done = 0
        self._open: dict[str, int] = {}

    def started(self, phase: str, steps: int) -> None:
        """A phase begins, with so many steps."""
        self._open[phase] = steps
        self._known += steps
        self._progress(self._done, self._known)

    def stepped(self, phase: str) -> None:
        """One step of a phase is done."""
        if self._open.get(phase, 0) > 0:
            self._open[phase] -= 1
            self._done += 1
            self._progress(self._done, self._known)

    def finished(self, phase: str) -> None:
        """A phase is over: the steps that it left out count as done."""
        self._done += self._open.pop(phase, 0)
        self._progress(self._done, self._known)


def watch_build(trt: Any, config: Any, progress: Progress | None, go_on: GoOn) -> None:
    """Report the builder's steps to `progress` and ask `go_on`, where this TensorRT can (10.0 and later)."""
    if not hasattr(trt, "IProgressMonitor"):
        return
    steps = Steps(progress if progress is not None else lambda _done, _known: None)

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            del parent_phase
            steps.started(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            del step
            steps.stepped(phase_name)
            return go_on()

        def phase_finish(self, phase_name: str) -> None:
            steps.finished(phase_name)

    config.progress_monitor = Monitor()
