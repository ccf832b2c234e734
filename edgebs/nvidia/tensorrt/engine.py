"""A plan in memory, shared by whoever runs it, and the contexts that run it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebs.errors import BackendError, CaptureFailed, EnqueueRefused
from edgebs.files import library_path
from edgebs.nvidia import DeviceOptions, cuda
from edgebs.nvidia.tensorrt import (
    create_context,
    give_scratch,
    import_tensorrt,
    is_capturable,
    last_error,
    make_logger,
    numpy_dtype,
    scratch_bytes,
    without_collection,
)
from edgebs.nvidia.tensorrt.rtx_cache import open_runtime_cache
from edgebs.tensors import TensorSpec, existing_file, fixed_shape


class TensorRTEngine:
    """One deserialised plan. Owners that `share` it close it once each; the last one frees it."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    description: str

    def __init__(
        self,
        file: Path,
        *,
        module: str = "tensorrt",
        options: DeviceOptions | None = None,
        batch: int = 1,
    ) -> None:
        """Load the plan in `file` with the Python module `module`, on this thread's GPU.

        batch: frames per run, where the plan has a profile for several. A plan is native code: verify the
        bundle first (edgebs.loading.load_bundle).
        Raises BackendError, EngineMismatch or MissingDependency.
        """
        options = options or DeviceOptions()
        self.file = existing_file(file)
        self.name = str(file)
        module = module_of(module, options)
        self.trt = import_tensorrt(module)
        self.logger = make_logger(self.trt)
        self._owners, self._counting = 1, threading.Lock()
        self._runtime, self._loader = open_runtime(self.trt, self.logger, module, options)
        self.engine: Any = self._deserialized()
        self._batch = batch
        specs = {name: self._spec(name) for name in self._names()}
        modes = {name: self.engine.get_tensor_mode(name) for name in specs}
        is_input = {name: mode == self.trt.TensorIOMode.INPUT for name, mode in modes.items()}
        self.inputs = {name: spec for name, spec in specs.items() if is_input[name]}
        self.outputs = {name: spec for name, spec in specs.items() if not is_input[name]}
        self.scratch_bytes = scratch_bytes(self.engine)
        self.is_shareable = all(-1 not in tuple(self.engine.get_tensor_shape(name)) for name in self.inputs)
        """Whether several contexts may run at once: with open shapes each would need a profile of its own."""
        gpu = cuda.device_facts(options.device)
        self.description = f"{module} {self.trt.__version__} on {gpu.name}"
        self.runtime_cache = open_runtime_cache(self.trt, self.engine, self.file, gpu, self.logger)
        """The kernels that this engine's contexts share; None where the plan brings them."""

    def context(self, scratch: cuda.DeviceBuffer | None = None) -> TensorRTContext:
        """A context. scratch: memory of `scratch_bytes` that it works in; without it, its own."""
        return TensorRTContext(self, scratch)

    def share(self) -> TensorRTEngine:
        """The same engine for one owner more."""
        with self._counting:
            if not self._owners:
                raise BackendError(f"{self.file}: the engine is closed")
            self._owners += 1
        return self

    def close(self) -> None:
        """Give up one share; the last owner frees the engine, after its contexts were closed.

        Kernels that TensorRT-RTX compiled meanwhile are kept on disk. Raises nothing, on a lost GPU neither.
        """
        with self._counting:
            self._owners = max(self._owners - 1, 0)
            if not self._owners:
                if self.runtime_cache is not None:
                    self.runtime_cache.keep()
                # In this order: a cache needs its engine, an engine its runtime, that one its loader.
                self.runtime_cache = None
                self.engine = None
                self._runtime = None
                self._loader = None

    def _deserialized(self) -> Any:
        with without_collection():
            engine = self._runtime.deserialize_cuda_engine(self.file.read_bytes())
        if engine is None:
            raise BackendError(
                f"{self.file} cannot be loaded: {last_error(self.logger)}. A plan loads only in the "
                "TensorRT and on the GPU it was built for. Export it again on this machine: "
                "edgebs export ... --target gpu"
            )
        return engine

    def _names(self) -> list[str]:
        return [self.engine.get_tensor_name(index) for index in range(self.engine.num_io_tensors)]

    def _spec(self, name: str) -> TensorSpec:
        if self.engine.get_tensor_location(name) != self.trt.TensorLocation.DEVICE:
            raise BackendError(f"{self.file}: tensor '{name}' lives on the host; only device tensors are run")
        sizes: list[int | str | None] = [
            size if size > 0 else None for size in self.engine.get_tensor_shape(name)
        ]
        if sizes and sizes[0] is None:
            sizes[0] = self._checked_batch(name)
        elif sizes and self._batch != 1 and sizes[0] != self._batch:
            raise BackendError(
                f"{self.file}: tensor '{name}' holds {sizes[0]} frames, not {self._batch}, and the plan has "
                f"no profile for more. Build it with one: edgebs export ... --batch 1,{self._batch}"
            )
        dtype = numpy_dtype(self.engine.get_tensor_dtype(name), name)
        return TensorSpec(fixed_shape(self.file, name, sizes), dtype)

    def _checked_batch(self, name: str) -> int:
        if self.engine.get_tensor_mode(name) == self.trt.TensorIOMode.INPUT:
            fewest, _usual, most = self.engine.get_tensor_profile_shape(name, 0)
            if not fewest[0] <= self._batch <= most[0]:
                raise BackendError(
                    f"{self.file} was built for {fewest[0]} to {most[0]} frames at once, not {self._batch}. "
                    f"Build it again: edgebs export ... --batch 1,{self._batch}"
                )
        return self._batch


def module_of(module: str, options: DeviceOptions) -> str:
    """The Python module that loads plans of `module`: that, or tensorrt_lean where the user chose it."""
    return "tensorrt_lean" if options.lean and module == "tensorrt" else module


def open_runtime(trt: Any, logger: Any, module: str, options: DeviceOptions) -> tuple[Any, Any]:
    """What deserialises plans of `module`: `trt`, or the lean runtime of TensorRT; and what loaded that one.

    Let go of it last: a lean runtime does not hold it, and lives in a library that it opened.
    logger: of `make_logger`. Raises BackendError if the file is no lean runtime.
    """
    runtime: Any = trt.Runtime(logger)
    loader = runtime
    # Beside a bundle of TensorRT, one of TensorRT-RTX may run, which has no lean runtime.
    if options.lean_runtime is not None and module != "tensorrt_rtx":
        with library_path(existing_file(options.lean_runtime), BackendError) as library:
            lean = runtime.load_runtime(str(library))
        if lean is None:
            raise BackendError(f"{options.lean_runtime} is no lean runtime of TensorRT: {last_error(logger)}")
        runtime = lean
    runtime.engine_host_code_allowed = options.host_code
    return runtime, loader


class TensorRTContext:
    """Runs an engine: one per stream, one thread at a time."""

    def __init__(self, engine: TensorRTEngine, scratch: cuda.DeviceBuffer | None = None) -> None:
        """Make a context. scratch: memory that it works in, shared only with what never runs at the same
        time; without it the context has its own."""
        self._engine: TensorRTEngine | None = engine
        cache = engine.runtime_cache
        context = create_context(
            engine.trt,
            engine.engine,
            is_user_managed=scratch is not None,
            runtime_cache=cache.native if cache is not None else None,
        )
        if context is None:
            raise BackendError(f"{engine.file}: no execution context: {last_error(engine.logger)}")
        self._context: Any = context
        self._scratch = scratch
        if scratch is not None:
            give_scratch(context, scratch.handle, scratch.nbytes)
        for name, spec in engine.inputs.items():
            if -1 in tuple(engine.engine.get_tensor_shape(name)) and not context.set_input_shape(
                name, spec.shape
            ):
                raise BackendError(f"{engine.file}: shape of '{name}': {last_error(engine.logger)}")

    def bind(self, buffers: Mapping[str, cuda.DeviceBuffer]) -> None:
        """Let the tensors lie in `buffers` from the next run on."""
        engine = self._opened()
        for name, buffer in buffers.items():
            if not self._context.set_tensor_address(name, buffer.handle):
                raise BackendError(f"{engine.file}: tensor '{name}': {last_error(engine.logger)}")

    def enqueue(self, stream: cuda.Stream) -> None:
        """Queue one run. Raises EnqueueRefused: the outputs then hold what they held before."""
        engine = self._opened()
        if not self._context.execute_async_v3(stream.handle):
            raise EnqueueRefused(f"TensorRT refused to run {engine.file}: {last_error(engine.logger)}")

    def captured(self, stream: cuda.Stream) -> cuda.Graph:
        """One run with the present addresses as a graph; it must have run once before, and be idle.

        Raises CaptureFailed with the reason.
        """
        engine = self._opened()
        if not is_capturable(self._context, stream.handle):
            raise CaptureFailed(f"TensorRT says that {engine.file} cannot be captured: export it again")
        return cuda.capture(stream, lambda: self.enqueue(stream))

    def close(self) -> None:
        """Free the context. May be called twice."""
        self._context = None
        self._engine = None

    def _opened(self) -> TensorRTEngine:
        if self._engine is None:
            raise BackendError("the execution context is closed")
        return self._engine
