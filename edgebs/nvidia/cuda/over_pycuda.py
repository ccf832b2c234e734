"""The calls over pycuda, for JetPack images that bring only that. CUDA graphs are not in it.

pycuda works in contexts that are pushed and popped per thread. This uses the primary context, which
TensorRT uses too, and never `pycuda.autoinit`, which makes a context of its own on the importing thread.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from edgebs.errors import CaptureFailed
from edgebs.nvidia.cuda.calls import DeviceFacts, Devices, Direction, Memory, error_of

NO_GRAPHS = (
    "pycuda has no CUDA graphs: engines are queued call by call. For graphs: pip install 'edgebs[cuda]'"
)

_NAMES = {
    "MemoryError": "cudaErrorMemoryAllocation",
    "LaunchError": "cudaErrorLaunchFailure",
}


class PycudaCalls:
    """See `Calls`. One object per process: it keeps pycuda's objects by their handles."""

    name = "pycuda"

    def __init__(self, driver: Any) -> None:
        """driver: the module pycuda.driver."""
        self._driver = driver
        self._contexts: dict[int, Any] = {}
        self._held: dict[int, Any] = {}

    @contextmanager
    def _checked(self, call: str) -> Iterator[None]:
        try:
            yield
        except self._driver.Error as error:
            name = _NAMES.get(type(error).__name__, type(error).__name__)
            raise error_of(name, str(error), call) from error

    def _keep(self, handle: Any, owner: Any) -> int:
        self._held[int(handle)] = owner
        return int(handle)

    def devices(self) -> Devices:
        """GPUs here; 0 with the reason where there is no driver or no GPU."""
        try:
            self._driver.init()
            count = int(self._driver.Device.count())
        except self._driver.Error as error:
            return Devices(0, str(error))
        return Devices(count, "" if count else "the driver lists no device")

    def facts(self, index: int) -> DeviceFacts:
        with self._checked(f"Device({index})"):
            self._driver.init()
            device = self._driver.Device(index)
            major, minor = device.compute_capability()
            version = int(self._driver.get_driver_version())
            return DeviceFacts(
                name=str(device.name()),
                compute_capability=f"{major}.{minor}",
                driver=f"{version // 1000}.{version % 1000 // 10}",
                memory_bytes=int(device.total_memory()),
                pci_bus_id=str(device.pci_bus_id()),
            )

    def enter(self, index: int) -> None:
        """Push the primary context. Each `enter` needs its `leave`: pycuda aborts at the end otherwise."""
        with self._checked(f"Device({index}).retain_primary_context()"):
            if index not in self._contexts:
                self._driver.init()
                self._contexts[index] = self._driver.Device(index).retain_primary_context()
            self._contexts[index].push()

    def leave(self) -> None:
        with self._checked("Context.pop()"):
            self._driver.Context.pop()

    def memory(self) -> Memory:
        with self._checked("mem_get_info()"):
            free, total = self._driver.mem_get_info()
            return Memory(int(free), int(total))

    def synchronize(self) -> None:
        with self._checked("Context.synchronize()"):
            self._driver.Context.synchronize()

    def reset(self) -> None:
        """pycuda cannot reset a primary context: the process has to end."""
        raise error_of("cudaErrorContextIsDestroyed", "pycuda cannot reset the device", "reset()")

    def allocate(self, nbytes: int) -> int:
        with self._checked(f"mem_alloc({nbytes})"):
            memory = self._driver.mem_alloc(nbytes)
            return self._keep(memory, memory)

    def free(self, address: int) -> None:
        with self._checked("DeviceAllocation.free()"):
            self._held.pop(address).free()

    def allocate_pinned(self, nbytes: int) -> int:
        """Host memory that the GPU reads without staging."""
        with self._checked(f"pagelocked_empty({nbytes})"):
            array = self._driver.pagelocked_empty(nbytes, np.uint8)
            return self._keep(array.ctypes.data, array)

    def free_pinned(self, address: int) -> None:
        with self._checked("PagelockedHostAllocation.free()"):
            self._held.pop(address).base.free()

    def copy(self, target: int, source: int, nbytes: int, direction: Direction, stream: int) -> None:
        queue = self._held[stream]
        with self._checked(f"memcpy_async({nbytes} bytes, {direction.name})"):
            if direction is Direction.TO_DEVICE:
                self._driver.memcpy_htod_async(target, _host(source, nbytes), queue)
            elif direction is Direction.TO_HOST:
                self._driver.memcpy_dtoh_async(_host(target, nbytes), source, queue)
            else:
                self._driver.memcpy_dtod_async(target, source, nbytes, queue)

    def create_stream(self) -> int:
        """pycuda names no flags here; nothing of ours uses the default stream that it waits for."""
        with self._checked("Stream()"):
            stream = self._driver.Stream()
            return self._keep(stream.handle, stream)

    def destroy_stream(self, stream: int) -> None:
        """pycuda destroys it with its object."""
        self._held.pop(stream)

    def synchronize_stream(self, stream: int) -> None:
        """Errors of the queued work are raised here."""
        with self._checked("Stream.synchronize()"):
            self._held[stream].synchronize()

    def create_event(self, *, timed: bool) -> int:
        """pycuda's events have no handle that Python sees: the object's identity is one."""
        flags = self._driver.event_flags
        untimed = 0 if timed else flags.DISABLE_TIMING
        with self._checked("Event()"):
            event = self._driver.Event(flags.BLOCKING_SYNC | untimed)
            return self._keep(id(event), event)

    def destroy_event(self, event: int) -> None:
        """pycuda destroys it with its object."""
        self._held.pop(event)

    def record(self, event: int, stream: int) -> None:
        with self._checked("Event.record()"):
            self._held[event].record(self._held[stream])

    def wait(self, stream: int, event: int) -> None:
        with self._checked("Stream.wait_for_event()"):
            self._held[stream].wait_for_event(self._held[event])

    def synchronize_event(self, event: int) -> None:
        """Errors of the work before the event are raised here."""
        with self._checked("Event.synchronize()"):
            self._held[event].synchronize()

    def elapsed_ms(self, start: int, end: int) -> float:
        with self._checked("Event.time_till()"):
            return float(self._held[start].time_till(self._held[end]))

    def begin_capture(self, stream: int) -> None:  # noqa: ARG002
        """Not in pycuda."""
        raise CaptureFailed(NO_GRAPHS)

    def end_capture(self, stream: int) -> int:  # noqa: ARG002
        """Not in pycuda."""
        raise CaptureFailed(NO_GRAPHS)

    def abandon_capture(self, stream: int) -> None:
        """Not in pycuda."""

    def launch_graph(self, graph: int, stream: int) -> None:  # noqa: ARG002
        """Not in pycuda."""
        raise CaptureFailed(NO_GRAPHS)

    def destroy_graph(self, graph: int) -> None:
        """Not in pycuda."""


def _host(address: int, nbytes: int) -> Any:
    return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))
