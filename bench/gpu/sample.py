"""What a GPU does while something is measured on it: samples, their summary, and whether it was throttled."""

from __future__ import annotations

import logging
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any, Protocol

from edgebs.errors import EdgebsError

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One look at the GPU; None for what this board or driver does not tell."""

    utilisation_percent: float | None = None
    memory_used_mb: float | None = None
    """On a Jetson that of CPU and GPU together."""
    clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    """Of the card, or of a Jetson's whole module."""
    throttled: tuple[str, ...] = ()
    """Why the clocks are held down; empty where they are not."""


FIGURES = tuple(field.name for field in fields(GpuSample) if field.name != "throttled")


class GpuReader(Protocol):
    """Looks at one GPU."""

    what: str
    """The GPU and what tells of it, for reports."""
    settings: dict[str, Any]
    """What holds during the whole measurement: driver, power limit or mode."""

    def read(self) -> GpuSample:
        """One sample. Raises EdgebsError where the GPU is gone."""

    def close(self) -> None:
        """Free what is held. May be called twice."""


def summary(samples: Sequence[GpuSample]) -> dict[str, Any]:
    """Median and largest of every figure that was told, and each reason of throttling with its share."""
    figures: dict[str, Any] = {}
    for name in FIGURES:
        values = [value for sample in samples if (value := getattr(sample, name)) is not None]
        if values:
            figures[name] = {"p50": statistics.median(values), "max": max(values), "min": min(values)}
    reasons = sorted({reason for sample in samples for reason in sample.throttled})
    shares = {
        reason: sum(reason in sample.throttled for sample in samples) / len(samples) for reason in reasons
    }
    return {"samples": len(samples), **figures, "throttled": shares}


def throttling_warnings(what: str, seen: dict[str, Any]) -> list[str]:
    """One line a reason, for people."""
    return [
        f"{what} was throttled ({reason}) in {100 * share:.0f} % of the samples: the figures are those of a "
        "held-back GPU. Cool it, raise its power mode or limit, and measure again"
        for reason, share in seen["throttled"].items()
    ]


class GpuMonitor:
    """Samples a GPU in a thread of its own, from entering the block to leaving it."""

    def __init__(self, reader: GpuReader, interval_seconds: float = INTERVAL_SECONDS) -> None:
        """reader: closed with the block."""
        self._reader, self._interval_s = reader, interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="gpu-monitor", daemon=True)
        self._samples: list[GpuSample] = []
        self._failure = ""

    def to_json(self) -> dict[str, Any]:
        """What was seen so far."""
        failure = {"failure": self._failure} if self._failure else {}
        return {
            "what": self._reader.what,
            "settings": self._reader.settings,
            **summary(list(self._samples)),
            **failure,
        }

    def warnings(self) -> list[str]:
        """What makes the figures doubtful."""
        lines = throttling_warnings(self._reader.what, summary(list(self._samples)))
        return [*lines, f"{self._reader.what}: {self._failure}"] if self._failure else lines

    def _sample(self) -> None:
        while True:
            try:
                self._samples.append(self._reader.read())
            except Exception as error:  # the measurement itself goes on, and says what it lacks
                expected = isinstance(error, EdgebsError)
                self._failure = str(error) if expected else f"{type(error).__name__}: {error}"
                return
            if self._stop.wait(self._interval_s):
                return

    def __enter__(self) -> GpuMonitor:
        """Start sampling."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take a last sample and stop."""
        self._stop.set()
        self._thread.join()
        self._reader.close()
