"""The machine and the versions behind a figure: no figure is worth keeping without them."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from edgebs.machine.cores import usable_cores
from edgebs.machine.cpu import this_cpu

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
    """CPU with its instruction sets, usable cores, memory, operating system, load, and package versions.

    instruction_sets, isa_limit and int8 are those of `edgebs.machine.cpu.Cpu`: what OpenVINO uses here.
    """
    cpu = this_cpu()
    return {
        "cpu": cpu.name,
        "instruction_sets": list(cpu.features),
        "isa_limit": cpu.limit or None,
        "int8": cpu.int8.value,
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


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
