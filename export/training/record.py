"""training.json: what was run, where, with which options and for how long, so that it can be run again."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edgebs.errors import SinkError
from edgebs.files.atomic import atomic_file
from edgebs.machine.facts import machine_facts
from edgebs.text.printable import json_text

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
