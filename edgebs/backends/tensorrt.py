"""TensorRT plans on an NVIDIA GPU: `tensorrt` 8.6, 10 and 11, and `tensorrt_rtx`, through what they share."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from edgebs.errors import BackendError
from edgebs.nvidia import DeviceOptions, cuda
from edgebs.nvidia.tensorrt import import_tensorrt
from edgebs.nvidia.tensorrt.engine import TensorRTContext, TensorRTEngine, module_of
from edgebs.tensors import Array, TensorSpec, check_feed, existing_file


class TensorRTBackend:
    """Runs one plan from host arrays to host arrays: a context and a stream of its own, copies at both ends.

    For single networks: parity, cues that are computed now and then. A whole pipeline stays on the device
    (edgebs.nvidia.runner).
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    description: str

    def __init__(
        self,
        file: Path,
        *,
        module: str = "tensorrt",
        options: DeviceOptions | None = None,
    ) -> None:
        """Load the plan in `file`; see TensorRTEngine."""
        self._file = existing_file(file)
        options = options or DeviceOptions()
        self._device = options.device
        import_tensorrt(module_of(module, options))
        cuda.revive_device(self._device)
        cuda.require_device()
        with cuda.on_device(self._device), ExitStack() as owned:
            engine = TensorRTEngine(file, module=module, options=options)
            owned.callback(engine.close)
            self._open(engine, owned)
            self._owned = owned.pop_all()
        self.inputs, self.outputs, self.description = engine.inputs, engine.outputs, engine.description
        self._is_open = True

    def _open(self, engine: TensorRTEngine, owned: ExitStack) -> None:
        specs = {**engine.inputs, **engine.outputs}
        self._context = TensorRTContext(engine)
        owned.callback(self._context.close)
        self._stream = owned.enter_context(cuda.Stream())
        self._host = {
            name: owned.enter_context(cuda.PinnedBuffer(spec.shape, spec.dtype))
            for name, spec in specs.items()
        }
        self._device_buffers = {
            name: owned.enter_context(cuda.DeviceBuffer(host.array.nbytes))
            for name, host in self._host.items()
        }
        self._context.bind(self._device_buffers)
        # The caller gets ordinary memory: a view of pinned memory would dangle after close().
        self._results = {name: np.zeros(spec.shape, spec.dtype) for name, spec in engine.outputs.items()}

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run once. The returned arrays are overwritten by the next call: copy what must outlive it."""
        if not self._is_open:
            raise BackendError(f"{self._file}: the backend is closed")
        check_feed(self.inputs, feed)
        with cuda.on_device(self._device):
            for name, array in feed.items():
                np.copyto(self._host[name].array, array)
                cuda.copy_to_device(self._device_buffers[name], self._host[name], self._stream)
            self._run()
        for name, result in self._results.items():
            np.copyto(result, self._host[name].array)
        return self._results

    def _run(self) -> None:
        try:
            self._context.enqueue(self._stream)
            for name in self.outputs:
                cuda.copy_to_host(self._host[name], self._device_buffers[name], self._stream)
        finally:
            # Also after a refusal: the inputs may be overwritten, or freed, when this returns.
            self._stream.synchronize()

    def close(self) -> None:
        """Free the engine, its buffers and its stream. May be called twice."""
        self._is_open = False
        with cuda.on_device(self._device, to_close=True):
            self._owned.close()
