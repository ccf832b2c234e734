"""The full state of a run in one file, written whole or not at all."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgebs.errors import SinkError, WeightsError
from edgebs.files import atomic_file

FORMAT = 1


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
    content = {
        "format": FORMAT,
        "settings": json.dumps(dict(checkpoint.settings), sort_keys=True),
        "step": checkpoint.step,
        "elapsed_s": checkpoint.elapsed_s,
        "best_score": checkpoint.best_score,
        "best_step": checkpoint.best_step,
        "ema_updates": checkpoint.ema_updates,
        "network": dict(checkpoint.network),
        "ema": dict(checkpoint.ema),
        "optimiser": dict(checkpoint.optimiser),
    }
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
        if content["format"] != FORMAT:
            raise WeightsError(
                f"{file} has checkpoint format {content['format']}, this edgebs reads {FORMAT}: "
                "go on with the edgebs that wrote it."
            )
        names = [name for name in Checkpoint.__dataclass_fields__ if name != "settings"]
        return Checkpoint(settings=json.loads(content["settings"]), **{name: content[name] for name in names})
    except FileNotFoundError as error:
        raise WeightsError(f"no checkpoint at {file}: leave --resume out to start anew.") from error
    except (
        OSError,
        RuntimeError,
        KeyError,
        TypeError,
        ValueError,
        EOFError,
        pickle.UnpicklingError,
    ) as error:
        raise WeightsError(
            f"{file} is no checkpoint that can be read ({error}). Start anew in another folder."
        ) from error
