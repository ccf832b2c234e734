"""The builder, its timing cache, its layers and the card's sensors where an NVIDIA GPU is."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from fakes.networks.toy_onnx import conv_net, free_batch

from bench.gpu import open_reader
from edgebs.backends import open_backend
from edgebs.errors import ExportError
from edgebs.nvidia import cuda
from engines import BatchRange, BuildOptions
from engines.build import build_engine
from engines.layers import plan_layers
from engines.memory import build_memory

pytestmark = pytest.mark.gpu


def require_tensorrt() -> None:
    if importlib.util.find_spec("tensorrt") is None:
        pytest.skip("TensorRT is not installed on this GPU machine")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_what_one_build_measured_the_next_one_finds_and_the_plan_names_its_layers(
    precision: str, tmp_path: Path
) -> None:
    require_tensorrt()
    net = conv_net(tmp_path / "net.onnx", precision, channels=64)
    options = BuildOptions(timing_cache=tmp_path / "timing")
    first = build_engine(net, "gpu", tmp_path / "first.plan", options=options)
    (kept,) = (tmp_path / "timing").glob("*.timing")
    assert kept.stat().st_size > 32  # more than its own digest
    measured = kept.stat().st_size
    build_engine(net, "gpu", tmp_path / "second.plan", options=options)
    assert list((tmp_path / "timing").glob("*.timing")) == [kept]
    assert kept.stat().st_size <= measured  # the second build had to measure nothing new
    layers = plan_layers(first.file, first.backend)
    assert layers
    assert {layer.precision for layer in layers} & {"fp32", "fp16", "int8"}


def test_a_plan_takes_a_batch(tmp_path: Path) -> None:
    require_tensorrt()
    net = free_batch(conv_net(tmp_path / "net.onnx", channels=64))
    options = BuildOptions(batch=BatchRange(1, 4, 4), timing_cache=tmp_path / "timing")
    assert build_engine(net, "gpu", tmp_path / "net.plan", options=options).nbytes > 1000


def test_tensorrt_rtx_builds_for_this_card_or_says_why_not(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    net = conv_net(tmp_path / "net.onnx", "fp16", channels=64)
    try:
        facts = build_engine(net, "rtx", tmp_path / "net.plan")
    except ExportError as error:
        pytest.skip(f"{cuda.device_facts().name}: {error}")
    assert facts.plan is not None
    assert facts.plan.compute_capability == cuda.device_facts().compute_capability
    plan, reference = open_backend("tensorrt_rtx", facts.file), open_backend("onnxruntime", net)
    rng = np.random.default_rng(0)
    feed = {
        "frame": rng.integers(0, 256, plan.inputs["frame"].shape, np.uint8),
        "cue": rng.uniform(0, 20, plan.inputs["cue"].shape).astype(np.float32),
    }
    found, expected = plan.infer(feed), reference.infer(feed)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=0.02)
    plan.close()


def test_the_card_says_what_memory_is_free_and_how_warm_it_is() -> None:
    assert build_memory(on_gpu=True).nbytes > 1 << 20
    reader = open_reader()
    assert reader is not None
    sample = reader.read()
    reader.close()
    assert sample.memory_used_mb is not None
    assert sample.temperature_c is None or 0 < sample.temperature_c < 120
