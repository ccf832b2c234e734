"""bench/gpu/tegra.py on lines of real boards, over a fake process, a fake jtop and a fake sysfs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.gpu.sample import GpuSample
from bench.gpu.tegra import JtopReader, TegrastatsReader, Throttling, sample_from_line
from edgebs.errors import BackendError, MissingDependency

ORIN_NANO = (
    "10-09-2025 00:27:03 RAM 5173/7620MB (lfb 1x4MB) SWAP 111/3810MB (cached 0MB) "
    "CPU [45%@1728,30%@1728,42%@1728,28%@1728,46%@1113,39%@1113] EMC_FREQ 61%@2133 GR3D_FREQ 99%@[612] "
    "NVDEC off NVJPG off VIC off OFA off APE 200 cpu@48.781C soc2@48.093C soc0@48.156C gpu@50.718C tj@51.5C "
    "soc1@48.281C VDD_IN 16321mW/11204mW VDD_CPU_GPU_CV 7104mW/4944mW VDD_SOC 3120mW/3659mW"
)
WITHOUT_ROOT = (
    "RAM 779/7620MB (lfb 2x4MB) SWAP 0/3810MB (cached 0MB) CPU [0%@1344,off,0%@1344] GR3D_FREQ 0% "
    "cpu@50.125C gpu@50.562C tj@50.562C VDD_IN 6626mW/6625mW VDD_SOC 2380mW/2380mW"
)
AGX_ORIN = (
    "RAM 25686/62800MB (lfb 1234x4MB) SWAP 0/0MB (cached 0MB) CPU [15%@2265,off] EMC_FREQ 0%@3199 "
    "GR3D_FREQ 87%@[1300,1300] cpu@48.5C CV0@-256C gpu@45C tj@48.5C VDD_GPU_SOC 15000mW/15000mW "
    "VDD_CPU_CV 3500mW/3500mW VIN_SYS_5V0 4100mW/4100mW"
)
XAVIER_NX = (
    "RAM 2673/7765MB (lfb 118x4MB) SWAP 0/3883MB (cached 0MB) CPU [12%@1190,off] EMC_FREQ 7% GR3D_FREQ 33% "
    "AO@35C GPU@33C PMIC@100C CPU@35C thermal@33.9C VDD_IN 3902/3611 VDD_CPU_GPU_CV 1331/1180 VDD_SOC 997/941"
)
THOR = (
    "RAM 9000/125772MB (lfb 2x4MB) CPU [1%@972] GR3D_FREQ @[314,314,314] cpu@40C tj@41C VIN 31000mW/30000mW"
)


@pytest.mark.parametrize(
    ("line", "load", "clocks", "memory", "temperature", "power"),
    [
        (ORIN_NANO, 99, (612, 2133), 5173, 50.718, 16.321),
        (WITHOUT_ROOT, 0, (None, None), 779, 50.562, 6.626),
        (AGX_ORIN, 87, (1300, 3199), 25686, 45, 22.6),
        (XAVIER_NX, 33, (None, None), 2673, 33, 3.902),
        (THOR, None, (314, None), 9000, 41, 31),
    ],
    ids=["Orin Nano", "Orin Nano without root", "AGX Orin", "Xavier NX", "Thor, JetPack 7.0"],
)
def test_lines_of_every_board_are_read(
    line: str,
    load: float | None,
    clocks: tuple[float | None, float | None],
    memory: float,
    temperature: float,
    power: float,
) -> None:
    assert sample_from_line(line) == GpuSample(
        utilisation_percent=load,
        clock_mhz=clocks[0],
        memory_clock_mhz=clocks[1],
        memory_used_mb=memory,
        temperature_c=temperature,
        power_w=power,
    )


def test_a_line_of_something_else_is_an_error_that_shows_it() -> None:
    with pytest.raises(BackendError, match="tegrastats said 'permission denied'"):
        sample_from_line("permission denied\n")


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def board(root: Path) -> Path:
    write(root, "sys/class/hwmon/hwmon3/oc1_event_cnt", "4\n")
    write(root, "sys/class/hwmon/hwmon3/oc3_event_cnt", "0\n")
    for index, (kind, state) in enumerate([("pwm-fan", 3), ("gpu-throttle-alert", 0), ("cpufreq-cpu0", 0)]):
        write(root, f"sys/class/thermal/cooling_device{index}/type", f"{kind}\n")
        write(root, f"sys/class/thermal/cooling_device{index}/cur_state", f"{state}\n")
    write(root, "proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0")
    write(root, "var/lib/nvpmodel/status", "pmode:0002\n")
    return root


def test_a_fan_and_old_events_are_no_throttling(tmp_path: Path) -> None:
    assert Throttling(board(tmp_path)).reasons() == ()


def test_new_over_current_events_and_thermal_slowing_are(tmp_path: Path) -> None:
    throttling = Throttling(board(tmp_path))
    write(tmp_path, "sys/class/hwmon/hwmon3/oc3_event_cnt", "2\n")
    write(tmp_path, "sys/class/thermal/cooling_device1/cur_state", "1\n")
    assert throttling.reasons() == ("over-current oc3", "temperature, gpu-throttle-alert")


def fake_tegrastats(folder: Path, lines: int) -> str:
    script = folder / "tegrastats"
    script.write_text(f"#!/bin/sh\nfor i in $(seq {lines}); do echo '{ORIN_NANO}'; done\n")
    script.chmod(0o755)
    return str(script)


def test_the_process_is_read_line_by_line_and_its_end_is_an_error(tmp_path: Path) -> None:
    reader = TegrastatsReader(root=board(tmp_path), command=fake_tegrastats(tmp_path, 2))
    assert reader.what == "NVIDIA Jetson Orin Nano Developer Kit by tegrastats"
    assert reader.settings == {"power_mode": "0002"}
    assert [reader.read().power_w for _ in range(2)] == [16.321, 16.321]
    with pytest.raises(BackendError, match="tegrastats ended with exit code"):
        reader.read()
    reader.close()
    reader.close()


def test_off_a_jetson_there_is_no_tegrastats_and_no_jtop() -> None:
    with pytest.raises(MissingDependency, match="needs tegrastats-of-a-jetson, which comes with JetPack"):
        TegrastatsReader(command="tegrastats-of-a-jetson")
    with pytest.raises(MissingDependency, match="sudo pip3 install jetson-stats"):
        JtopReader()


class JtopException(Exception):
    """As jtop's."""


def fake_jtop(*, runs: bool = True, ok: bool = True) -> Any:
    class Jtop:
        def __init__(self, interval: float) -> None:
            assert interval == 0.2
            self.stats = {"GPU": 88, "Temp gpu": 51.5, "Power TOT": 9870, "nvp model": "MAXN_SUPER"}
            self.memory = {"RAM": {"used": 3_000_000, "tot": 7_600_000}}

        def start(self) -> None:
            if not runs:
                raise JtopException("The jtop.service is not active")

        def ok(self) -> bool:
            return ok

        def close(self) -> None:
            pass

    return SimpleNamespace(jtop=Jtop, JtopException=JtopException)


def test_jtop_tells_the_same_figures(tmp_path: Path) -> None:
    reader = JtopReader(board(tmp_path), fake_jtop())
    assert reader.read() == GpuSample(
        utilisation_percent=88, memory_used_mb=3000, temperature_c=51.5, power_w=9.87
    )
    assert reader.settings == {"power_mode": "MAXN_SUPER"}
    reader.close()


def test_a_jtop_without_its_service_is_an_error_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"not active\. Start its service: sudo systemctl restart jtop"):
        JtopReader(tmp_path, fake_jtop(runs=False))
    with pytest.raises(BackendError, match="service has gone"):
        JtopReader(tmp_path, fake_jtop(ok=False)).read()
