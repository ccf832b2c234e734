"""Calls into libraries that wait for a camera, made so that Ctrl-C ends the wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

POLL_S = 0.1
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
            worker.join(POLL_S)
    except BaseException:
        if cancel is not None:
            cancel()
            worker.join()
        raise
    if errors:
        raise errors[0]
    return values[0]
