"""Which GPUs there are, and making one of them this thread's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from edgebs.errors import BackendError, MissingDependency
from edgebs.nvidia.cuda.calls import Calls, DeviceFacts, Devices, Memory, runtime
from edgebs.nvidia.cuda.over_bindings import BindingsCalls


def calls() -> Calls:
    """CUDA over cuda-bindings, or over pycuda where only that is installed.

    Raises MissingDependency with the command that installs cuda-bindings where neither is.
    """
    try:
        return BindingsCalls(runtime())
    except MissingDependency:
        driver = _pycuda_driver()
        if driver is None:
            raise
    return _over_pycuda(driver)


def device_count() -> Devices:
    """GPUs here; 0 with the reason where there is no driver, no GPU, or no Python package for CUDA."""
    try:
        return calls().devices()
    except MissingDependency as error:
        return Devices(0, str(error))


def require_device() -> None:
    """BackendError saying why, unless there is a GPU; MissingDependency without cuda-bindings."""
    found = calls().devices()
    if not found.count:
        raise BackendError(f"no NVIDIA GPU: {found.reason}. Check with: nvidia-smi")


def device_facts(index: int = 0) -> DeviceFacts:
    """What GPU `index` is."""
    return calls().facts(index)


def memory_info(index: int = 0) -> Memory:
    """Free and total memory of GPU `index`; what the CPU uses counts where they share it (Jetson)."""
    with on_device(index):
        return calls().memory()


@contextmanager
def on_device(index: int = 0, *, to_close: bool = False) -> Iterator[None]:
    """Run a block with GPU `index` as this thread's. About a microsecond over cuda-bindings.

    to_close: run it also on a GPU that is lost, to give back what was held there.
    """
    made = calls()
    try:
        made.enter(index)
    except BackendError:
        if not to_close:
            raise
        yield
        return
    try:
        yield
    finally:
        made.leave()


def _pycuda_driver() -> Any:
    try:
        import pycuda.driver
    except ImportError:
        return None
    return pycuda.driver


@cache
def _over_pycuda(driver: Any) -> Calls:
    # One for the process, as the contexts are that pycuda retains.
    from edgebs.nvidia.cuda.over_pycuda import PycudaCalls

    return PycudaCalls(driver)
