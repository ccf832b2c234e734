"""A CUDA runtime without a GPU that keeps CUDA's promises and no more.

Device memory cannot be read by numpy. Queued work happens in the order of its stream, and is ordered
against other streams by events alone: streams named in `eager` run as soon as they may, all others as late
as a wait of the CPU allows, or as chance has it, so that a missing wait reads what is not there yet, or what
is no longer there. Every allocation, stream, event and graph must be given back, not while work is queued.
Host memory that was given back is kept and marked, so that who writes there late is found and spoils nothing.
"""

# ruff: noqa: N802, N815 (CUDA's own names)
from __future__ import annotations

import ctypes
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
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
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901


class Kind(IntEnum):
    """Directions of a copy."""

    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2
    cudaMemcpyDeviceToDevice = 3


class CaptureMode(IntEnum):
    """Whose calls may end a capture."""

    cudaStreamCaptureModeThreadLocal = 1


_GIVEN_BACK = 0xDD
"""Every byte of host memory that was given back."""
_TEXT = {Status.cudaErrorMemoryAllocation: b"out of memory", Status.cudaErrorLaunchFailure: b"launch failure"}
Answer = tuple[Any, ...]


@dataclass(eq=False)
class Op:
    """One entry of a stream: work, a record of an event, or a wait for one."""

    work: Callable[[], None] | None = None
    records: FakeEvent | None = None
    waits_for: Op | None = None
    done: bool = False


@dataclass(eq=False)
class FakeEvent:
    """The last record of it, and the stream that this was put into."""

    timed: bool
    record: Op | None = None
    stream: int = 0
    happened_ms: float = 0.0


@dataclass(eq=False)
class Capture:
    """Work recorded instead of queued."""

    work: list[Callable[[], None]] = field(default_factory=list)
    is_valid: bool = True


class FakeCuda:
    """Stands in for `cuda.bindings.runtime`."""

    cudaMemcpyKind = Kind
    cudaStreamCaptureMode = CaptureMode
    cudaStreamNonBlocking = 1
    cudaHostAllocDefault = 0
    cudaEventBlockingSync = 1
    cudaEventDisableTiming = 2

    def __init__(
        self,
        *,
        devices: int = 1,
        capability: str = "7.5",
        memory_bytes: int = 1 << 30,
        eager: Collection[int] = (),
    ) -> None:
        """eager: positions, in the order of their creation, of the streams that run as soon as they may.

        A number below 0 is a seed instead: while the CPU waits, streams go on as chance has it.
        """
        self.devices, self.capability, self.free_bytes = devices, capability, memory_bytes
        self.device: dict[int, bytearray] = {}
        self.pinned: dict[int, Any] = {}
        self.streams: dict[int, deque[Op]] = {}
        self.events: dict[int, FakeEvent] = {}
        self.graphs: dict[int, Capture] = {}
        self.captures: dict[int, Capture] = {}
        self.current: list[int] = []
        self.fails: dict[str, Status] = {}
        self.allocations_left: int | None = None
        """Allocations, streams and events that still succeed; None for all."""
        self.lost: Status | None = None
        self.is_broken = False
        """Whether not even a reset brings the device back."""
        self.resets = 0
        self._violations: list[str] = []
        self._buried: list[Any] = []
        self.copied: Counter[str] = Counter()
        """Bytes of queued copies by direction."""
        self.clock_ms = 0.0
        self._eager, self._order = set(eager), [0]
        self._random = random.Random(min(eager)) if eager and min(eager) < 0 else None
        self._next = 0x1000
        self._lock = threading.RLock()

    @property
    def held(self) -> int:
        """Allocations, streams, events and graphs not given back."""
        return sum(len(kind) for kind in (self.device, self.pinned, self.streams, self.events, self.graphs))

    @property
    def queued(self) -> int:
        """Operations that have not happened yet."""
        return sum(len(queue) for queue in self.streams.values())

    @property
    def violations(self) -> list[str]:
        """What CUDA does not forgive and does not tell either."""
        late = [f"{len(memory)} bytes written after they were given back" for memory in self._buried
                if bytes(memory).strip(bytes([_GIVEN_BACK]))]  # fmt: skip
        return self._violations + late

    def _bury(self, memory: Any) -> None:
        ctypes.memset(memory, _GIVEN_BACK, len(memory))
        self._buried.append(memory)

    def _new(self) -> int:
        self._next += 1 << 20
        return self._next

    def _status(self, call: str) -> Status:
        return self.lost or self.fails.get(call, Status.cudaSuccess)

    def _refused(self, call: str) -> Status:
        """The status of a call that makes something."""
        if self.allocations_left == 0:
            return Status.cudaErrorMemoryAllocation
        if self.allocations_left is not None:
            self.allocations_left -= 1
        return self._status(call)

    def _given_back(self, call: str) -> Answer:
        if self.queued and self.lost is None:
            self._violations.append(f"{call} while {self.queued} operations are queued")
        return (self._status(call),)

    # Devices

    def cudaGetDeviceCount(self) -> Answer:
        if self.lost:
            return self.lost, None
        return (Status.cudaSuccess, self.devices) if self.devices else (Status.cudaErrorNoDevice, None)

    def cudaDriverGetVersion(self) -> Answer:
        return Status.cudaSuccess, 13000

    def cudaSetDevice(self, index: int) -> Answer:
        self.current.append(index)
        return (self._status("cudaSetDevice"),)

    def cudaGetDeviceProperties(self, index: int) -> Answer:
        if self.lost:
            return self.lost, None
        assert index < self.devices
        major, minor = map(int, self.capability.split("."))
        return Status.cudaSuccess, SimpleNamespace(
            name=b"Fake RTX 2080 Ti\0",
            major=major,
            minor=minor,
            totalGlobalMem=self.free_bytes,
            pciDomainID=0,
            pciBusID=0x65,
            pciDeviceID=0,
        )

    def cudaMemGetInfo(self) -> Answer:
        return self._status("cudaMemGetInfo"), self.free_bytes, 1 << 30

    def cudaDeviceSynchronize(self) -> Answer:
        with self._lock:
            for stream in list(self.streams):
                self._finish(stream)
        return (self._status("cudaDeviceSynchronize"),)

    def cudaDeviceReset(self) -> Answer:
        self.resets += 1
        if self.is_broken:
            return (self._status("cudaDeviceReset"),)
        self.lost = None
        for memory in self.pinned.values():
            self._bury(memory)
        for kind in (self.device, self.pinned, self.streams, self.events, self.graphs, self.captures):
            kind.clear()
        return (Status.cudaSuccess,)

    def cudaGetLastError(self) -> Answer:
        return (self.lost or Status.cudaSuccess,)

    def cudaGetErrorName(self, status: Status) -> Answer:
        return Status.cudaSuccess, status.name.encode()

    def cudaGetErrorString(self, status: Status) -> Answer:
        return Status.cudaSuccess, _TEXT.get(status, b"as named")

    # Memory

    def cudaMalloc(self, nbytes: int) -> Answer:
        status = self._refused("cudaMalloc")
        if nbytes > self.free_bytes:
            status = status or Status.cudaErrorMemoryAllocation
        if status:
            return status, None
        for capture in self.captures.values():
            capture.is_valid = False
        self.free_bytes -= nbytes
        address = self._new()
        self.device[address] = bytearray(nbytes)
        return Status.cudaSuccess, address

    def cudaFree(self, address: int) -> Answer:
        self.free_bytes += len(self.device.pop(address, b""))
        return self._given_back("cudaFree")

    def cudaHostAlloc(self, nbytes: int, flags: int) -> Answer:
        assert flags == 0
        if status := self._refused("cudaHostAlloc"):
            return status, None
        memory = (ctypes.c_uint8 * nbytes)()
        address = ctypes.addressof(memory)
        self.pinned[address] = memory
        return Status.cudaSuccess, address

    def cudaFreeHost(self, address: int) -> Answer:
        if address in self.pinned:
            self._bury(self.pinned.pop(address))
        return self._given_back("cudaFreeHost")

    def cudaMemcpyAsync(self, target: int, source: int, nbytes: int, kind: Kind, stream: int) -> Answer:
        def copy() -> None:
            if kind == Kind.cudaMemcpyHostToDevice:
                self.at(target, nbytes)[:] = bytes(self.pinned[source])[:nbytes]
            elif kind == Kind.cudaMemcpyDeviceToHost:
                self._copy_to_host(target, bytes(self.at(source, nbytes)))
            else:
                self.at(target, nbytes)[:] = bytes(self.at(source, nbytes))

        self.launch(stream, copy)
        self.copied[kind.name.removeprefix("cudaMemcpy")] += nbytes
        return (self._status("cudaMemcpyAsync"),)

    def _copy_to_host(self, target: int, content: bytes) -> None:
        # A copy that nobody waited for comes when the memory is another's: it must not reach Python's own.
        if target not in self.pinned:
            self._violations.append(f"{len(content)} bytes copied to host memory that was given back")
            return
        assert len(content) <= len(self.pinned[target]), "out of bounds in host memory"
        ctypes.memmove(self.pinned[target], content, len(content))

    def at(self, address: int, nbytes: int) -> memoryview:
        """Device memory from an address that lies in an allocation."""
        base = max(start for start in self.device if start <= address)
        start = address - base
        assert start + nbytes <= len(self.device[base]), "out of bounds on the device"
        return memoryview(self.device[base])[start : start + nbytes]

    # Streams and events

    def cudaStreamCreateWithFlags(self, flags: int) -> Answer:
        assert flags == self.cudaStreamNonBlocking
        if status := self._refused("cudaStreamCreateWithFlags"):
            return status, None
        stream = self._new()
        self.streams[stream] = deque()
        self._order.append(stream)
        return Status.cudaSuccess, stream

    def cudaStreamDestroy(self, stream: int) -> Answer:
        answer = self._given_back("cudaStreamDestroy")
        self.streams.pop(stream, None)
        return answer

    def cudaStreamSynchronize(self, stream: int) -> Answer:
        if stream in self.captures:
            self.captures[stream].is_valid = False
            return (Status.cudaErrorStreamCaptureUnsupported,)
        with self._lock:
            self._finish(stream)
        return (self._status("cudaStreamSynchronize"),)

    def cudaEventCreateWithFlags(self, flags: int) -> Answer:
        if status := self._refused("cudaEventCreateWithFlags"):
            return status, None
        assert flags & self.cudaEventBlockingSync
        event = self._new()
        self.events[event] = FakeEvent(timed=not flags & self.cudaEventDisableTiming)
        return Status.cudaSuccess, event

    def cudaEventDestroy(self, event: int) -> Answer:
        self.events.pop(event, None)
        return (self._status("cudaEventDestroy"),)

    def cudaEventRecord(self, event: int, stream: int) -> Answer:
        made = self.events[event]
        made.record, made.stream = Op(records=made), stream
        self._queue(stream, made.record)
        return (self._status("cudaEventRecord"),)

    def cudaStreamWaitEvent(self, stream: int, event: int, flags: int) -> Answer:
        assert flags == 0
        record = self.events[event].record
        if record is not None:
            self._queue(stream, Op(waits_for=record))
        return (self._status("cudaStreamWaitEvent"),)

    def cudaEventSynchronize(self, event: int) -> Answer:
        made = self.events[event]
        with self._lock:
            if made.record is not None and self.lost is None:
                self._run_to(made.stream, made.record)
        return (self._status("cudaEventSynchronize"),)

    def cudaEventElapsedTime(self, start: int, end: int) -> Answer:
        first, last = self.events[start], self.events[end]
        assert first.timed
        assert last.timed
        return self._status("cudaEventElapsedTime"), last.happened_ms - first.happened_ms

    # Graphs

    def cudaStreamBeginCapture(self, stream: int, mode: CaptureMode) -> Answer:
        assert mode == CaptureMode.cudaStreamCaptureModeThreadLocal
        status = self._status("cudaStreamBeginCapture")
        if not status:
            self.captures[stream] = Capture()
        return (status,)

    def cudaStreamEndCapture(self, stream: int) -> Answer:
        capture = self.captures.pop(stream)
        status = self._status("cudaStreamEndCapture")
        if not capture.is_valid:
            status = status or Status.cudaErrorStreamCaptureInvalidated
        if status:
            return status, None
        graph = self._new()
        self.graphs[graph] = capture
        return Status.cudaSuccess, graph

    def cudaGraphInstantiate(self, graph: int, flags: int) -> Answer:
        assert flags == 0
        if status := self._status("cudaGraphInstantiate"):
            return status, None
        executable = self._new()
        self.graphs[executable] = self.graphs[graph]
        return Status.cudaSuccess, executable

    def cudaGraphDestroy(self, graph: int) -> Answer:
        del self.graphs[graph]
        return (Status.cudaSuccess,)

    def cudaGraphExecDestroy(self, graph: int) -> Answer:
        self.graphs.pop(graph, None)
        return (self._status("cudaGraphExecDestroy"),)

    def cudaGraphLaunch(self, graph: int, stream: int) -> Answer:
        for work in self.graphs[graph].work:
            self.launch(stream, work)
        return (self._status("cudaGraphLaunch"),)

    # What makes it honest

    def launch(self, stream: int, work: Callable[[], None]) -> None:
        """Queue a kernel, for engines that run on this fake."""
        if stream in self.captures:
            self.captures[stream].work.append(work)
        else:
            self._queue(stream, Op(work=work))

    def _queue(self, stream: int, op: Op) -> None:
        with self._lock:
            self.streams[stream].append(op)
            self._run_eager()

    def _run_eager(self) -> None:
        streams = [stream for place, stream in enumerate(self._order[1:]) if place in self._eager]
        while any(self._step(stream) for stream in streams):
            pass

    def _step(self, stream: int) -> bool:
        """Do the first operation of a stream if it may happen; whether it did."""
        queue = self.streams.get(stream)
        if not queue or (queue[0].waits_for is not None and not queue[0].waits_for.done):
            return False
        op = queue.popleft()
        op.done = True
        if op.work is not None and self.lost is None:
            self.clock_ms += 1
            op.work()
        if op.records is not None:
            op.records.happened_ms = self.clock_ms
        return True

    def _run_to(self, stream: int, op: Op) -> None:
        while not op.done:
            head = self.streams[stream][0]
            if head.waits_for is not None and not head.waits_for.done:
                self._run_to(self._stream_of(head.waits_for), head.waits_for)
            if self._random is None:
                self._step(stream)
            else:
                self._step(self._random.choice(list(self.streams)))
            self._run_eager()

    def _stream_of(self, op: Op) -> int:
        return next(stream for stream, queue in self.streams.items() if op in queue)

    def _finish(self, stream: int) -> None:
        while self.lost is None and self.streams[stream]:
            self._run_to(stream, self.streams[stream][-1])


def install(fake: FakeCuda, monkeypatch: Any) -> None:
    """Let edgebs.nvidia.cuda use `fake` instead of cuda-bindings."""
    for module in ("calls", "devices"):
        monkeypatch.setattr(f"edgebs.nvidia.cuda.{module}.runtime", lambda: fake)
