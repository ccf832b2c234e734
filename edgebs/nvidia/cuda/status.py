"""What a CUDA status means: one function that turns it into an exception."""

from __future__ import annotations

from typing import Any

from edgebs.errors import BackendError, CaptureFailed, DeviceLost, MissingDependency, OutOfDeviceMemory

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
    return _spoken(name), _spoken(text)


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


def _spoken(text: Any) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)
