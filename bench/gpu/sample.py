"""What a GPU does while something is measured on it: samples, their summary, and whether it was throttled."""

from __future__ import annotations

import logging
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from edgebs.errors import BackendError, EdgebsError, MissingDependency

log = logging.getLogger(__name__)
INTERVAL_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One sample of the GPU; None for figures that this board or driver does not report."""

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
    """The GPU and the source of its figures, for reports."""
    settings: dict[str, Any]
    """What holds during the whole measurement: driver, power limit or mode."""

    def read(self) -> GpuSample:
        """One sample. Raises EdgebsError where the GPU is gone."""

    def close(self) -> None:
        """Free what is held. May be called twice."""


def summary(samples: Sequence[GpuSample]) -> dict[str, Any]:
    """Median, largest and smallest of every reported figure; each reason of throttling with its share."""
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
            except Exception as error:  # the measurement itself goes on, and records the failure
                expected = isinstance(error, EdgebsError)
                self._failure = str(error) if expected else f"{type(error).__name__}: {error}"
                return
            if self._stop.wait(self._interval_s):
                return

    def __enter__(self) -> GpuMonitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take a last sample and stop."""
        self._stop.set()
        self._thread.join()
        self._reader.close()


THROTTLING = {
    0x04: "power limit",
    0x08: "hardware slowdown",
    0x20: "temperature, by the driver",
    0x40: "temperature, by the hardware",
    0x80: "power brake",
}
"""Bits of NVML's clock event reasons that hold a busy GPU back. Idle and set clocks are none."""


class NvmlReader:
    """Utilisation, memory, clocks, temperature, power and clock event reasons of one GPU."""

    what: str
    settings: dict[str, Any]

    def __init__(self, index: int = 0, pci_bus_id: str = "", module: Any = None) -> None:
        """index: NVML's own, which ignores CUDA_VISIBLE_DEVICES. pci_bus_id: instead of it.

        module: stands in for pynvml in tests. Raises MissingDependency, or BackendError without a GPU.
        """
        self._nvml = module if module is not None else _pynvml()
        self._is_open = False
        try:
            self._nvml.nvmlInit()
            self._is_open = True
            self._gpu = (
                self._nvml.nvmlDeviceGetHandleByPciBusId(pci_bus_id)
                if pci_bus_id
                else self._nvml.nvmlDeviceGetHandleByIndex(index)
            )
            name = _text(self._nvml.nvmlDeviceGetName(self._gpu))
            driver = _text(self._nvml.nvmlSystemGetDriverVersion())
        except self._nvml.NVMLError as error:
            self.close()
            raise BackendError(
                f"NVML: no GPU {pci_bus_id or index}: {error}. Check with: nvidia-smi"
            ) from error
        self.what = f"{name} by NVML"
        self.settings = {
            "driver": driver,
            "power_limit_w": self._or_none(
                lambda: self._nvml.nvmlDeviceGetEnforcedPowerLimit(self._gpu) / 1e3
            ),
            "highest_clock_mhz": self._or_none(
                lambda: float(self._nvml.nvmlDeviceGetMaxClockInfo(self._gpu, self._nvml.NVML_CLOCK_SM))
            ),
        }

    def read(self) -> GpuSample:
        """One sample; figures that a card does not report (power of some laptops) are None."""
        nvml, gpu = self._nvml, self._gpu
        return GpuSample(
            utilisation_percent=self._or_none(lambda: float(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)),
            memory_used_mb=self._or_none(lambda: nvml.nvmlDeviceGetMemoryInfo(gpu).used / 1e6),
            clock_mhz=self._or_none(lambda: float(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM))),
            memory_clock_mhz=self._or_none(
                lambda: float(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM))
            ),
            temperature_c=self._or_none(
                lambda: float(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU))
            ),
            power_w=self._or_none(lambda: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3),
            throttled=self._reasons(),
        )

    def close(self) -> None:
        """Let NVML go. May be called twice."""
        if self._is_open:
            self._is_open = False
            self._nvml.nvmlShutdown()

    def _reasons(self) -> tuple[str, ...]:
        # The name changed in driver 535; older modules have only the older one.
        names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
        query = next((getattr(self._nvml, name) for name in names if hasattr(self._nvml, name)), None)
        bits = self._or_none(lambda: query(self._gpu)) if query is not None else None
        return tuple(reason for bit, reason in THROTTLING.items() if bits is not None and int(bits) & bit)

    def _or_none(self, look: Any) -> Any:
        """The result of `look`; None where this card does not report it; BackendError where it is gone."""
        try:
            return look()
        except self._nvml.NVMLError as error:
            if getattr(error, "value", None) == self._nvml.NVML_ERROR_NOT_SUPPORTED:
                return None
            raise BackendError(f"NVML: {error}. Check with: nvidia-smi") from error


def _pynvml() -> Any:
    try:
        import pynvml
    except ImportError as error:
        raise MissingDependency("needs NVML for Python: pip install 'edgebs[nvml]'") from error
    return pynvml


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
