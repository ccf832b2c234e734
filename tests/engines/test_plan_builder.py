"""engines/plan_builder.py where TensorRT's versions differ, over a fake of each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fake_builder import FakeBuilder, Layer

from edgebs import cuda
from edgebs.errors import ExportError
from engines.build import EngineFacts, build_engine

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
    monkeypatch.setattr(cuda, "use_device", lambda: None)
    monkeypatch.setattr(cuda, "device_facts", lambda: orin)
    (tmp_path / "net.onnx").write_bytes(b"read by the fake parser")
    return tmp_path / "net.onnx"


def build(fake: FakeBuilder, onnx_file: Path, monkeypatch: pytest.MonkeyPatch) -> EngineFacts:
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    return build_engine(onnx_file, "gpu", onnx_file.with_suffix(".plan"), workspace_bytes=1 << 20)


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


def test_every_builder_name_used_here_exists_in_the_real_tensorrt_rtx() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    names = {
        trt: "Builder OnnxParser IGridSampleLayer IProgressMonitor NetworkDefinitionCreationFlag "
        "ComputeCapability",
        trt.Builder: "create_network create_builder_config build_serialized_network",
        trt.OnnxParser: "parse_from_file num_errors get_error",
        trt.ParserError: "desc node node_name node_operator",
        trt.INetworkDefinition: "num_layers num_outputs get_layer",
        trt.ILayer: "name type get_output_type",
        trt.IGridSampleLayer: "interpolation_mode",
        trt.LayerType: "GRID_SAMPLE QUANTIZE CONSTANT CAST IDENTITY SHAPE",
        trt.InterpolationMode: "LINEAR NEAREST",
        trt.IBuilderConfig: "set_flag set_memory_pool_limit num_compute_capabilities set_compute_capability "
        "progress_monitor",
        trt.MemoryPoolType: "WORKSPACE",
    }
    absent = [
        (owner, name) for owner, used in names.items() for name in used.split() if not hasattr(owner, name)
    ]
    assert not absent
