"""bench/gpu/sample.py, over a fake of pynvml."""

from __future__ import annotations

import inspect
import re
from types import SimpleNamespace
from typing import Any

import pytest

from bench.gpu import sample as gpu_nvml
from bench.gpu.sample import NvmlReader
from edgebs.errors import BackendError


class NVMLError(Exception):
    """As pynvml's: carries a value."""

    def __init__(self, value: int) -> None:
        super().__init__({3: "Not Supported", 15: "GPU is lost", 9: "Driver Not Loaded"}[value])
        self.value = value


class FakeNvml:
    """A card with these clock event reasons; `failing` calls raise."""

    NVMLError, NVML_ERROR_NOT_SUPPORTED = NVMLError, 3
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def __init__(self, reasons: int = 0, **failing: int) -> None:
        self.reasons, self.failing, self.open = reasons, failing, 0
        self.asked: dict[str, tuple[object, ...]] = {}

    def __getattr__(self, name: str) -> Any:
        answers = {
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetHandleByPciBusId": "handle",
            "nvmlDeviceGetName": b"NVIDIA GeForce RTX 2080 Ti",
            "nvmlSystemGetDriverVersion": "580.95",
            "nvmlDeviceGetEnforcedPowerLimit": 250_000,
            "nvmlDeviceGetMaxClockInfo": 2100,
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=97),
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=3_000_000_000),
            "nvmlDeviceGetClockInfo": 1800,
            "nvmlDeviceGetTemperature": 71,
            "nvmlDeviceGetPowerUsage": 243_500,
            "nvmlDeviceGetCurrentClocksThrottleReasons": self.reasons,
        }
        if name not in answers:
            raise AttributeError(name)

        def call(*arguments: object) -> Any:
            self.asked[name] = arguments
            if name in self.failing:
                raise NVMLError(self.failing[name])
            return answers[name]

        return call

    def nvmlInit(self) -> None:  # noqa: N802
        if "nvmlInit" in self.failing:
            raise NVMLError(self.failing["nvmlInit"])
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1


def test_the_card_is_found_where_it_sits_or_else_by_number() -> None:
    nvml = FakeNvml()
    NvmlReader(1, "0000:65:00.0", nvml).close()
    assert nvml.asked["nvmlDeviceGetHandleByPciBusId"] == ("0000:65:00.0",)
    assert "nvmlDeviceGetHandleByIndex" not in nvml.asked
    NvmlReader(1, module=nvml).close()
    assert nvml.asked["nvmlDeviceGetHandleByIndex"] == (1,)


def test_a_sample_has_every_figure_in_its_unit() -> None:
    nvml = FakeNvml()
    reader = NvmlReader(module=nvml)
    sample = reader.read()
    assert (sample.utilisation_percent, sample.memory_used_mb) == (97.0, 3000.0)
    assert (sample.clock_mhz, sample.temperature_c, sample.power_w) == (1800.0, 71.0, 243.5)
    assert sample.throttled == ()
    assert reader.what == "NVIDIA GeForce RTX 2080 Ti by NVML"
    assert reader.settings == {"driver": "580.95", "power_limit_w": 250.0, "highest_clock_mhz": 2100.0}
    reader.close()
    reader.close()
    assert nvml.open == 0


@pytest.mark.parametrize(
    ("bits", "reasons"),
    [
        (0x01, ()),  # idle
        (0x02, ()),  # clocks set by someone
        (0x04, ("power limit",)),
        (0x20 | 0x40, ("temperature, by the driver", "temperature, by the hardware")),
    ],
)
def test_only_what_holds_a_busy_card_back_is_throttling(bits: int, reasons: tuple[str, ...]) -> None:
    assert NvmlReader(module=FakeNvml(bits)).read().throttled == reasons


def test_what_a_card_does_not_tell_is_unknown() -> None:
    reader = NvmlReader(module=FakeNvml(nvmlDeviceGetPowerUsage=3, nvmlDeviceGetEnforcedPowerLimit=3))
    assert reader.read().power_w is None
    assert reader.read().temperature_c == 71.0
    assert reader.settings["power_limit_w"] is None


def test_a_lost_card_and_an_absent_driver_are_errors_with_the_next_step() -> None:
    reader = NvmlReader(module=FakeNvml(nvmlDeviceGetUtilizationRates=15))
    with pytest.raises(BackendError, match=r"NVML: GPU is lost\. Check with: nvidia-smi"):
        reader.read()
    with pytest.raises(BackendError, match=r"NVML: no GPU 0: Driver Not Loaded"):
        NvmlReader(module=FakeNvml(nvmlInit=9))


def test_every_name_used_here_exists_in_the_real_module() -> None:
    pynvml = pytest.importorskip("pynvml")
    used = set(re.findall(r"\b(?:nvml[A-Z]\w+|NVML_\w+|NVMLError)\b", inspect.getsource(gpu_nvml)))
    assert len(used) > 15
    assert not [name for name in used if not hasattr(pynvml, name)]
    for bit, name in {0x04: "SwPowerCap", 0x20: "SwThermalSlowdown", 0x80: "HwPowerBrakeSlowdown"}.items():
        assert getattr(pynvml, f"nvmlClocksThrottleReason{name}") == bit


def test_without_a_driver_the_real_module_gives_our_error() -> None:
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        with pytest.raises(BackendError, match="no GPU 0"):
            NvmlReader()
    else:
        assert NvmlReader().read().temperature_c
