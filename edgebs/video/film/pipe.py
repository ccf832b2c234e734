"""Waiting for FFmpeg: pipes whose reads can be ended, and calls that Ctrl-C interrupts."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

POLL_S = 0.1
"""How often a waiting read looks whether it was closed."""


class Pipe:
    """A named pipe, /dev/stdin or the like, opened at once, also before its writer is there."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._closed = threading.Event()
        self._failure: BaseException | None = None
        # A named pipe may still wait for its writer; one without a name (/dev/stdin) has lost it.
        self._may_end = not Path(os.path.realpath(path)).is_fifo()

    @property
    def is_terminal(self) -> bool:
        """Whether a person would have to type the video."""
        return os.isatty(self._descriptor)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; waits for the first one. Empty at the end, and once `close` was called.

        FFmpeg calls this, and drops what is raised here (Ctrl-C): see `raise_failure`.
        """
        try:
            return self._read(size)
        except BaseException as error:
            self._failure = error
            self._closed.set()
            return b""

    def raise_failure(self) -> None:
        """Raise what ended a read, if anything did. To be called when FFmpeg returns."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _read(self, size: int) -> bytes:
        while not self._closed.is_set():
            ready, _, _ = select.select([self._descriptor], [], [], POLL_S)
            if not ready:
                continue
            try:
                content = os.read(self._descriptor, size)
            except BlockingIOError:
                continue
            if content or self._may_end:
                self._may_end = True
                return content
            self._closed.wait(POLL_S)
        return b""

    def close(self) -> None:
        """End a read that waits. The descriptor is closed with the object, when no read uses it."""
        self._closed.set()

    def __del__(self) -> None:
        descriptor = getattr(self, "_descriptor", None)
        if descriptor is not None:
            os.close(descriptor)


Value = TypeVar("Value")


SIGNAL_POLL_S = 0.1
"""How often the waiting thread can take a signal. (A plain join takes none on some systems.)"""


def interruptible(call: Callable[[], Value], cancel: Callable[[], None] | None = None) -> Value:
    """What `call` returns or raises, computed in another thread, because FFmpeg takes no signals.

    An interruption is raised here at once; the other thread is left to end at its time-out. With `cancel`,
    which must end `call`, the interruption is raised when the other thread has ended.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()  # only the main thread is interrupted
    values: list[Value] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            values.append(call())
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=run, name="edgebs-open", daemon=True)
    worker.start()
    try:
        while worker.is_alive():
            worker.join(SIGNAL_POLL_S)
    except BaseException:
        if cancel is not None:
            cancel()
            worker.join()
        raise
    if errors:
        raise errors[0]
    return values[0]
