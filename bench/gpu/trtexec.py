"""NVIDIA's own tool on the same plan: what the engine alone takes on the device, to hold ours against."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from edgebs.errors import BackendError

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
        said = (done.stderr or done.stdout).strip()[-400:]
        raise BackendError(f"{tool.name} failed on {plan} with exit code {done.returncode}: {said}")
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
