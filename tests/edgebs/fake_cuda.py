"""A CUDA runtime without a GPU that keeps CUDA's promises and no more.

Device memory cannot be read by numpy; queued work happens at synchronisation, in order, and reads its
source only then; every allocation and stream must be given back.
"""

# ruff: noqa: N802, N815 (CUDA's own names)
from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace
from typing import Any


class Status(IntEnum):
    """As in CUDA 13."""

    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorLaunchFailure = 719


class Kind(IntEnum):
    """Directions of a copy."""

    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


_TEXT = {Status.cudaErrorMemoryAllocation: b"out of memory", Status.cudaErrorLaunchFailure: b"launch failure"}


class FakeCuda:
    """Stands in for `cuda.bindings.runtime`."""

    cudaMemcpyKind = Kind
    cudaStreamNonBlocking = 1
    cudaHostAllocDefault = 0

    def __init__(self, *, devices: int = 1, capability: str = "7.5", memory_bytes: int = 1 << 30) -> None:
        self.devices, self.capability, self.free_bytes = devices, capability, memory_bytes
        self.device: dict[int, bytearray] = {}
        self.pinned: dict[int, Any] = {}
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.current: list[int] = []
        self.fails: dict[str, Status] = {}
        self._next = 0x1000

    @property
    def held(self) -> int:
        """Allocations and streams not given back."""
        return len(self.device) + len(self.pinned) + len(self.streams)

    def _new(self) -> int:
        self._next += 0x1000
        return self._next

    def _failed(self, call: str) -> Status:
        return self.fails.get(call, Status.cudaSuccess)

    def cudaGetDeviceCount(self) -> tuple[Any, ...]:
        return (Status.cudaSuccess, self.devices) if self.devices else (Status.cudaErrorNoDevice, None)

    def cudaDriverGetVersion(self) -> tuple[Any, ...]:
        return Status.cudaSuccess, 13000

    def cudaSetDevice(self, index: int) -> tuple[Any, ...]:
        self.current.append(index)
        return (self._failed("cudaSetDevice"),)

    def cudaGetDeviceProperties(self, index: int) -> tuple[Any, ...]:
        assert index < self.devices
        major, minor = map(int, self.capability.split("."))
        return Status.cudaSuccess, SimpleNamespace(
            name=b"Fake RTX 2080 Ti\0", major=major, minor=minor, totalGlobalMem=self.free_bytes
        )

    def cudaGetErrorName(self, status: Status) -> tuple[Any, ...]:
        return Status.cudaSuccess, status.name.encode()

    def cudaGetErrorString(self, status: Status) -> tuple[Any, ...]:
        return Status.cudaSuccess, _TEXT.get(status, b"as named")

    def cudaMalloc(self, nbytes: int) -> tuple[Any, ...]:
        if nbytes > self.free_bytes:
            return Status.cudaErrorMemoryAllocation, None
        self.free_bytes -= nbytes
        address = self._new()
        self.device[address] = bytearray(nbytes)
        return Status.cudaSuccess, address

    def cudaFree(self, address: int) -> tuple[Any, ...]:
        self.free_bytes += len(self.device.pop(address))
        return (self._failed("cudaFree"),)

    def cudaHostAlloc(self, nbytes: int, flags: int) -> tuple[Any, ...]:
        assert flags == 0
        memory = (ctypes.c_uint8 * nbytes)()
        address = ctypes.addressof(memory)
        self.pinned[address] = memory
        return Status.cudaSuccess, address

    def cudaFreeHost(self, address: int) -> tuple[Any, ...]:
        del self.pinned[address]
        return (Status.cudaSuccess,)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        assert flags == self.cudaStreamNonBlocking
        stream = self._new()
        self.streams[stream] = []
        return Status.cudaSuccess, stream

    def cudaStreamDestroy(self, stream: int) -> tuple[Any, ...]:
        del self.streams[stream]
        return (Status.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        queued, self.streams[stream] = self.streams[stream], []
        for work in queued:
            work()
        return (self._failed("cudaStreamSynchronize"),)

    def cudaMemcpyAsync(
        self, target: int, source: int, nbytes: int, kind: Kind, stream: int
    ) -> tuple[Any, ...]:
        def copy() -> None:
            if kind == Kind.cudaMemcpyHostToDevice:
                self.device[target][:nbytes] = bytes(self.pinned[source])[:nbytes]
            else:
                ctypes.memmove(target, bytes(self.device[source][:nbytes]), nbytes)

        self.streams[stream].append(copy)
        return (self._failed("cudaMemcpyAsync"),)

    def launch(self, stream: int, work: Callable[[], None]) -> None:
        """Queue a kernel, for engines that run on this fake."""
        self.streams[stream].append(work)
