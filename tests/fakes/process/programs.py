"""Programs that tests run in processes of their own, and the signals that they send there."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def signals_that_reach_children() -> Iterator[None]:
    """Children of this process get SIGINT and SIGHUP, also where it was started with these ignored.

    A shell that starts tests in its background has them ignore SIGINT, nohup SIGHUP: children inherit that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    # Handlers are not inherited. That of SIGHUP does nothing: tests under nohup go on.
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: lambda *_: None}
    for number in before:
        if before[number] is signal.SIG_IGN:
            signal.signal(number, handlers[number])
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is signal.SIG_IGN:
                signal.signal(number, handler)


@contextmanager
def program(code: str, *arguments: object, says: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that runs Python `code`, after it has said the line `says`; killed at the end."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            if says:
                assert process.stdout is not None
                assert process.stdout.readline() == f"{says}\n"
            yield process
        finally:
            process.kill()
