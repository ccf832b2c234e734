"""bench/gpu/__init__.py, and what of it `edgebs bench` keeps; over fakes of the card and its tools."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakes.networks.backends import SIZE, fake_manifest

from bench import gpu as gpu_bench
from bench.gpu import open_reader, runs_on_gpu, trtexec_times, watched_gpu
from bench.gpu.sample import GpuSample
from bench.speed import fps
from edgebs.bundle import Bundle
from edgebs.bundle.manifest import Manifest
from edgebs.errors import BackendError
from edgebs.workers import Result
from export.models.reference import cuda_baselines


class Card:
    """A card at its power limit."""

    what, settings = "a fake card", {"driver": "580"}

    def read(self) -> GpuSample:
        return GpuSample(power_w=250.0, throttled=("power limit",))

    def close(self) -> None:
        """Nothing to free."""


def plan_manifest() -> Manifest:
    manifest = fake_manifest()
    facts = replace(manifest.networks["segment"], backend="tensorrt_rtx", file="segment.plan")
    return replace(manifest, networks={"segment": facts})


def no_reader(*_: Any) -> Any:
    raise BackendError("NVML: no GPU 0")


def test_only_plans_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(gpu_bench, "NvmlReader", lambda *which: asked.append(which) or Card())
    facts = SimpleNamespace(pci_bus_id="0000:65:00.0")
    monkeypatch.setattr(gpu_bench.cuda, "device_facts", lambda index: facts if index else no_reader())
    with watched_gpu([fake_manifest()]) as watch:
        assert watch is None
    with watched_gpu([fake_manifest(), plan_manifest()], 1) as watch:
        assert watch is not None
    with watched_gpu([plan_manifest()]) as watch:
        assert watch is not None
    assert asked == [(1, "0000:65:00.0"), (0, "")]
    assert watch.to_json()["power_w"]["max"] == 250.0
    assert "throttled (power limit)" in watch.warnings()[0]


def test_a_card_that_nothing_can_watch_is_measured_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gpu_bench, "NvmlReader", no_reader)
    assert open_reader() is None
    assert "temperature are not recorded: NVML: no GPU 0" in caplog.text


def test_a_jetson_is_asked_by_its_own_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3")
    monkeypatch.setattr(gpu_bench, "JtopReader", no_reader)
    monkeypatch.setattr(gpu_bench, "TegrastatsReader", Card)
    monkeypatch.setattr(gpu_bench, "NvmlReader", no_reader)
    reader = open_reader(tmp_path)
    assert reader is not None
    assert reader.what == "a fake card"


def test_trtexec_is_asked_about_plans_alone_and_its_failure_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fake(plan: Path, module: str, *, device: int) -> dict[str, Any]:
        asked.append((plan.name, module, device))
        raise BackendError("trtexec failed")

    monkeypatch.setattr(gpu_bench, "run_trtexec", fake)
    bundles = [Bundle(tmp_path / "cpu", fake_manifest()), Bundle(tmp_path / "gpu", plan_manifest())]
    assert trtexec_times(bundles, 1) == {"gpu": {"segment": {"failure": "trtexec failed"}}}
    assert asked == [("segment.plan", "tensorrt_rtx", 1)]


def result(**stages_ms: float) -> Result:
    return Result(
        index=0,
        frame=np.zeros((*SIZE, 3), np.uint8),
        mask=np.zeros(SIZE, np.uint8),
        probability=np.zeros(SIZE, np.float32),
        captured_s=None,
        latency_ms=3.0,
        stages_ms={"read": 0.1, "pre": 0.2, "cue": 1.0, "segment": 1.5, "post": 0.2, **stages_ms},
        warming_up=False,
    )


def test_device_time_and_wall_time_are_kept_apart(tmp_path: Path) -> None:
    samples = fps.Samples(fps=[100.0])
    for ms in (0.4, 0.6, 0.5):
        samples.add(result(device_segment=ms, device_upload=0.1), 0.1)
    record = fps._run_record(Bundle(tmp_path / "gpu", plan_manifest()), "sequential", samples, {}, {})
    assert record["device_ms"] == {"segment": 0.5, "upload": 0.1}
    assert record["stages_ms"]["segment"] == 1.5
    assert "device_segment" not in record["stages_ms"]
    on_cpu = fps.Samples(fps=[100.0])
    on_cpu.add(result(), 0.1)
    record = fps._run_record(Bundle(tmp_path / "cpu", fake_manifest()), "sequential", on_cpu, {}, {})
    assert "device_ms" not in record


def test_a_plan_is_held_against_pytorch_on_the_gpu_and_a_cpu_bundle_against_the_cpu() -> None:
    key = fps._baseline_key(fake_manifest())
    on_cpu, on_gpu, graphs = (fps.Samples(fps=[rate]) for rate in (2.0, 50.0, 90.0))
    reference = {
        fps._Baseline(key): on_cpu,
        fps._Baseline(key, "eager on the GPU"): on_gpu,
        fps._Baseline(key, "graphs on the GPU"): graphs,
    }
    assert fps._baseline_of(plan_manifest(), reference) is on_gpu
    assert fps._baseline_of(fake_manifest(), reference) is on_cpu
    assert fps._baseline_of(plan_manifest(), {fps._Baseline(key): on_cpu}) is on_cpu


def test_without_a_gpu_pytorch_gives_no_baseline_on_one() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert cuda_baselines(fake_manifest()) == {}
    assert runs_on_gpu(plan_manifest())
