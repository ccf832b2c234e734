"""engines/plan_builder.py where TensorRT's versions differ, over a fake of each."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.gpu.builder import FakeBuilder, Layer
from fakes.networks.toy_onnx import conv_net

from edgebs.errors import ExportError
from edgebs.nvidia import DeviceOptions, cuda
from engines import BatchRange, BuildOptions, LeanRuntime, plan_builder
from engines.build import EngineFacts, build_engine
from engines.memory import FreeMemory

FP16 = [
    Layer("CAST", "FLOAT"),
    Layer("CONVOLUTION", "HALF"),
    Layer("GRID_SAMPLE", "FLOAT"),
    Layer("CONSTANT", "FLOAT"),
]
INT8 = [Layer("QUANTIZE", "INT8"), Layer("CONVOLUTION", "HALF"), Layer("GRID_SAMPLE", "FLOAT")]


@pytest.fixture
def onnx_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    orin = cuda.DeviceFacts(name="Orin", compute_capability="8.7", driver="12.6", memory_bytes=1)
    monkeypatch.setattr(cuda, "require_device", lambda: None)
    monkeypatch.setattr(cuda, "on_device", nullcontext)
    monkeypatch.setattr(cuda, "device_facts", lambda: orin)
    monkeypatch.setattr(plan_builder, "build_memory", lambda **_: FreeMemory(4 << 30, "shared"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "net.onnx").write_bytes(b"read by the fake parser")
    return tmp_path / "net.onnx"


def build(
    fake: FakeBuilder,
    onnx_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: BuildOptions | None = None,
) -> EngineFacts:
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    options = replace(options or BuildOptions(), workspace_bytes=1 << 20)
    return build_engine(onnx_file, "gpu", onnx_file.with_suffix(".plan"), options=options)


def test_a_tensorrt_that_captures_only_with_memory_of_the_user_is_told_at_build_time(
    onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeBuilder("11.4.1", [Layer("CONVOLUTION", "FLOAT")])
    fake.BuilderFlag.REQUIRE_USER_ALLOCATION = "REQUIRE_USER_ALLOCATION"  # as in TensorRT-RTX since 1.2
    build(fake, onnx_file, monkeypatch)
    assert fake.builder_flags == ["REQUIRE_USER_ALLOCATION"]


@pytest.mark.parametrize(("version", "flags"), [("8.6.2", 1 << 0), ("10.3.0.30", 1 << 1), ("11.4.1", 1 << 0)])
def test_network_flags_go_by_name(
    version: str, flags: int, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By number, 10's STRONGLY_TYPED (bit 1) would be 11's PREFER_JIT_PYTHON_PLUGINS.
    fake = FakeBuilder(version, [Layer("CONVOLUTION", "FLOAT")])
    facts = build(fake, onnx_file, monkeypatch)
    assert fake.network_flags == flags
    assert fake.builder_flags == []
    assert fake.limits == {"workspace": 1 << 20}
    assert facts.plan is not None
    assert (facts.plan.tensorrt, facts.plan.compute_capability, facts.plan.gpu) == (version, "8.7", "Orin")
    assert facts.file.read_bytes() == b"plan of the fake"


def test_version_8_is_held_to_the_files_float16_and_float32(
    onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeBuilder("8.6.2", FP16)
    build(fake, onnx_file, monkeypatch)
    assert fake.builder_flags == ["FP16", "OBEY_PRECISION_CONSTRAINTS"]
    pinned = {layer.type.name for layer in FP16 if layer.precision is not None}
    assert pinned == {"GRID_SAMPLE"}


def test_version_8_is_told_of_int8_and_keeps_its_own_placement(
    onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeBuilder("8.6.2", INT8)
    build(fake, onnx_file, monkeypatch)
    assert fake.builder_flags == ["INT8", "FP16"]
    assert all(layer.precision is None for layer in INT8)


@pytest.mark.parametrize("version", ["10.3.0.30", "11.4.1"])
def test_later_versions_take_types_from_the_file_alone(
    version: str, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeBuilder(version, INT8)
    build(fake, onnx_file, monkeypatch)
    assert fake.builder_flags == []


def test_an_error_without_a_nodes_name_gives_its_number(
    onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ExportError, match="node 7: No importer registered for op: GridSample"):
        build(
            FakeBuilder("8.6.2", [], error="No importer registered for op: GridSample"),
            onnx_file,
            monkeypatch,
        )


@pytest.mark.parametrize(("version", "calls"), [("8.6.2", 0), ("10.3.0.30", 3)])
def test_progress_is_shown_where_tensorrt_tells_it(
    version: str, calls: int, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", FakeBuilder(version, [Layer("CONVOLUTION", "FLOAT")]))
    seen: list[tuple[int, int]] = []
    build_engine(onnx_file, "gpu", onnx_file.with_suffix(".plan"), progress=lambda *step: seen.append(step))
    assert len(seen) == calls


HALF = [Layer("CONVOLUTION", "HALF", "/stem"), Layer("GRID_SAMPLE", "FLOAT", "/warp")]


def test_a_free_batch_gets_a_profile_with_the_kernels_chosen_for_the_usual_one(
    onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeBuilder("10.3.0.30", HALF, inputs={"frame": (-1, 8, 8, 3), "cue": (-1, 2, 8, 8)})
    facts = build(fake, onnx_file, monkeypatch, BuildOptions(batch=BatchRange(1, 2, 4)))
    assert fake.profiles == [
        {
            "frame": ((1, 8, 8, 3), (2, 8, 8, 3), (4, 8, 8, 3)),
            "cue": ((1, 2, 8, 8), (2, 2, 8, 8), (4, 2, 8, 8)),
        }
    ]
    assert facts.to_json()["batch"] == [1, 2, 4]


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((1, 8, 8, 3), "its batch is not free. Export the network with --batch"),
        ((-1, -1, 8, 3), r"input 'frame' has sizes \(-1, -1, 8, 3\); the first, and no other"),
    ],
)
def test_a_batch_for_other_sizes_is_refused(
    sizes: tuple[int, ...], said: str, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeBuilder("10.3.0.30", HALF, inputs={"frame": sizes})
    with pytest.raises(ExportError, match=said):
        build(fake, onnx_file, monkeypatch, BuildOptions(batch=BatchRange(1, 4, 4)))


def test_what_a_build_measured_is_there_for_the_next_one(
    onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(FakeBuilder("10.3.0.30", HALF, measures="conv 3.1"), onnx_file, monkeypatch)
    second = FakeBuilder("10.3.0.30", HALF)
    build(second, onnx_file, monkeypatch)
    assert second.config is not None
    assert second.config.timing is not None
    assert second.config.timing.entries == {"conv 3.1"}
    other = FakeBuilder("11.4.1", HALF)
    build(other, onnx_file, monkeypatch)
    assert other.config is not None
    assert other.config.timing is not None
    assert other.config.timing.entries == set()


def test_a_dla_lists_each_layer_that_the_gpu_must_take(
    onnx_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeBuilder("10.3.0.30", HALF, dla_cores=2)
    facts = build(fake, onnx_file, monkeypatch, BuildOptions(dla_core=1))
    assert fake.config is not None
    assert (fake.config.default_device_type, fake.config.DLA_core) == ("DLA", 1)  # type: ignore[attr-defined]
    assert fake.builder_flags == ["GPU_FALLBACK"]
    assert facts.gpu_layers == ("/warp (GRID_SAMPLE)",)
    assert facts.to_json()["gpu_layers"] == ["/warp (GRID_SAMPLE)"]
    assert "leaves to the GPU: /warp (GRID_SAMPLE)" in caplog.text


@pytest.mark.parametrize(
    ("cores", "core", "layers", "said"),
    [
        (0, 0, HALF, "no DLA core 0: this machine's TensorRT finds none"),
        (2, 2, HALF, "no DLA core 2: its cores are 0 to 1"),
        (2, 0, [Layer("CONVOLUTION", "FLOAT")], "no layer of the network can run on DLA core 0"),
    ],
)
def test_a_dla_that_is_not_there_or_takes_nothing_is_said(
    cores: int,
    core: int,
    layers: list[Layer],
    said: str,
    onnx_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeBuilder("10.3.0.30", layers, dla_cores=cores)
    with pytest.raises(ExportError, match=said):
        build(fake, onnx_file, monkeypatch, BuildOptions(dla_core=core))


@pytest.mark.parametrize("version", ["8.6.2", "10.3.0.30", "11.4.1"])
@pytest.mark.parametrize("lean", LeanRuntime)
def test_a_plan_for_later_versions_brings_its_runtime_or_leaves_it_out(
    version: str, lean: LeanRuntime, onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeBuilder(version, [Layer("CONVOLUTION", "FLOAT")])
    facts = build(fake, onnx_file, monkeypatch, BuildOptions(version_compatible=lean))
    outside = ["EXCLUDE_LEAN_RUNTIME"] if lean is LeanRuntime.OUTSIDE else []
    assert fake.builder_flags == ["VERSION_COMPATIBLE", *outside]
    assert fake.parser_flags == ["NATIVE_INSTANCENORM"]
    assert facts.plan is not None
    assert facts.plan.version_compatible
    assert facts.plan.to_json()["version_compatible"] is True
    assert facts.options_json() == {"lean_runtime": lean.value}
    is_inside = lean is LeanRuntime.INSIDE
    assert facts.options.loaded_with == DeviceOptions(host_code=is_inside, lean=not is_inside)


def test_tensorrt_rtx_has_no_plans_for_later_versions(onnx_file: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    conv_net(onnx_file)
    options = BuildOptions(version_compatible=LeanRuntime.INSIDE)
    with pytest.raises(ExportError, match=r"sm75 cannot be version-compatible.*--target gpu"):
        build_engine(onnx_file, "sm75", onnx_file.with_suffix(".plan"), options=options)
    assert not onnx_file.with_suffix(".plan").exists()


def test_a_build_that_runs_short_of_memory_is_stopped_before_the_kernel_kills_it(
    onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_builder, "host_memory", lambda: FreeMemory(100_000_000, "of this machine"))
    with pytest.raises(ExportError, match=r"stopped with 100 MB of memory left.*--workspace-mb"):
        build(FakeBuilder("10.3.0.30", HALF), onnx_file, monkeypatch)
    assert not onnx_file.with_suffix(".plan").exists()


def test_a_build_that_memory_cannot_hold_is_refused_before_it_starts(
    onnx_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_builder, "build_memory", lambda **_: FreeMemory(300 << 20, "shared"))
    fake = FakeBuilder("10.3.0.30", HALF)
    with pytest.raises(ExportError, match=r"needs about .* MB .* and 315 MB shared are free"):
        build(fake, onnx_file, monkeypatch)
    assert fake.network_flags is None


def test_every_builder_name_used_here_exists_in_the_real_tensorrt_rtx() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    names = {
        trt: "Builder OnnxParser IGridSampleLayer IProgressMonitor NetworkDefinitionCreationFlag "
        "ComputeCapability",
        trt.Builder: "create_network create_builder_config build_serialized_network "
        "create_optimization_profile num_DLA_cores",
        trt.IOptimizationProfile: "set_shape",
        trt.ITimingCache: "combine serialize",
        trt.DeviceType: "DLA",
        trt.BuilderFlag: "GPU_FALLBACK VERSION_COMPATIBLE EXCLUDE_LEAN_RUNTIME",
        trt.OnnxParserFlag: "NATIVE_INSTANCENORM",
        trt.ProfilingVerbosity: "DETAILED",
        trt.ITensor: "name shape",
        trt.OnnxParser: "parse_from_file num_errors get_error set_flag",
        trt.ParserError: "desc node node_name node_operator",
        trt.INetworkDefinition: "num_layers num_outputs get_layer num_inputs get_input",
        trt.ILayer: "name type get_output_type",
        trt.IGridSampleLayer: "interpolation_mode",
        trt.LayerType: "GRID_SAMPLE QUANTIZE CONSTANT CAST IDENTITY SHAPE",
        trt.InterpolationMode: "LINEAR NEAREST",
        trt.IBuilderConfig: "set_flag set_memory_pool_limit num_compute_capabilities set_compute_capability "
        "progress_monitor profiling_verbosity add_optimization_profile create_timing_cache set_timing_cache "
        "get_timing_cache default_device_type DLA_core can_run_on_DLA",
        trt.MemoryPoolType: "WORKSPACE",
    }
    absent = [
        (owner, name) for owner, used in names.items() for name in used.split() if not hasattr(owner, name)
    ]
    assert not absent
