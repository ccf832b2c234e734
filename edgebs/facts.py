"""The machine and the versions behind a figure: no figure is worth keeping without them."""

from __future__ import annotations

import logging
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from edgebs.machine.cpu import Cpu, this_cpu, usable_cores
from edgebs.machine.extras import EXPORT_MODULES
from edgebs.nvidia import cuda
from edgebs.version import __version__

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
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
        "versions": installed_versions(),
    }


def installed_versions() -> dict[str, str]:
    """Versions of the packages that decide speed and results, where they are installed."""
    return {package: version for package in PACKAGES if (version := _version(package))}


log = logging.getLogger(__name__)
Found = TypeVar("Found")

OPENCV_WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)

MODULES: Mapping[str, str] = {
    "numpy": "numpy",
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "tensorrt_rtx",
    "cuda.bindings": "cuda-bindings",
    **{module: module.replace("_", "-") for module in EXPORT_MODULES},
}
"""Module to the distribution that brings it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One machine and one Python environment."""

    python: str = ""
    """Version and where it is."""
    edgebs: str = __version__
    platform: str = ""
    """Operating system and processor."""
    modules: Mapping[str, str] = field(default_factory=dict)
    """Installed modules among `MODULES`, with their version ("unknown" if it does not say)."""
    opencv_wheels: Mapping[str, str] = field(default_factory=dict)
    """Installed OpenCV distributions, with their version."""
    opencv_file: str = ""
    """The cv2 that Python would import; empty if it is missing."""
    opencv_error: str = ""
    """Why importing it fails; empty if it works."""
    opencv_version: str = ""
    opencv_has_gstreamer: bool = False
    system_opencv: tuple[str, ...] = ()
    """cv2 of the operating system or of JetPack, on disk."""
    sees_system_packages: bool = True
    """False in a virtual environment made without --system-site-packages."""
    l4t: str = ""
    """The Jetson's release, "36.4.3"; empty elsewhere."""
    cpu: Cpu = field(default_factory=Cpu)
    no_gpu: str = ""
    """Why there is no GPU; empty if there is one."""
    gpu: cuda.DeviceFacts | None = None
    """The first GPU."""
    failures: tuple[str, ...] = ()
    """What could not be looked at, and why."""


def probe_environment() -> Environment:
    """The surroundings of this process. Imports cv2 and cuda-bindings, and nothing else that is heavy."""
    failures: list[str] = []

    def safely(look: Callable[[], Found], otherwise: Found) -> Found:
        try:
            return look()
        except Exception as error:  # a doctor must survive every illness
            failures.append(f"{look.__name__.strip('_')}: {type(error).__name__}: {error}")
            return otherwise

    opencv_file = safely(_opencv_file, "")
    build = safely(_opencv_build, _Build("", "", "import failed")) if opencv_file else _Build("", "", "")
    devices = safely(cuda.device_count, cuda.Devices(0, "CUDA could not be asked"))
    return Environment(
        python=f"{platform.python_version()} ({sys.executable})",
        platform=f"{platform.system()} {platform.machine()}",
        modules=safely(_modules, {}),
        opencv_wheels=safely(_opencv_wheels, {}),
        opencv_file=opencv_file,
        opencv_error=build.error,
        opencv_version=build.version,
        opencv_has_gstreamer=bool(re.search(r"GStreamer:\s+YES", build.information)),
        system_opencv=safely(_system_opencv, ()),
        sees_system_packages=safely(_sees_system_packages, True),
        l4t=safely(_l4t, ""),
        cpu=safely(this_cpu, Cpu()),
        no_gpu=devices.reason,
        gpu=safely(_gpu, None) if devices.count else None,
        failures=tuple(failures),
    )


@dataclass(frozen=True, slots=True)
class _Build:
    version: str
    information: str
    error: str


def _modules() -> dict[str, str]:
    return {module: _version(name) or "unknown" for module, name in MODULES.items() if _is_there(module)}


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # the parent package is missing or damaged
        return False


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _opencv_wheels() -> dict[str, str]:
    return {name: version for name in OPENCV_WHEELS if (version := _version(name))}


def _opencv_file() -> str:
    spec = find_spec("cv2")
    return "" if spec is None else str(spec.origin or "")


def _opencv_build() -> _Build:
    try:
        import cv2
    except ImportError as error:  # libGL.so.1 on a headless box, or numpy of another major version
        return _Build("", "", str(error).strip().splitlines()[-1])
    return _Build(str(cv2.__version__), str(cv2.getBuildInformation()), "")


def _system_opencv() -> tuple[str, ...]:
    folders = sorted(Path("/usr/lib").glob("python3*/dist-packages/cv2*"))
    return tuple(str(path) for path in folders if path.is_dir() or path.suffix == ".so")


def _sees_system_packages() -> bool:
    return any(path.startswith("/usr/lib/python3") and path.endswith("dist-packages") for path in sys.path)


def _l4t() -> str:
    release = Path("/etc/nv_tegra_release")
    if not release.is_file():
        return ""
    found = re.search(r"R(\d+).*?REVISION:\s*([\d.]+)", release.read_text(encoding="utf-8", errors="replace"))
    return f"{found[1]}.{found[2]}" if found else "unknown"


def _gpu() -> cuda.DeviceFacts:
    return cuda.device_facts()
