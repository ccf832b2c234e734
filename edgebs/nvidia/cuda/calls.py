"""The CUDA calls that this layer needs, from either Python package."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from edgebs.errors import BackendError, CaptureFailed, DeviceLost, MissingDependency, OutOfDeviceMemory


@dataclass(frozen=True, slots=True)
class Devices:
    """How many NVIDIA GPUs this process can use."""

    count: int
    reason: str
    """The reason if there is none; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """One NVIDIA GPU."""

    name: str
    compute_capability: str
    """ "7.5" """
    driver: str
    """The newest CUDA version that the driver supports, "13.0"."""
    memory_bytes: int
    pci_bus_id: str = ""
    """ "0000:65:00.0": what finds the same card in NVML, which counts differently. Empty where unknown."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of one GPU, in bytes."""

    free: int
    total: int


class Direction(Enum):
    """From where to where a copy goes."""

    TO_DEVICE = "cudaMemcpyHostToDevice"
    TO_HOST = "cudaMemcpyDeviceToHost"
    ON_DEVICE = "cudaMemcpyDeviceToDevice"


class Calls(Protocol):
    """CUDA in the terms of this layer. Handles and addresses are integers, as TensorRT takes them.

    Every method raises BackendError or the one of its children that fits: OutOfDeviceMemory, DeviceLost,
    CaptureFailed, as from `begin_capture` where the package has no graphs.
    """

    name: str
    """The Python package: "cuda-bindings" or "pycuda"."""

    def devices(self) -> Devices: ...
    def facts(self, index: int) -> DeviceFacts: ...
    def enter(self, index: int) -> None:
        """Make GPU `index` the one of this thread."""

    def leave(self) -> None:
        """Undo one `enter`, where the package keeps a stack."""

    def memory(self) -> Memory: ...
    def synchronize(self) -> None:
        """Wait for everything on this thread's GPU."""

    def reset(self) -> None:
        """Destroy all that this process holds on this thread's GPU, and start afresh."""

    def allocate(self, nbytes: int) -> int: ...
    def free(self, address: int) -> None: ...
    def allocate_pinned(self, nbytes: int) -> int: ...
    def free_pinned(self, address: int) -> None: ...
    def copy(self, target: int, source: int, nbytes: int, direction: Direction, stream: int) -> None: ...
    def create_stream(self) -> int: ...
    def destroy_stream(self, stream: int) -> None: ...
    def synchronize_stream(self, stream: int) -> None: ...
    def create_event(self, *, timed: bool) -> int: ...
    def destroy_event(self, event: int) -> None: ...
    def record(self, event: int, stream: int) -> None: ...
    def wait(self, stream: int, event: int) -> None: ...
    def synchronize_event(self, event: int) -> None: ...
    def elapsed_ms(self, start: int, end: int) -> float: ...
    def begin_capture(self, stream: int) -> None: ...
    def end_capture(self, stream: int) -> int:
        """The executable graph of what was queued since `begin_capture`."""

    def abandon_capture(self, stream: int) -> None:
        """End a capture whose result is not wanted. Raises nothing."""

    def launch_graph(self, graph: int, stream: int) -> None: ...
    def destroy_graph(self, graph: int) -> None: ...


LOST = frozenset(
    {
        "cudaErrorAssert",
        "cudaErrorContained",
        "cudaErrorContextIsDestroyed",
        "cudaErrorDevicesUnavailable",
        "cudaErrorECCUncorrectable",
        "cudaErrorHardwareStackError",
        "cudaErrorIllegalAddress",
        "cudaErrorIllegalInstruction",
        "cudaErrorInvalidAddressSpace",
        "cudaErrorInvalidPc",
        "cudaErrorLaunchFailure",
        "cudaErrorLaunchTimeout",
        "cudaErrorMisalignedAddress",
        "cudaErrorNvlinkUncorrectable",
        "cudaErrorUnknown",
    }
)
"""Statuses after which every further call in this context fails in the same way."""


def runtime() -> Any:
    """The module `cuda.bindings.runtime`; MissingDependency with the command that installs it."""
    try:
        from cuda.bindings import runtime as module
    except ImportError as error:
        raise MissingDependency("needs CUDA for Python: pip install 'edgebs[cuda]'") from error
    return module


def check(result: tuple[Any, ...], call: str) -> Any:
    """What a CUDA call returned beside its status: nothing, one value, or a tuple of them.

    Raises BackendError, or the one of its children that fits, with the status's name, its explanation and
    the call.
    """
    status, *values = result
    if int(status) != 0:
        raise error_of(*explained(status), call)
    if not values:
        return None
    return values[0] if len(values) == 1 else tuple(values)


def explained(status: Any) -> tuple[str, str]:
    """A status's name and CUDA's words for it."""
    cuda = runtime()
    name, text = (call(status)[1] for call in (cuda.cudaGetErrorName, cuda.cudaGetErrorString))
    return _describe(name), _describe(text)


def error_of(name: str, text: str, call: str) -> BackendError:
    """The exception for the status called `name`, with what to do about it."""
    message = f"CUDA: {call} failed: {name}: {text}"
    if name == "cudaErrorMemoryAllocation":
        return OutOfDeviceMemory(
            f"{message}. Close other pipelines or programs on this GPU (on a Jetson the CPU's memory is the "
            "same), or run a smaller network"
        )
    if name in LOST:
        return DeviceLost(
            f"{message}. All work on this GPU is lost: close the pipeline and open it again; if that fails "
            "too, end the process. The kernel's log has the cause: sudo dmesg | grep -i xid"
        )
    if name.startswith("cudaErrorStreamCapture"):
        return CaptureFailed(message)
    return BackendError(message)


def _describe(text: Any) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)
