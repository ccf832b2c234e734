"""training.json: what was run, where, with which options and for how long, so that it can be run again."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from edgebs.errors import SinkError
from edgebs.files import atomic_file
from edgebs.machine.facts import machine_facts
from edgebs.machine.interrupts import StopRequest, ask_first, is_installed
from edgebs.text import json_text

FORMAT = 1


def command_line() -> str:
    """The command that started this process, as it would be typed."""
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    return shlex.join([program, *sys.argv[1:]])


def read_record(file: Path) -> dict[str, Any]:
    """The record of the run so far; empty where there is none or it cannot be read: it decides nothing."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def new_record(settings: Mapping[str, Any], schedule: Mapping[str, Any], device: Any) -> dict[str, Any]:
    """What is known when a process starts to work on a run."""
    return {
        "format": FORMAT,
        "commands": [command_line()],
        "settings": dict(settings),
        "schedule": dict(schedule),
        "device": _device_name(device),
        "torch_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": machine_facts(),
    }


def resumed_record(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a run that goes on: commands of all its processes in order, the rest as it is now."""
    return {**before, **now, "commands": [*before.get("commands", []), *now["commands"]]}


def write_record(record: Mapping[str, Any], file: Path) -> None:
    """Write the record. Raises SinkError."""
    text = json_text(record, allow_nan=False)
    with atomic_file(file, SinkError) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _device_name(device: Any) -> str:
    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else str(device)


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
