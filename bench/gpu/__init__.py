"""Measurements on NVIDIA GPUs: clocks and power, PyTorch on the GPU, trtexec."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.gpu.sample import GpuMonitor, GpuReader, NvmlReader
from bench.gpu.tegra import JtopReader, TegrastatsReader
from edgebs.bundle import Bundle
from edgebs.bundle.manifest import Manifest
from edgebs.errors import BackendError, EdgebsError
from edgebs.nvidia import cuda
from engines.memory import is_jetson

TOOLS = {"tensorrt": "trtexec", "tensorrt_rtx": "tensorrt_rtx"}
"""By the module that made the plan."""
FOLDERS = ("/usr/src/tensorrt/bin", "/usr/src/tensorrt_rtx/bin")
"""Where NVIDIA's packages leave the tools, outside PATH."""
SECONDS = 3
_MARK = re.compile(r"(\w+(?:\(\d+%\))?) = ([\d.eE+-]+) ms")
_NAMES = {"median": "p50", "percentile(90%)": "p90", "percentile(99%)": "p99", "mean": "mean"}


def find_trtexec(module: str) -> Path | None:
    """The tool for plans of `module`; None where it is not installed."""
    name = TOOLS[module]
    for path in (None, *FOLDERS):
        found = shutil.which(name, path=path)
        if found:
            return Path(found)
    return None


def run_trtexec(plan: Path, module: str, seconds: int = SECONDS, *, device: int = 0) -> dict[str, Any] | None:
    """Device time of one call of a plan in ms, without copies, CUDA graph on; None without the tool.

    Raises BackendError with the tool's last words where it fails.
    """
    tool = find_trtexec(module)
    if tool is None:
        return None
    # TensorRT-RTX's tool captures graphs, spins and leaves copies out by itself.
    flags = [] if module == "tensorrt_rtx" else ["--useCudaGraph", "--useSpinWait", "--noDataTransfers"]
    if device:
        flags.append(f"--device={device}")
    command = [str(tool), f"--loadEngine={plan}", f"--duration={seconds}", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip()[-400:]
        raise BackendError(f"{tool.name} failed on {plan} with exit code {done.returncode}: {reason}")
    return {"tool": tool.name, **times_from_text(done.stdout)}


def times_from_text(text: str) -> dict[str, Any]:
    """GPU compute time in milliseconds and throughput, from trtexec's performance summary.

    Raises BackendError where there is none.
    """
    figures = re.search(r"(?<!Total )GPU Compute Time: (.*)", text)
    throughput = re.search(r"Throughput: ([\d.eE+-]+) qps", text)
    if figures is None or throughput is None:
        raise BackendError(f"trtexec printed no performance summary: {text.strip()[-200:]!r}")
    marks = {_NAMES[name]: float(ms) for name, ms in _MARK.findall(figures[1]) if name in _NAMES}
    return {"gpu_compute_ms": marks, "throughput_qps": float(throughput[1])}


logger = logging.getLogger(__name__)
TIMED = {
    "fps, latency_ms, stages_ms": "wall time by perf_counter, from the source's read to the finished mask",
    "device_ms": "device time between CUDA events; stages overlap, so that their sum is no latency",
    "trtexec": "device time of the engine alone, by NVIDIA's tool, without copies",
}
"""What each figure of a record is."""


def runs_on_gpu(manifest: Manifest) -> bool:
    """Whether a network of the bundle is a TensorRT plan."""
    return any(facts.is_plan for facts in manifest.networks.values())


@contextmanager
def watched_gpu(manifests: Sequence[Manifest], device: int = 0) -> Iterator[GpuMonitor | None]:
    """Watch a GPU while the block measures; None where no plan is measured, or nothing can watch it."""
    reader = open_reader(device=device) if any(map(runs_on_gpu, manifests)) else None
    if reader is None:
        yield None
        return
    with GpuMonitor(reader) as monitor:
        yield monitor


def open_reader(root: Path = Path("/"), device: int = 0) -> GpuReader | None:
    """A reader of GPU number `device` of this machine: jtop or tegrastats on a Jetson, NVML elsewhere.

    Where there is none: None, and a warning with the reason; a figure without clocks is still a figure.
    """
    ways: tuple[Callable[[], GpuReader], ...] = (partial(NvmlReader, device, _bus_id(device)),)
    if is_jetson(root):
        ways = (JtopReader, TegrastatsReader)
    reasons = []
    for way in ways:
        try:
            return way()
        except EdgebsError as error:
            reasons.append(str(error))
    logger.warning("the GPU's clocks, power and temperature are not recorded: %s", "; ".join(reasons))
    return None


def _bus_id(device: int) -> str:
    """The PCI address of CUDA's GPU number `device`; empty where CUDA does not report it."""
    try:
        return cuda.device_facts(device).pci_bus_id
    except EdgebsError:
        return ""


def trtexec_times(bundles: Sequence[Bundle], device: int = 0) -> dict[str, dict[str, Any]]:
    """By bundle and network, trtexec's times of the same plan; without bundles that have no plan."""
    times: dict[str, dict[str, Any]] = {}
    for bundle in bundles:
        for name, facts in bundle.manifest.networks.items():
            if not facts.is_plan:
                continue
            try:
                found = run_trtexec(bundle.file(name), facts.backend, device=device)
            except EdgebsError as error:
                found = {"failure": str(error)}
            if found is not None:
                times.setdefault(bundle.path.name, {})[name] = found
    return times
