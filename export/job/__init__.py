"""One export: request, files, manifest, parity."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.parity import TaskLevel
from calib.frames import CalibrationSet
from edgebs.errors import ExportError
from edgebs.files import kept_if_filled, scratch_folder
from edgebs.machine.console import Log, ProgressBar
from engines import Target
from engines.build import EngineFacts
from export.feeds import Feed
from export.job.request import ExportRequest
from export.models.build import NetworkOrigin

logger = logging.getLogger(__name__)


CHECK_SAMPLES = 2
"""Samples on which ONNX Runtime must agree with PyTorch after each step."""


CALIBRATION_SAMPLES = 64
"""Samples of the set that calibrate INT8: each costs up to a second at full width."""


SCENE_SAMPLES = 128
"""Rendered scenes that calibrate INT8. With 64 the error of edge is a third larger (decision 10)."""


@dataclass(slots=True)
class Job:
    """What the steps of one export share."""

    request: ExportRequest
    target: Target
    folder: Path
    say: Log
    bar: ProgressBar
    origins: dict[str, NetworkOrigin] = field(default_factory=dict)
    onnx: dict[tuple[str, str], Path] = field(default_factory=dict)
    """By network and precision."""
    engines: dict[tuple[str, str], EngineFacts] = field(default_factory=dict)
    """By the same, until a bundle takes them."""
    feeds: dict[str, list[Feed]] = field(default_factory=dict)
    calibration: CalibrationSet | None = None
    task: TaskLevel | None = None
    """F by PyTorch, once a bundle was judged by it."""


@contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """A folder in `out` for unfinished files, gone at the end, and `out` too if it is new and empty then.

    Raises ExportError.
    """
    try:
        with kept_if_filled(out), scratch_folder(out / "export") as folder:
            yield folder
    except OSError as cause:
        where = cause.filename or out
        raise ExportError(
            f"cannot write into {out}: {where}: {cause.strerror or cause}. No bundle was left half written; "
            "free space or choose a writable --out."
        ) from cause


def spoken_networks(origins: Mapping[str, NetworkOrigin]) -> str:
    """What is exported, in one line."""
    return ", ".join(
        f"{name} {origin.description['network']} ({origin.parameters / 1e6:.1f} M parameters, "
        f"{origin.gflop:.1f} GFLOP{'' if origin.origin['trained'] else ', untrained'})"
        for name, origin in origins.items()
    )


def spoken_size(file: Path) -> str:
    """Of a file, in MB."""
    return f"{file.stat().st_size / 1e6:.1f} MB"
