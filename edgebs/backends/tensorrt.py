"""TensorRT plans on an NVIDIA GPU: `tensorrt` 8.6, 10 and 11, and `tensorrt_rtx`, through what they share."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from edgebs import cuda
from edgebs.backends.feed import check_feed, existing_file, fixed_shape
from edgebs.backends.tensorrt_module import (
    import_tensorrt,
    last_error,
    make_logger,
    numpy_dtype,
    plan_facts_here,
)
from edgebs.errors import BackendError
from edgebs.plan import PlanFacts, check_plan_fits
from edgebs.tensors import Array, TensorSpec


class TensorRTBackend:
    """Runs one plan: device buffers, one context and one stream of its own, copies at both ends."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    description: str

    def __init__(
        self, file: Path, *, module: str = "tensorrt", build: PlanFacts | None = None, device: int = 0
    ) -> None:
        """Load the plan in `file` with the Python module `module`.

        build: what the plan was built for, where known; compared before the plan, which is native code,
        is read. Without it TensorRT's own check is the only one.
        """
        file = existing_file(file)
        trt = import_tensorrt(module)
        cuda.require_device()
        if build is not None:
            target = "gpu" if module == "tensorrt" else "sm"
            check_plan_fits(build, plan_facts_here(module), where=str(file), target=target)
        self._file, self._device = file, device
        cuda.use_device(device)
        self._logger = make_logger(trt)
        self._runtime: Any = trt.Runtime(self._logger)
        self._runtime.engine_host_code_allowed = False
        with ExitStack() as owned:
            owned.callback(self._drop_engine)
            self._open(trt, owned)
            self._owned = owned.pop_all()
        self.description = f"{module} {trt.__version__} on {cuda.device_facts(device).name}"

    def _open(self, trt: Any, owned: ExitStack) -> None:
        self._engine: Any = self._deserialized()
        specs = {name: self._spec(trt, name) for name in self._tensor_names()}
        is_input = {name: self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in specs}
        self.inputs = {name: spec for name, spec in specs.items() if is_input[name]}
        self.outputs = {name: spec for name, spec in specs.items() if not is_input[name]}
        self._context: Any = self._engine.create_execution_context()
        if self._context is None:
            raise BackendError(f"{self._file}: no execution context: {last_error(self._logger)}")
        self._stream = owned.enter_context(cuda.Stream())
        self._host = {
            name: owned.enter_context(cuda.PinnedBuffer(spec.shape, spec.dtype))
            for name, spec in specs.items()
        }
        self._device_buffers = {
            name: owned.enter_context(cuda.DeviceBuffer(host.array.nbytes))
            for name, host in self._host.items()
        }
        for name, buffer in self._device_buffers.items():
            if not self._context.set_tensor_address(name, buffer.handle):
                raise BackendError(f"{self._file}: tensor '{name}': {last_error(self._logger)}")
        # The caller gets ordinary memory: a view of pinned memory would dangle after close().
        self._results = {name: np.zeros(spec.shape, spec.dtype) for name, spec in self.outputs.items()}

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run once. The returned arrays are overwritten by the next call: copy what must outlive it."""
        if self._context is None:
            raise BackendError(f"{self._file}: the backend is closed")
        check_feed(self.inputs, feed)
        cuda.use_device(self._device)
        for name, array in feed.items():
            np.copyto(self._host[name].array, array)
            cuda.copy_to_device(self._device_buffers[name], self._host[name], self._stream)
        # A refused enqueue leaves the last results in the buffers: the answer must be read.
        if not self._context.execute_async_v3(self._stream.handle):
            raise BackendError(f"TensorRT refused to run {self._file}: {last_error(self._logger)}")
        for name in self.outputs:
            cuda.copy_to_host(self._host[name], self._device_buffers[name], self._stream)
        self._stream.synchronize()
        for name, result in self._results.items():
            np.copyto(result, self._host[name].array)
        return self._results

    def close(self) -> None:
        """Free the engine, its buffers and its stream. May be called twice."""
        self._drop_engine()
        self._owned.close()

    def _drop_engine(self) -> None:
        # In this order: a context needs its engine, an engine its runtime.
        self._context = None
        self._engine = None
        self._runtime = None

    def _deserialized(self) -> Any:
        engine = self._runtime.deserialize_cuda_engine(self._file.read_bytes())
        if engine is None:
            raise BackendError(
                f"{self._file} cannot be loaded: {last_error(self._logger)}. A plan loads only in the "
                "TensorRT and on the GPU it was built for. Export it again on this machine: "
                "edgebs export ... --target gpu"
            )
        return engine

    def _tensor_names(self) -> list[str]:
        return [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]

    def _spec(self, trt: Any, name: str) -> TensorSpec:
        if self._engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
            raise BackendError(
                f"{self._file}: tensor '{name}' lives on the host; only device tensors are run"
            )
        sizes = [size if size > 0 else None for size in self._engine.get_tensor_shape(name)]
        dtype = numpy_dtype(self._engine.get_tensor_dtype(name), name)
        return TensorSpec(fixed_shape(self._file, name, list(sizes)), dtype)


def check_plan_fits_here(build: Mapping[str, object], *, where: str, target: str) -> None:
    """Raise EngineMismatch unless a plan with the facts `build` (a manifest's) can be loaded here."""
    facts = PlanFacts.from_json(build)
    check_plan_fits(facts, plan_facts_here(facts.module), where=where, target=target)
