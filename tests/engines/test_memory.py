"""engines/memory.py: what a build may take."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebs.errors import ExportError
from edgebs.nvidia import cuda
from engines.memory import BUILDER_BYTES, FreeMemory, build_memory, host_memory, workspace_limit

MEMINFO = "MemTotal:        7812345 kB\nMemFree:          412345 kB\nMemAvailable:    3000000 kB\n"


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        file = root / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_what_is_available_counts_and_not_what_is_free(tmp_path: Path) -> None:
    write(tmp_path, proc__meminfo=MEMINFO)
    assert host_memory(tmp_path) == FreeMemory(3_000_000 * 1024, "of this machine")


@pytest.mark.parametrize(
    ("limit", "used"),
    [
        ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ],
)
def test_a_container_may_be_allowed_less(limit: str, used: str, tmp_path: Path) -> None:
    write(tmp_path, proc__meminfo=MEMINFO)
    write(tmp_path, **{limit.replace("/", "__"): "1000000000\n", used.replace("/", "__"): "400000000\n"})
    assert host_memory(tmp_path) == FreeMemory(600_000_000, "of this container")


@pytest.mark.parametrize("limit", ["max", "9223372036854771712"])
def test_a_container_without_a_limit_has_the_machines_memory(limit: str, tmp_path: Path) -> None:
    write(tmp_path, proc__meminfo=MEMINFO)
    write(tmp_path, **{"sys__fs__cgroup__memory.max": limit, "sys__fs__cgroup__memory.current": "1"})
    assert host_memory(tmp_path).where == "of this machine"


def test_on_a_jetson_the_gpu_has_the_cpus_memory(tmp_path: Path) -> None:
    write(tmp_path, proc__meminfo=MEMINFO)
    write(tmp_path, **{"proc__device-tree__model": "NVIDIA Jetson Orin Nano Developer Kit\0"})
    assert build_memory(on_gpu=True, root=tmp_path) == FreeMemory(3_000_000 * 1024, "shared by CPU and GPU")


def test_elsewhere_the_gpu_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, proc__meminfo=MEMINFO)
    monkeypatch.setattr(cuda, "memory_info", lambda: cuda.Memory(5 << 30, 8 << 30))
    assert build_memory(on_gpu=True, root=tmp_path) == FreeMemory(5 << 30, "of the GPU")
    assert build_memory(on_gpu=False, root=tmp_path).where == "of this machine"


def test_half_of_what_the_weights_leave_is_scratch_memory(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(bytes(1_000_000))
    (tmp_path / "net.onnx.data").write_bytes(bytes(9_000_000))
    free = FreeMemory(BUILDER_BYTES + 3 * 10_000_000 + 400_000_000, "of the GPU")
    assert workspace_limit(file, free, None) == 200_000_000
    assert workspace_limit(file, free, 7) == 7


def test_too_little_memory_is_said_with_the_figures_and_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(bytes(1_000_000))
    with pytest.raises(
        ExportError,
        match=r"net\.onnx needs about 1,540 MB \(1,000 MB of them scratch memory\), and 800 MB shared by CPU "
        r"and GPU are free\. Close other programs.*--workspace-mb",
    ):
        workspace_limit(file, FreeMemory(800_000_000, "shared by CPU and GPU"), 1_000_000_000)
