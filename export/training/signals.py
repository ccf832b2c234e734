"""Ctrl-C and SIGTERM as a request to stop after the step in hand, not in the middle of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgebs.machine.interrupts import StopRequest, ask_first, is_installed


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """The first signal sets the request; what a second one does is up to who began the training.

    Nothing in the command line, which ends the process where a step takes too long.
    In a program of your own it interrupts at once, and the handlers are put back after.
    """
    if is_installed():
        yield ask_first()
        return
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
