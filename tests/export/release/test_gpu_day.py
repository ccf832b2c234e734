"""export/release/gpu_day.py without a GPU: what it asks for, makes of the answers, and refuses."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgebs.bundle.manifest import Manifest
from edgebs.errors import ExportError, ParityError
from edgebs.nvidia import cuda
from edgebs.pipeline import Pipeline
from export.models.reference import torch_modules, torch_pipeline
from export.models.request import ModelRequest
from export.release import gpu_day

TINY = {"tiny": (ModelRequest(model="crossnet", weights="random", width=1), "fp16")}


def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path: Path) -> None:
    if cuda.device_count().count:
        pytest.skip("there is a GPU")
    command = [sys.executable, "-m", "export.release.gpu_day", str(tmp_path / "results")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: no NVIDIA GPU: ")
    assert not (tmp_path / "results").exists()


def test_a_report_of_pytest_becomes_facts_by_outcome(tmp_path: Path) -> None:
    (tmp_path / "test_three.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 1 == 2\n"
        "def test_c(): pytest.skip('no card')\n"
    )
    report = tmp_path / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    subprocess.run([*command, "."], cwd=tmp_path, capture_output=True, check=False)
    facts = gpu_day.report_facts(report)
    assert (facts["passed"], list(facts["failed"])) == (1, ["test_three::test_b"])
    assert facts["skipped"] == {"test_three::test_c": "no card"}


@pytest.mark.parametrize(
    ("installed", "capability", "target"),
    [
        ({"tensorrt", "tensorrt_rtx"}, "9.0", "gpu"),
        ({"tensorrt_rtx"}, "8.9", "sm89"),
        ({"tensorrt_rtx"}, "9.0", "rtx"),
        (set(), "8.9", ""),
    ],
)
def test_the_card_and_what_is_installed_decide_the_target(
    installed: set[str], capability: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in installed else None)
    monkeypatch.setattr(cuda, "device_facts", lambda: SimpleNamespace(compute_capability=capability))
    found, why_none = gpu_day.plan_target()
    assert found == target
    assert bool(why_none) == (not target)


def cpu_ways(manifest: Manifest) -> dict[str, Pipeline]:
    return {way: torch_pipeline(manifest, torch_modules(manifest)) for way in ("eager", "graphs")}


def test_pytorch_is_compared_with_itself_one_frame_at_a_time(
    street_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_day, "cuda_baselines", cpu_ways)
    monkeypatch.setattr("bench.speed.fps.WARM_UP", 1)  # how long does not matter here
    monkeypatch.setattr("bench.speed.fps.TAIL", 1)
    found = gpu_day.figures_of_pytorch(TINY, street_video, 4, 2)["tiny"]
    assert [(run["way"], run["mode"]) for run in found["runs"]] == [
        ("eager", "sequential"), ("eager", "pipelined"), ("graphs", "sequential"), ("graphs", "pipelined"),
    ]  # fmt: skip
    first = found["runs"][0]
    assert first["times_eager_sequential"] == 1.0
    assert len(first["fps_repeats"]) == 2
    fastest = max(run["fps"] for run in found["runs"])
    assert found["best_times_eager_sequential"] == pytest.approx(fastest / first["fps"])

    def out_of_memory(_: Manifest) -> Any:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(gpu_day, "cuda_baselines", out_of_memory)
    assert gpu_day.figures_of_pytorch(TINY, street_video, 4, 2)["tiny"] == {"failure": "CUDA out of memory"}
    monkeypatch.setattr(gpu_day, "cuda_baselines", lambda _: {})
    assert gpu_day.figures_of_pytorch(TINY, street_video, 4, 2)["tiny"] == {
        "failure": "PyTorch has no CUDA device here"
    }


def test_a_plan_that_fails_its_gate_is_measured_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fail(*_: Any) -> Any:
        raise ParityError("flip_rate <= 0.001 failed with 0.002")

    def measure(bundles: list[Path], *_: Any, **__: Any) -> dict[str, Any]:
        asked.extend(bundle.name for bundle in bundles)
        return {"runs": []}

    monkeypatch.setattr(gpu_day, "export_bundles", fail)
    monkeypatch.setattr(gpu_day, "bench_fps", measure)
    found = gpu_day.figures_of_plans(TINY, "rtx", "v.avi", 4, 2)
    assert found == {"tiny": {"runs": [], "parity_failure": "flip_rate <= 0.001 failed with 0.002"}}
    assert asked == ["crossnet-dis-rtx-fp16"]


def test_where_no_plan_builds_pytorch_is_measured_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "require_device", lambda: None)
    card = SimpleNamespace(name="NVIDIA H200", compute_capability="9.0")
    monkeypatch.setattr(cuda, "device_facts", lambda: card)
    monkeypatch.setattr(gpu_day, "plan_target", lambda: ("rtx", ""))
    monkeypatch.setattr(gpu_day, "gpu_tests", lambda: {"passed": 3})

    def refuse(*_: Any) -> Any:
        raise ExportError("TensorRT-RTX has no target for 9.0")

    monkeypatch.setattr(gpu_day, "export_bundles", refuse)
    monkeypatch.setattr(gpu_day, "figures_of_pytorch", lambda models, *_: {name: {} for name in models})
    kept: list[set[str]] = []
    record = gpu_day.gpu_day(frames=5, repeats=1, keep=lambda part: kept.append(set(part)))
    assert [("tests" in part, "plans" in part, "pytorch" in part) for part in kept] == [
        (True, False, False), (True, True, False), (True, True, True),
    ]  # fmt: skip
    assert json.loads(json.dumps(record))["gpu"] == "NVIDIA H200"
    assert record["tests"] == {"passed": 3}
    assert set(record["plans"]["figures"]) == set(record["pytorch"]) == set(gpu_day.MODELS)
    assert record["plans"]["figures"]["edge"]["failure"] == "TensorRT-RTX has no target for 9.0"
