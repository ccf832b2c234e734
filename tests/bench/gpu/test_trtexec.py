"""bench/gpu/__init__.py on what NVIDIA's tools print."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import gpu as gpu_trtexec
from bench.gpu import find_trtexec, run_trtexec, times_from_text
from edgebs.errors import BackendError

PRINTED = """\
[09/02/2024-17:47:04] [I] === Performance summary ===
[09/02/2024-17:47:04] [I] Throughput: 1574.34 qps
[09/02/2024-17:47:04] [I] Latency: min = 0.94249 ms, max = 1.51343 ms, mean = 0.949318 ms, \
median = 0.948975 ms
[09/02/2024-17:47:04] [I] Enqueue Time: min = 0.539093 ms, max = 1.61792 ms, mean = 0.582978 ms
[09/02/2024-17:47:04] [I] GPU Compute Time: min = 0.626678 ms, max = 1.15527 ms, mean = 0.632278 ms, \
median = 0.631836 ms, percentile(90%) = 0.633789 ms, percentile(95%) = 0.633911 ms, \
percentile(99%) = 0.634888 ms
[09/02/2024-17:47:04] [I] D2H Latency: min = 0.112061 ms, max = 0.156982 ms, mean = 0.114173 ms
[09/02/2024-17:47:04] [I] Total GPU Compute Time: 2.98815 s
[09/02/2024-17:47:04] [W] * GPU compute time is unstable, with coefficient of variance = 1.22015%.
"""
OF_8_4 = """\
[08/11/2022-06:55:33] [I] Throughput: 2.54521e+06 qps
[08/11/2022-06:55:33] [I] GPU Compute Time: min = 4.23773 ms, max = 5.25439 ms, mean = 4.26986 ms, \
median = 4.25195 ms, percentile(99%) = 5.24138 ms
"""


def test_device_time_is_that_of_the_engine_without_copies() -> None:
    assert times_from_text(PRINTED) == {
        "gpu_compute_ms": {"mean": 0.632278, "p50": 0.631836, "p90": 0.633789, "p99": 0.634888},
        "throughput_qps": 1574.34,
    }


def test_older_tools_without_a_90th_percentile_are_read() -> None:
    found = times_from_text(OF_8_4)
    assert found["gpu_compute_ms"] == {"mean": 4.26986, "p50": 4.25195, "p99": 5.24138}
    assert found["throughput_qps"] == 2.54521e6


def test_a_text_without_a_summary_is_an_error() -> None:
    with pytest.raises(BackendError, match="printed no performance summary: '&&&& FAILED"):
        times_from_text("&&&& FAILED TensorRT.trtexec")


def tool(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("module", "name", "graph"), [("tensorrt", "trtexec", 1), ("tensorrt_rtx", "tensorrt_rtx", 0)]
)
def test_the_tool_of_the_plans_own_module_is_run(
    module: str, name: str, graph: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "printed").write_text(PRINTED)
    tool(tmp_path, name, f'echo "$@" > {tmp_path}/asked; cat {tmp_path}/printed')
    monkeypatch.setattr(gpu_trtexec, "FOLDERS", (str(tmp_path),))
    found = run_trtexec(Path("segment.plan"), module)
    assert found is not None
    assert (found["tool"], found["gpu_compute_ms"]["p50"]) == (name, 0.631836)
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("--loadEngine=segment.plan --duration=3")
    assert asked.count("--useCudaGraph") == graph
    assert "--device" not in asked
    run_trtexec(Path("segment.plan"), module, device=1)
    assert "--device=1" in (tmp_path / "asked").read_text().split()


def test_a_tool_that_fails_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(tmp_path, "trtexec", "echo 'magicTag is wrong' >&2; exit 1")
    monkeypatch.setattr(gpu_trtexec, "FOLDERS", (str(tmp_path),))
    with pytest.raises(BackendError, match=r"trtexec failed on segment\.plan with exit code 1: magicTag"):
        run_trtexec(Path("segment.plan"), "tensorrt")


def test_where_it_is_not_installed_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(gpu_trtexec, "FOLDERS", ())
    assert find_trtexec("tensorrt") is None
    assert run_trtexec(Path("segment.plan"), "tensorrt") is None
