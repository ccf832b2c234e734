"""Ctrl-C and SIGTERM as a request to stop after the step in hand, not in the middle of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class StopRequest:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        """Nobody did yet."""
        self.asked = False

    def __call__(self) -> bool:
        """Whether somebody did."""
        return self.asked


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """The first signal sets the request, a second one interrupts at once; handlers are put back after."""
    stop = StopRequest()

    def ask(_number: int, _frame: Any) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    if threading.current_thread() is not threading.main_thread():
        yield stop  # handlers belong to the main thread
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
