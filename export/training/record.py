"""training.json: what was run, where, with which options and for how long, so that it can be run again."""

from __future__ import annotations

import io
import json
import os
import pickle
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgebs.errors import SinkError, WeightsError
from edgebs.facts import machine_facts
from edgebs.files import atomic_file
from edgebs.machine.interrupts import StopRequest, ask_first, is_installed
from edgebs.text import json_text

FORMAT = 1


def read_record(file: Path) -> dict[str, Any]:
    """The record of the run so far; empty if it is missing or cannot be read: no step depends on it."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def new_record(settings: Mapping[str, Any], schedule: Mapping[str, Any], device: Any) -> dict[str, Any]:
    """The record of a process that starts to work on a run."""
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    return {
        "format": FORMAT,
        "commands": [shlex.join([program, *sys.argv[1:]])],
        "settings": dict(settings),
        "schedule": dict(schedule),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
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


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """The first signal sets the request.

    In the command line its own handlers stay: they end the process where a step takes too long. In another
    program a second signal interrupts at once, and the handlers of before are restored at the end.
    """
    if is_installed():
        yield ask_first()
        return
    stop = StopRequest()

    def request(_number: int, _frame: Any) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    if threading.current_thread() is not threading.main_thread():
        yield stop  # handlers belong to the main thread
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


CHECKPOINT_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything that decides how a run goes on; random numbers follow from seed and step."""

    settings: Mapping[str, Any]
    """JSON values that must be the same to go on."""
    step: int
    """Steps done."""
    elapsed_s: float
    best_score: float | None
    best_step: int
    ema_updates: int
    network: Mapping[str, Any]
    """State of `graph.network`."""
    ema: Mapping[str, Any]
    optimiser: Mapping[str, Any]


def save_checkpoint(checkpoint: Checkpoint, file: Path) -> None:
    """Write `checkpoint`. Raises SinkError where that fails; the file that was there before stays."""
    content: dict[str, Any] = {"format": CHECKPOINT_FORMAT}
    for name in Checkpoint.__dataclass_fields__:
        value = getattr(checkpoint, name)
        content[name] = dict(value) if isinstance(value, Mapping) else value
    content["settings"] = json.dumps(content["settings"], sort_keys=True)
    # Through memory: torch.save reports a full disk as a RuntimeError that names nothing.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic_file(file, SinkError) as temporary, temporary.open("wb") as stream:
        stream.write(buffer.getbuffer())
        stream.flush()
        os.fsync(stream.fileno())


def load_checkpoint(file: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU; nothing in it is executed. Raises WeightsError for a damaged one."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        if content["format"] != CHECKPOINT_FORMAT:
            raise WeightsError(
                f"{file} has checkpoint format {content['format']}, this edgebs reads {CHECKPOINT_FORMAT}: "
                "go on with the edgebs that wrote it."
            )
        values = {name: content[name] for name in Checkpoint.__dataclass_fields__}
        return Checkpoint(**{**values, "settings": json.loads(content["settings"])})
    except FileNotFoundError as error:
        raise WeightsError(f"no checkpoint at {file}: leave --resume out to start anew.") from error
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, EOFError, pickle.PickleError) as error:
        raise WeightsError(
            f"{file} is no checkpoint that can be read ({error}). Start anew in another folder."
        ) from error
