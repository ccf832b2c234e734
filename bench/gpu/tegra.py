"""A Jetson looked at through `tegrastats`, which every JetPack has, or jtop where that is installed.

NVML reports a Jetson's integrated GPU in part or not at all. Reasons for lower clocks are in sysfs:
over-current events of the power monitor, and cooling devices that are at work.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from bench.gpu.sample import GpuSample
from edgebs.errors import BackendError, MissingDependency

_BUSY = re.compile(r"GR3D_FREQ (?:(\d+)%)?(?:@\[?(\d+))?")
_MEMORY = re.compile(r"RAM (\d+)/\d+MB")
_MEMORY_CLOCK = re.compile(r"EMC_FREQ \d+%@(\d+)")
_TEMPERATURE = re.compile(r"\b(\w+)@(-?\d+(?:\.\d+)?)C\b")
_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]*) (\d+)(?:mW)?/\d+(?:mW)?")
_WHOLE_MODULE = ("VDD_IN", "POM_5V_IN", "VIN")
"""Rails that measure the module or its input."""
_PARTS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
"""Rails of AGX Orin, which has no such one: their sum is the module's."""
_SLOWING = ("throttle", "devfreq", "cpufreq", ".gpu")
"""In the types of cooling devices that cool by slowing down (not fans)."""


def sample_from_line(line: str, throttled: tuple[str, ...] = ()) -> GpuSample:
    """The figures in a line of tegrastats: Orin, Thor and Xavier boards, with root's clocks or without.

    Raises BackendError for another kind of line.
    """
    memory, busy = _MEMORY.search(line), _BUSY.search(line)
    if memory is None or busy is None:
        raise BackendError(f"tegrastats said {line.strip()[:80]!r}, which this edgebs cannot read")
    memory_clock = _MEMORY_CLOCK.search(line)
    return GpuSample(
        # JetPack 7.0 on Thor prints the clocks alone: unknown, not idle.
        utilisation_percent=None if busy[1] is None else float(busy[1]),
        clock_mhz=None if busy[2] is None else float(busy[2]),
        memory_used_mb=float(memory[1]),
        memory_clock_mhz=None if memory_clock is None else float(memory_clock[1]),
        temperature_c=_gpu_temperature(line),
        power_w=_power(line),
        throttled=throttled,
    )


def _gpu_temperature(line: str) -> float | None:
    """Of the GPU, or of the hottest junction."""
    found = {name.lower(): float(value) for name, value in _TEMPERATURE.findall(line)}
    # -256: a sensor of a part that is switched off.
    return next((found[name] for name in ("gpu", "tj") if found.get(name, -256) > -100), None)


def _power(line: str) -> float | None:
    rails = {name: int(milliwatts) for name, milliwatts in _RAIL.findall(line)}
    for name in _WHOLE_MODULE:
        if name in rails:
            return rails[name] / 1e3
    parts = [rails[name] for name in _PARTS if name in rails]
    return sum(parts) / 1e3 if parts else None


class Throttling:
    """What holds a Jetson's clocks down, by its over-current counters and cooling devices."""

    def __init__(self, root: Path = Path("/")) -> None:
        """root: of the file system, for tests. Counters count from now."""
        self._root = root
        self._before = self._events()

    def reasons(self) -> tuple[str, ...]:
        """Why clocks are or were held down since this was made."""
        now = self._events()
        events = [name for name, count in now.items() if count > self._before.get(name, 0)]
        return tuple(f"over-current {name}" for name in sorted(events)) + self._cooling()

    def _events(self) -> dict[str, int]:
        files = self._root.glob("sys/class/hwmon/hwmon*/oc*_event_cnt")
        return {file.name.removesuffix("_event_cnt"): _number(file) for file in files}

    def _cooling(self) -> tuple[str, ...]:
        active = []
        for folder in sorted(self._root.glob("sys/class/thermal/cooling_device*")):
            kind = _line(folder / "type")
            if any(word in kind for word in _SLOWING) and _number(folder / "cur_state") > 0:
                active.append(f"temperature, {kind}")
        return tuple(active)


class TegrastatsReader:
    """Reads the lines of a `tegrastats` process."""

    what: str
    settings: dict[str, Any]

    def __init__(self, interval_ms: int = 200, root: Path = Path("/"), command: str = "tegrastats") -> None:
        """Start tegrastats. Raises MissingDependency if it is missing: this is no Jetson."""
        found = shutil.which(command)
        if found is None:
            raise MissingDependency(f"needs {command}, which comes with JetPack: this is no Jetson")
        self._throttling = Throttling(root)
        self.what = f"{_model(root)} by tegrastats"
        self.settings = {"power_mode": _line(root / "var/lib/nvpmodel/status").rpartition(":")[2]}
        self._process = subprocess.Popen(
            [found, "--interval", str(interval_ms)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def read(self) -> GpuSample:
        """The next line: waits for it. Raises BackendError where tegrastats has ended."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise BackendError(f"tegrastats ended with exit code {self._process.poll()}")
        return sample_from_line(line, self._throttling.reasons())

    def close(self) -> None:
        """End the process. May be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


class JtopReader:
    """Reads from the service of jetson-stats, which supports power rails and modes of every board."""

    what: str
    settings: dict[str, Any]

    def __init__(self, root: Path = Path("/"), module: Any = None) -> None:
        """module: stands in for jtop in tests. Raises MissingDependency; BackendError without its service."""
        jtop = module if module is not None else _jtop()
        self._throttling = Throttling(root)
        self._jtop = jtop.jtop(interval=0.2)
        try:
            self._jtop.start()
        except jtop.JtopException as error:
            raise BackendError(f"jtop: {error}. Start its service: sudo systemctl restart jtop") from error
        self.what = f"{_model(root)} by jtop"
        self.settings = {"power_mode": str(self._jtop.stats.get("nvp model", ""))}

    def read(self) -> GpuSample:
        """The newest values. Raises BackendError where the service has gone."""
        if not self._jtop.ok():
            raise BackendError("jtop's service has gone. Start it again: sudo systemctl restart jtop")
        stats = self._jtop.stats
        return GpuSample(
            utilisation_percent=_float(stats.get("GPU", stats.get("GPU1"))),
            memory_used_mb=float(self._jtop.memory["RAM"]["used"]) / 1e3,  # kB
            temperature_c=_float(stats.get("Temp gpu", stats.get("Temp GPU"))),
            power_w=None if (power := _float(stats.get("Power TOT"))) is None else power / 1e3,
            throttled=self._throttling.reasons(),
        )

    def close(self) -> None:
        """Leave the service. May be called twice."""
        self._jtop.close()


def _jtop() -> Any:
    try:
        import jtop
    except ImportError as error:
        raise MissingDependency("needs jtop: sudo pip3 install jetson-stats") from error
    return jtop


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _model(root: Path) -> str:
    return _line(root / "proc/device-tree/model").rstrip("\0") or "Jetson"


def _line(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else ""


def _number(file: Path) -> int:
    text = _line(file)
    return int(text) if text.isdigit() else 0
