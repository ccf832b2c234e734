"""How much memory a plan's builder can have, and a refusal before the kernel kills the process.

A Jetson's GPU takes its memory from the CPU's, so there the figure is that of the operating system. Elsewhere
the GPU has its own. A container may be allowed less than the machine has.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgebs.errors import ExportError
from edgebs.nvidia import cuda

COPIES = 3
"""Of the weights, while a plan is built: the parser's, the builder's and the plan's."""
BUILDER_BYTES = 512 << 20
"""Of TensorRT itself: its libraries, CUDA's context and kernels that are tried."""
LEAST_WORKSPACE_BYTES = 128 << 20
"""Scratch memory with which networks of this kind still find fast kernels."""
LOWEST_FREE_BYTES = 192 << 20
"""Below this a build is stopped: soon the kernel would kill the process without a message."""
_NO_LIMIT = 1 << 60
_CGROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Limit and use, of version 2 and of version 1."""


@dataclass(frozen=True, slots=True)
class FreeMemory:
    """Bytes that can still be had, and whose they are."""

    nbytes: int
    where: str
    """ "shared by CPU and GPU" """


def host_memory(root: Path = Path("/")) -> FreeMemory:
    """Available memory by the operating system, or less under a container's limit.

    root: of the file system, for tests. Where nothing is said (no Linux), as good as unlimited.
    """
    available = _meminfo(root / "proc/meminfo")
    groups = root / "sys/fs/cgroup"
    allowed = [_left(groups / limit, groups / used) for limit, used in _CGROUP_FILES]
    limits = [left for left in allowed if left is not None]
    if limits and min(limits) < available:
        return FreeMemory(max(min(limits), 0), "of this container")
    return FreeMemory(available, "of this machine")


def build_memory(*, on_gpu: bool, root: Path = Path("/")) -> FreeMemory:
    """Where a plan's weights, kernels and scratch memory will lie while it is built.

    on_gpu: the build measures kernels on this machine's GPU.
    """
    host = host_memory(root)
    if not on_gpu:
        return host
    if is_jetson(root):
        return FreeMemory(host.nbytes, "shared by CPU and GPU")
    return FreeMemory(cuda.memory_info().free, "of the GPU")


def is_jetson(root: Path = Path("/")) -> bool:
    """Whether this is a Jetson, whose GPU has no memory of its own."""
    model = root / "proc/device-tree/model"
    names = model.read_bytes() if model.is_file() else b""
    return (root / "etc/nv_tegra_release").is_file() or b"Jetson" in names or b"Tegra" in names


def workspace_limit(onnx_file: Path, free: FreeMemory, wanted: int | None) -> int:
    """Bytes of scratch memory for the plan of a network: what is wanted, or half of what is left.

    Raises ExportError, with the figures, where the weights and the builder would not fit beside it.
    """
    needed = COPIES * _nbytes(onnx_file) + BUILDER_BYTES
    least = LEAST_WORKSPACE_BYTES if wanted is None else wanted
    if needed + least > free.nbytes:
        raise ExportError(
            f"building a plan of {onnx_file} needs about {_mb(needed + least)} ({_mb(least)} of them scratch "
            f"memory), and {_mb(free.nbytes)} {free.where} are free. Close other programs, stop the desktop "
            "(sudo systemctl isolate multi-user.target), add swap, or give less with --workspace-mb."
        )
    return wanted if wanted is not None else (free.nbytes - needed) // 2


def _nbytes(onnx_file: Path) -> int:
    outside = onnx_file.with_name(onnx_file.name + ".data")
    return onnx_file.stat().st_size + (outside.stat().st_size if outside.is_file() else 0)


def _meminfo(file: Path) -> int:
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return _NO_LIMIT


def _left(limit: Path, used: Path) -> int | None:
    if not (limit.is_file() and used.is_file()):
        return None
    most = limit.read_text(encoding="ascii").strip()
    # Without a limit, v2 holds "max" and v1 a number near 2**63.
    if not most.isdecimal() or int(most) > _NO_LIMIT:
        return None
    return int(most) - int(used.read_text(encoding="ascii"))


def _mb(nbytes: int) -> str:
    return f"{nbytes / 1e6:,.0f} MB"
