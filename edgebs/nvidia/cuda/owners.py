"""Streams, events and memory, released once: by `close`, at the end of `with`, or with the object."""

from __future__ import annotations

import ctypes
import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from edgebs.errors import BackendError, CaptureFailed, DeviceLost, EdgebsError
from edgebs.nvidia.cuda.calls import Calls, Direction
from edgebs.nvidia.cuda.devices import calls, on_device
from edgebs.tensors import Array

log = logging.getLogger(__name__)

T = TypeVar("T", bound="Owned")

# As global as the contexts of CUDA itself: whether one may be destroyed depends on all that lies in it.
_open: weakref.WeakSet[Owned] = weakref.WeakSet()


def held() -> int:
    """Streams, events, graphs and buffers that this process still holds."""
    return len(_open)


class Owned:
    """A handle or address with its owner. `close` may be called twice, also after the GPU is gone."""

    def __init__(self, made: Calls, handle: int, release: Callable[[int], None]) -> None:
        self._calls = made
        self._handle = handle
        self._release: Callable[[int], None] | None = release
        _open.add(self)

    @property
    def handle(self) -> int:
        """The address or handle as an integer, as TensorRT takes it."""
        if self._release is None:
            raise BackendError(f"CUDA: {type(self).__name__} is closed")
        return self._handle

    def close(self) -> None:
        """Give it back. May be called twice. A failure is logged: the context may be gone already."""
        release, self._release = self._release, None
        if release is None:
            return
        _open.discard(self)
        try:
            release(self._handle)
        except BackendError as error:
            log.warning("closing a %s failed: %s", type(self).__name__, error)

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        """Release what a forgotten owner held."""
        if getattr(self, "_release", None) is not None:
            self.close()


class Event(Owned):
    """A mark in a stream, for other streams and for the CPU to wait for."""

    def __init__(self, *, timed: bool = False) -> None:
        """Create it on this thread's device. timed: `elapsed_ms` works; costs a little per record."""
        made = calls()
        super().__init__(made, made.create_event(timed=timed), made.destroy_event)

    def synchronize(self) -> None:
        """Wait, without spinning, until the last record of it has happened; at once if there was none."""
        self._calls.synchronize_event(self.handle)

    def elapsed_ms(self, end: Event) -> float:
        """Milliseconds on the device from this mark to `end`; both timed, and both have happened."""
        return self._calls.elapsed_ms(self.handle, end.handle)


class Stream(Owned):
    """A queue of work on the GPU, beside the default stream."""

    def __init__(self) -> None:
        """Create it on this thread's device."""
        made = calls()
        super().__init__(made, made.create_stream(), made.destroy_stream)

    def record(self, event: Event) -> None:
        """Let `event` mark the work queued so far."""
        self._calls.record(event.handle, self.handle)

    def wait(self, event: Event) -> None:
        """Let work queued from now on begin after the last record of `event`; the CPU goes on."""
        self._calls.wait(self.handle, event.handle)

    def synchronize(self) -> None:
        """Wait until everything queued so far is done. Errors of that work are raised here."""
        self._calls.synchronize_stream(self.handle)


class DeviceBuffer(Owned):
    """Memory on the GPU."""

    def __init__(self, nbytes: int) -> None:
        """Allocate `nbytes` on this thread's device."""
        made = calls()
        super().__init__(made, made.allocate(nbytes), made.free)
        self.nbytes = nbytes

    def part(self, start: int, nbytes: int) -> DevicePart:
        """`nbytes` of it from byte `start`. Raises ValueError where they do not lie inside."""
        if start < 0 or start + nbytes > self.nbytes:
            raise ValueError(f"bytes {start} to {start + nbytes} do not lie in {self.nbytes}")
        return DevicePart(self, start, nbytes)


@dataclass(frozen=True, slots=True)
class DevicePart:
    """A piece of a buffer; the buffer owns the memory."""

    buffer: DeviceBuffer
    start: int
    nbytes: int

    @property
    def handle(self) -> int:
        """Its address."""
        return self.buffer.handle + self.start


class PinnedBuffer(Owned):
    """Host memory that the GPU copies from and to without staging; `array` is its view."""

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        """Allocate an array of this shape and dtype. `array` must not be touched after `close`."""
        made = calls()
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = made.allocate_pinned(nbytes)
        super().__init__(made, address, made.free_pinned)
        memory: Any = (ctypes.c_uint8 * nbytes).from_address(address)
        self.array: Array = np.ctypeslib.as_array(memory).view(dtype).reshape(shape)


def copy_to_device(target: DeviceBuffer, source: PinnedBuffer, stream: Stream) -> None:
    """Queue a copy of the whole of `source`; it must not change before the stream gets there."""
    _copy(target, source, source.array.nbytes, Direction.TO_DEVICE, stream)


def copy_to_host(target: PinnedBuffer, source: DeviceBuffer, stream: Stream) -> None:
    """Queue a copy that fills the whole of `target`; its array is valid after `stream.synchronize()`."""
    _copy(target, source, target.array.nbytes, Direction.TO_HOST, stream)


def copy_on_device(
    target: DeviceBuffer | DevicePart, source: DeviceBuffer | DevicePart, stream: Stream
) -> None:
    """Queue a copy of the whole of `source`, which is no longer than `target`."""
    _copy(target, source, source.nbytes, Direction.ON_DEVICE, stream)


def _copy(
    target: Owned | DevicePart, source: Owned | DevicePart, nbytes: int, direction: Direction, stream: Stream
) -> None:
    stream._calls.copy(target.handle, source.handle, nbytes, direction, stream.handle)


class Graph(Owned):
    """Recorded work. The addresses in it are those of the recording. Made by `capture`."""

    def __init__(self, made: Calls, handle: int) -> None:
        super().__init__(made, handle, made.destroy_graph)

    def launch(self, stream: Stream) -> None:
        """Queue all of it."""
        self._calls.launch_graph(self.handle, stream.handle)


def capture(stream: Stream, work: Callable[[], None]) -> Graph:
    """Record what `work` queues on `stream`, without running it.

    Raises CaptureFailed with the reason, from whatever `work` raised; the stream can be used afterwards.
    DeviceLost is raised as it is.
    """
    made = calls()
    made.begin_capture(stream.handle)
    try:
        work()
    except BaseException as error:
        made.abandon_capture(stream.handle)
        if isinstance(error, BackendError) and not isinstance(error, DeviceLost):
            raise CaptureFailed(f"nothing captured: {error}") from error
        raise
    return Graph(made, made.end_capture(stream.handle))


def revive_device(index: int = 0) -> None:
    """Make sure that GPU `index` works, before any other use.

    A broken context is destroyed, but only when nothing of this process lies in it any more. Where there is
    no GPU, or no CUDA, nothing happens: later calls report it. Raises DeviceLost where it stays
    broken.
    """
    try:
        with on_device(index):
            calls().synchronize()
    except DeviceLost as error:
        _reset(index, error)
    except EdgebsError:
        return


def _reset(index: int, lost: DeviceLost) -> None:
    if held():
        raise DeviceLost(
            f"{lost}. {held()} streams and buffers of pipelines that are still open lie on it: close them"
        ) from lost
    calls().reset()
    with on_device(index):
        calls().synchronize()
