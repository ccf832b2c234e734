"""The machine and the versions behind a figure: no figure is worth keeping without them."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from edgebs.threads import usable_cores

PACKAGES = (
    "edgebs",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "openvino",
    "onnx",
    "onnxsim",
    "nncf",
    "onnxruntime",
    "torch",
    "tensorrt",
    "tensorrt_rtx",
)


def machine_facts() -> dict[str, object]:
    """CPU, cores usable by this process, memory, operating system, load, and package versions."""
    return {
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "memory_gb": round(_memory_bytes() / 1e9, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
        "versions": installed_versions(),
    }


def installed_versions() -> dict[str, str]:
    """Versions of the packages that decide speed and results, where they are installed."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        pairs = (line.partition(":") for line in lines)
        fields = {key.strip(): value.strip() for key, _, value in pairs}
        for key in ("model name", "Model", "Hardware"):
            if fields.get(key):
                family = f" (family {fields['cpu family']})" if "cpu family" in fields else ""
                return fields[key] + family
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
