"""A desktop or server GPU looked at through NVML (`nvidia-ml-py`)."""

from __future__ import annotations

from typing import Any

from bench.gpu.sample import GpuSample
from edgebs.errors import BackendError, MissingDependency

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
        """index: NVML's own, which knows nothing of CUDA_VISIBLE_DEVICES. pci_bus_id: instead of it.

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
        """One sample; what a card does not tell (power of some laptops) is None."""
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
        # The name changed in driver 535; older modules know the older one alone.
        names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
        ask = next((getattr(self._nvml, name) for name in names if hasattr(self._nvml, name)), None)
        bits = self._or_none(lambda: ask(self._gpu)) if ask is not None else None
        return tuple(reason for bit, reason in THROTTLING.items() if bits is not None and int(bits) & bit)

    def _or_none(self, look: Any) -> Any:
        """What `look` says; None where this card cannot tell; BackendError where it is gone."""
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
