"""engines/build.py: ONNX files into engines; plans are really built by tensorrt_rtx, without a GPU."""

from __future__ import annotations

import gc
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes.networks.toy_onnx import (
    conv_net,
    free_batch,
    grid_sample_net,
    int32_bias_net,
    matmul_net,
    uint8_transpose_net,
)

from edgebs.backends import open_backend
from edgebs.bundle.plan import PlanFacts, platform_name
from edgebs.errors import BackendError, ExportError, MissingDependency
from edgebs.nvidia import cuda
from engines import BatchRange, BuildOptions, Target, plan_builder, plan_config
from engines.build import build_engine
from engines.memory import FreeMemory
from engines.plan_config import Steps

SMS = ("sm75", "sm86", "sm89", "sm120")
PRECISIONS = ("fp32", "fp16", "int8")


@pytest.mark.parametrize("target", ["cpu", "onnx"])
def test_on_the_cpu_the_engine_is_the_onnx_file(target: str, tmp_path: Path) -> None:
    source = conv_net(tmp_path / "segment.onnx")
    facts = build_engine(source, target, tmp_path / "bundle" / "engine.onnx")
    assert facts.file.read_bytes() == source.read_bytes()
    assert (facts.plan, facts.layers, facts.nbytes) == (None, 0, source.stat().st_size)
    assert open_backend(facts.backend, facts.file).outputs["probability"].shape == (1, 32, 32)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("target", SMS)
@pytest.mark.parametrize("net", [conv_net, grid_sample_net])
def test_plans_of_every_precision_build_for_every_gpu_without_one(
    net: type, target: str, precision: str, tmp_path: Path
) -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    facts = build_engine(net(tmp_path / "net.onnx", precision), target, tmp_path / "net.plan")
    assert facts.nbytes == (tmp_path / "net.plan").stat().st_size > 1000
    assert facts.layers > 1
    assert facts.plan == PlanFacts(
        module="tensorrt_rtx",
        tensorrt=rtx.__version__,
        compute_capability={"sm75": "7.5", "sm86": "8.6", "sm89": "8.9", "sm120": "12.0"}[target],
        platform=platform_name(),
    )
    assert PlanFacts.from_json(json.loads(json.dumps(facts.to_json()))["build"]) == facts.plan


def test_precision_is_what_the_file_says(tmp_path: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    types = {}
    for precision in PRECISIONS:
        builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
        network = builder.create_network(plan_builder.network_flags(trt))
        parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
        assert parser.parse_from_file(str(conv_net(tmp_path / "net.onnx", precision, channels=64)))
        layers = [network.get_layer(index) for index in range(network.num_layers)]
        types[precision] = {layer.get_output_type(0).name for layer in layers}
        assert network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    assert "HALF" in types["fp16"]
    assert not {"HALF", "INT8"} & types["fp32"]
    assert "INT8" in types["int8"]


def test_a_float32_matrix_product_is_refused_on_turing_with_reason_and_repair(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    net = matmul_net(tmp_path / "net.onnx")
    with pytest.raises(
        ExportError, match=r"for sm75: .*'/product'.*FP32 GEMM is not supported.*fp16 or int8"
    ):
        build_engine(net, "sm75", tmp_path / "net.plan")
    assert not list(tmp_path.glob("*net*.plan"))
    assert build_engine(net, "sm86", tmp_path / "net.plan").nbytes > 0


def test_the_parsers_error_names_the_node(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    with pytest.raises(ExportError, match=r"cannot read .*net\.onnx: node '/bias' \(DequantizeLinear\): "):
        build_engine(int32_bias_net(tmp_path / "net.onnx"), "sm75", tmp_path / "net.plan")


def test_frames_that_are_not_cast_first_are_refused_with_the_repair(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    net = uint8_transpose_net(tmp_path / "net.onnx")
    with pytest.raises(
        ExportError, match=r"node '/planes' \(Transpose\): .*type UInt8.*cast frames to float"
    ) as e:
        build_engine(net, "sm75", tmp_path / "net.plan")
    assert "\n" not in str(e.value)
    assert "CUDA driver" not in str(e.value)


def test_a_grid_sample_that_is_not_linear_is_refused_after_parsing(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    net = grid_sample_net(tmp_path / "net.onnx", mode="nearest")
    with pytest.raises(ExportError, match=r"GridSample '/warped' as NEAREST, not LINEAR.*opset 16 to 19"):
        build_engine(net, "sm75", tmp_path / "net.plan")


def test_damaged_and_absent_files_are_errors_and_leave_nothing(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    net = conv_net(tmp_path / "net.onnx")
    whole = net.read_bytes()
    for content in (b"", b"hello world" * 50, whole[: len(whole) // 2]):
        net.write_bytes(content)
        with pytest.raises(ExportError, match=r"net\.onnx"):
            build_engine(net, "sm86", tmp_path / "net.plan")
    with pytest.raises(ExportError, match=r"no such ONNX file: .*absent\.onnx"):
        build_engine(tmp_path / "absent.onnx", "cpu", tmp_path / "out.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_nothing_is_collected_while_tensorrt_calls_its_logger(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A builder of before that was freed there waited for a lock that the same thread held."""
    pytest.importorskip("tensorrt_rtx")
    collects: list[bool] = []
    log = logging.getLogger("edgebs.tensorrt")
    handler = logging.Handler()
    handler.emit = lambda _: collects.append(gc.isenabled())  # type: ignore[method-assign]
    log.addHandler(handler)
    try:
        with caplog.at_level(logging.DEBUG, "edgebs.tensorrt"):
            build_engine(conv_net(tmp_path / "net.onnx"), "sm86", tmp_path / "net.plan")
    finally:
        log.removeHandler(handler)
    assert collects
    assert not any(collects)
    assert gc.isenabled()


def test_an_unwritable_output_is_an_error(tmp_path: Path) -> None:
    net = conv_net(tmp_path / "net.onnx")
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(ExportError, match="cannot be written"):
        build_engine(net, "cpu", tmp_path / "taken" / "engine.onnx")


def test_gpu_without_tensorrt_or_without_a_gpu_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = conv_net(tmp_path / "net.onnx")
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    with pytest.raises(MissingDependency, match=r"pip install 'edgebs\[trt\]' \(on Jetson"):
        build_engine(net, "gpu", tmp_path / "net.plan")
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", object())
    monkeypatch.setattr(cuda, "device_count", lambda: cuda.Devices(0, "no NVIDIA driver is installed"))
    for target in ("gpu", "rtx"):
        with pytest.raises(BackendError, match="no NVIDIA GPU: no NVIDIA driver is installed"):
            build_engine(net, target, tmp_path / "net.plan")


def test_rtx_builds_for_the_gpu_at_hand() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    asked: list[object] = []
    config = SimpleNamespace(set_compute_capability=lambda *said: asked.append(said) or True)
    plan_config._give_target(trt, config, Target.RTX)
    plan_config._give_target(trt, config, Target.SM86)
    assert asked == [(trt.ComputeCapability.CURRENT, 0), (trt.ComputeCapability.SM86, 0)]


def test_progress_never_goes_back_and_ends_full(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    seen: list[tuple[int, int]] = []
    net = conv_net(tmp_path / "net.onnx")
    build_engine(net, "sm75", tmp_path / "net.plan", progress=lambda *step: seen.append(step))
    assert len(seen) > 20
    assert seen == sorted(seen)
    assert all(done <= known for done, known in seen)
    assert seen[-1][0] == seen[-1][1]


def test_steps_that_a_phase_leaves_out_count_as_done() -> None:
    seen: list[tuple[int, int]] = []
    steps = Steps(lambda *step: seen.append(step))
    steps.started("outer", 2)
    steps.started("inner", 3)
    steps.stepped("inner")
    steps.finished("inner")
    steps.stepped("outer")
    steps.stepped("outer")
    steps.stepped("outer")  # more than announced
    steps.finished("outer")
    assert seen == [(0, 2), (0, 5), (1, 5), (3, 5), (4, 5), (5, 5), (5, 5)]


def test_the_workspace_limit_is_passed_on(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    net = conv_net(tmp_path / "net.onnx")
    options = BuildOptions(workspace_bytes=1 << 28)
    assert build_engine(net, "sm86", tmp_path / "net.plan", options=options).nbytes > 0


def test_a_real_build_is_stopped_when_memory_runs_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(plan_builder, "host_memory", lambda: FreeMemory(50_000_000, "of this machine"))
    with pytest.raises(ExportError, match="stopped with 50 MB of memory left"):
        build_engine(conv_net(tmp_path / "net.onnx"), "sm75", tmp_path / "net.plan")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_a_real_plan_takes_a_batch_where_the_network_leaves_it_free(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    net = free_batch(conv_net(tmp_path / "net.onnx"))
    facts = build_engine(net, "sm75", tmp_path / "net.plan", options=BuildOptions(batch=BatchRange(1, 4, 4)))
    assert facts.nbytes > 1000
    assert facts.to_json()["batch"] == [1, 4, 4]
    with pytest.raises(ExportError, match=r"no optimization profile has been defined.*--batch 4"):
        build_engine(net, "sm75", tmp_path / "net.plan")


def test_a_target_without_a_dla_says_so(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    with pytest.raises(ExportError, match="target sm75 has no DLA"):
        build_engine(
            conv_net(tmp_path / "n.onnx"), "sm75", tmp_path / "n.plan", options=BuildOptions(dla_core=0)
        )


@pytest.mark.parametrize(
    ("numbers", "batch"), [((4,), (1, 4, 4)), ((1, 4), (1, 4, 4)), ((1, 2, 4), (1, 2, 4))]
)
def test_batches_are_named_by_one_to_three_numbers(numbers: tuple[int, ...], batch: tuple[int, ...]) -> None:
    assert BatchRange.from_numbers(numbers) == BatchRange(*batch)


@pytest.mark.parametrize("numbers", [(), (0, 4), (4, 1), (1, 2, 3, 4)])
def test_batches_that_do_not_grow_are_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ExportError, match="batch range"):
        BatchRange.from_numbers(numbers)
