"""pycuda.driver without a GPU, as far as edgebs uses it: contexts on a stack per thread."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np


class Error(Exception):
    """Base of pycuda's errors."""


class MemoryError(Error):
    """No memory on the device."""


class LaunchError(Error):
    """A kernel failed."""


class FakePycuda:
    """Stands in for the module `pycuda.driver`. Work happens at once."""

    Error, MemoryError, LaunchError = Error, MemoryError, LaunchError
    event_flags = SimpleNamespace(BLOCKING_SYNC=1, DISABLE_TIMING=2)

    def __init__(self) -> None:
        self.stacks: dict[int, list[Any]] = {}
        self.memory: dict[int, bytearray] = {}
        self.pinned = 0
        self.broken: Error | None = None
        self.initialised = 0
        self._next = 0x1000
        driver = self

        class Context:
            """The primary context."""

            def push(self) -> None:
                driver.stack.append(self)

            @staticmethod
            def pop() -> None:
                driver.stack.pop()

            @staticmethod
            def synchronize() -> None:
                driver.work()

        class Device:
            """The only one."""

            def __init__(self, index: int) -> None:
                assert index == 0

            @staticmethod
            def count() -> int:
                return 1

            def name(self) -> str:
                return "Fake Xavier"

            def compute_capability(self) -> tuple[int, int]:
                return 7, 2

            def pci_bus_id(self) -> str:
                return "0000:01:00.0"

            def total_memory(self) -> int:
                return 1 << 30

            def retain_primary_context(self) -> Context:
                return Context()

        class Stream:
            """Runs at once."""

            def __init__(self) -> None:
                driver._next += 0x1000
                self.handle = driver._next

            def synchronize(self) -> None:
                driver.work()

            def wait_for_event(self, event: Event) -> None:
                assert event.recorded

        class Event:
            """Recorded or not."""

            def __init__(self, flags: int) -> None:
                assert flags & 1
                self.recorded = False

            def record(self, stream: Stream) -> None:
                assert isinstance(stream, Stream)
                self.recorded = True

            def synchronize(self) -> None:
                driver.work()

            def time_till(self, other: Event) -> float:
                assert other.recorded
                return 1.5

        self.Context, self.Device, self.Stream, self.Event = Context, Device, Stream, Event

    @property
    def stack(self) -> list[Any]:
        return self.stacks.setdefault(threading.get_ident(), [])

    def work(self) -> None:
        """Whatever needs a context, and reports what is broken."""
        assert self.stack, "no currently active context"
        if self.broken:
            raise self.broken

    def init(self) -> None:
        self.initialised += 1

    def get_driver_version(self) -> int:
        return 11040

    def mem_get_info(self) -> tuple[int, int]:
        self.work()
        return 100, 1 << 30

    def mem_alloc(self, nbytes: int) -> Any:
        self.work()
        if nbytes > 1 << 30:
            raise MemoryError("cuMemAlloc failed: out of memory")
        self._next += 0x1000
        address = self._next
        self.memory[address] = bytearray(nbytes)
        driver = self

        class DeviceAllocation:
            def __int__(self) -> int:
                return address

            def free(self) -> None:
                del driver.memory[address]

        return DeviceAllocation()

    def pagelocked_empty(self, shape: int, dtype: Any) -> Any:
        self.work()
        self.pinned += 1
        driver = self

        memory = np.zeros(shape, dtype)

        class PagelockedHostAllocation:
            __array_interface__ = memory.__array_interface__
            kept = memory

            def free(self) -> None:
                driver.pinned -= 1

        return np.asarray(PagelockedHostAllocation())

    def memcpy_htod_async(self, target: int, source: Any, stream: Any) -> None:
        assert stream.handle
        self.memory[target][: source.nbytes] = source.tobytes()

    def memcpy_dtoh_async(self, target: Any, source: int, stream: Any) -> None:
        assert stream.handle
        target[:] = np.frombuffer(self.memory[source], np.uint8)[: target.nbytes]

    def memcpy_dtod_async(self, target: int, source: int, nbytes: int, stream: Any) -> None:
        assert stream.handle
        self.memory[target][:nbytes] = self.memory[source][:nbytes]
