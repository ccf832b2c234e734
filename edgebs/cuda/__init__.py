"""The few CUDA calls that engines need, over NVIDIA's cuda-bindings (12.x or 13.x).

The runtime API works in the primary context of the device, so a thread needs `use_device` and nothing
else. Whatever owns memory or a handle here is a context manager, and may be closed twice.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from edgebs.errors import BackendError, MissingDependency
from edgebs.tensors import Array

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Devices:
    """How many NVIDIA GPUs this process can use."""

    count: int
    reason: str
    """Why there is none; empty if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """One NVIDIA GPU."""

    name: str
    compute_capability: str
    """ "7.5" """
    driver: str
    """The newest CUDA version that the driver supports, "13.0"."""
    memory_bytes: int


def runtime() -> Any:
    """The module `cuda.bindings.runtime`; MissingDependency with the command that installs it."""
    try:
        from cuda.bindings import runtime as module
    except ImportError as error:
        raise MissingDependency("needs CUDA for Python: pip install 'edgebs[cuda]'") from error
    return module


def check(result: tuple[Any, ...], call: str) -> Any:
    """What a CUDA call returned beside its status: nothing, one value, or a tuple of them.

    Raises BackendError with the status's name, its explanation and the call.
    """
    status, *values = result
    if int(status) != 0:
        raise BackendError(f"CUDA: {call} failed: {_explained(status)}")
    if not values:
        return None
    return values[0] if len(values) == 1 else tuple(values)


def device_count() -> Devices:
    """GPUs here; 0 with the reason where there is no driver, no GPU, or no cuda-bindings."""
    try:
        cuda = runtime()
    except MissingDependency as error:
        return Devices(0, str(error))
    status, count = cuda.cudaGetDeviceCount()
    if int(status) != 0 and cuda.cudaDriverGetVersion()[1] == 0:
        return Devices(0, "no NVIDIA driver is installed")
    if int(status) != 0:
        return Devices(0, _explained(status))
    return Devices(int(count), "" if count else "the driver lists no device")


def require_device() -> None:
    """BackendError saying why, unless there is a GPU; MissingDependency without cuda-bindings."""
    runtime()
    found = device_count()
    if not found.count:
        raise BackendError(f"no NVIDIA GPU: {found.reason}. Check with: nvidia-smi")


def use_device(index: int = 0) -> None:
    """Make GPU `index` the one of this thread. Cheap (under a microsecond) if it is already."""
    check(runtime().cudaSetDevice(index), f"cudaSetDevice({index})")


def device_facts(index: int = 0) -> DeviceFacts:
    """What GPU `index` is."""
    cuda = runtime()
    facts = check(cuda.cudaGetDeviceProperties(index), f"cudaGetDeviceProperties({index})")
    driver = int(check(cuda.cudaDriverGetVersion(), "cudaDriverGetVersion()"))
    name = facts.name.decode() if isinstance(facts.name, bytes) else str(facts.name)
    return DeviceFacts(
        name=name.rstrip("\0"),
        compute_capability=f"{facts.major}.{facts.minor}",
        driver=f"{driver // 1000}.{driver % 1000 // 10}",
        memory_bytes=int(facts.totalGlobalMem),
    )


class _Owned:
    """A handle or address that is given back once, by `close`, by leaving `with`, or with its object."""

    def __init__(self, handle: Any, release: Callable[[Any], tuple[Any, ...]]) -> None:
        self._handle = handle
        self._release: Callable[[Any], tuple[Any, ...]] | None = release

    @property
    def handle(self) -> int:
        """The address or handle as an integer, as TensorRT takes it."""
        if self._release is None:
            raise BackendError(f"CUDA: {type(self).__name__} is closed")
        return int(self._handle)

    def close(self) -> None:
        """Give it back. May be called twice. A failure is logged: the context may be gone already."""
        release, self._release = self._release, None
        if release is None:
            return
        (status,) = release(self._handle)
        if int(status) != 0:
            log.warning("CUDA: closing a %s failed: %s", type(self).__name__, _explained(status))

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_release", None) is not None:
            self.close()


class Stream(_Owned):
    """A queue of work on the GPU, beside the default stream."""

    def __init__(self) -> None:
        """Create it on this thread's device."""
        cuda = runtime()
        flags = cuda.cudaStreamNonBlocking
        handle = check(cuda.cudaStreamCreateWithFlags(flags), "cudaStreamCreateWithFlags()")
        super().__init__(handle, cuda.cudaStreamDestroy)

    def synchronize(self) -> None:
        """Wait until everything queued so far is done. Errors of that work are raised here."""
        check(runtime().cudaStreamSynchronize(self.handle), "cudaStreamSynchronize()")


class DeviceBuffer(_Owned):
    """Memory on the GPU."""

    def __init__(self, nbytes: int) -> None:
        """Allocate `nbytes` on this thread's device."""
        cuda = runtime()
        super().__init__(check(cuda.cudaMalloc(nbytes), f"cudaMalloc({nbytes})"), cuda.cudaFree)
        self.nbytes = nbytes


class PinnedBuffer(_Owned):
    """Host memory that the GPU copies from and to without staging; `array` is its view."""

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        """Allocate an array of this shape and dtype. `array` must not be touched after `close`."""
        cuda = runtime()
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        call = f"cudaHostAlloc({nbytes})"
        address = check(cuda.cudaHostAlloc(nbytes, cuda.cudaHostAllocDefault), call)
        super().__init__(address, cuda.cudaFreeHost)
        memory = (ctypes.c_uint8 * nbytes).from_address(int(address))
        self.array: Array = np.ctypeslib.as_array(memory).view(dtype).reshape(shape)


def copy_to_device(target: DeviceBuffer, source: PinnedBuffer, stream: Stream) -> None:
    """Queue a copy of the whole of `source`; it must not change before the stream gets there."""
    kind = runtime().cudaMemcpyKind.cudaMemcpyHostToDevice
    _copy(target.handle, source.handle, source.array.nbytes, kind, stream)


def copy_to_host(target: PinnedBuffer, source: DeviceBuffer, stream: Stream) -> None:
    """Queue a copy that fills the whole of `target`; its array is valid after `stream.synchronize()`."""
    kind = runtime().cudaMemcpyKind.cudaMemcpyDeviceToHost
    _copy(target.handle, source.handle, target.array.nbytes, kind, stream)


def _copy(target: int, source: int, nbytes: int, kind: Any, stream: Stream) -> None:
    result = runtime().cudaMemcpyAsync(target, source, nbytes, kind, stream.handle)
    check(result, f"cudaMemcpyAsync({nbytes} bytes, {kind.name})")


def _explained(status: Any) -> str:
    cuda = runtime()
    name, text = (call(status)[1] for call in (cuda.cudaGetErrorName, cuda.cudaGetErrorString))
    spoken = text.decode() if isinstance(text, bytes) else str(text)
    return f"{name.decode() if isinstance(name, bytes) else name}: {spoken}"
