"""engines/layers.py and the runtimes' own lists of layers."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes.networks.toy_onnx import SIZE, conv_net, full_range_convolution
from fakes.process import cpu_texts

from edgebs.bundle.manifest import NetworkFacts
from edgebs.errors import BackendError
from edgebs.tensors import TensorSpec
from engines.build import build_engine
from engines.layers import (
    LayerFacts,
    layers_from_inspector,
    layers_from_profile,
    layers_of_network,
    median_ms,
    share_by,
)

INPUTS = {
    "frame": TensorSpec((1, SIZE, SIZE, 3), "uint8"),
    "cue": TensorSpec((1, 3, SIZE, SIZE), "float32"),
}


def facts(backend: str) -> NetworkFacts:
    return NetworkFacts(
        file="segment.onnx",
        backend=backend,
        precision="fp32",
        inputs=INPUTS,
        outputs={"probability": TensorSpec((1, SIZE, SIZE), "float32")},
        description={},
        weights_sha256="",
        parameters=0,
        gflop=0.0,
    )


@pytest.mark.parametrize(("backend", "module", "kind"), [
    ("openvino", "openvino", "Convolution"), ("onnxruntime", "onnxruntime", "Conv"),
])  # fmt: skip
def test_a_cpu_runtime_lists_and_times_what_it_runs(
    backend: str, module: str, kind: str, tmp_path: Path
) -> None:
    pytest.importorskip(module)
    layers = layers_of_network(conv_net(tmp_path / "net.onnx", channels=16), facts(backend), threads=1)
    convolutions = [layer for layer in layers if layer.kind.endswith(kind)]
    assert len(convolutions) == 2
    assert {layer.precision for layer in convolutions} == {"fp32"}
    assert all(layer.ms is not None and 0 <= layer.ms < 1000 for layer in layers)
    assert sum(layer.ms or 0 for layer in layers) > 0


@pytest.mark.parametrize("limit", ["SSE41", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI", "ALL"])
def test_int8_is_summed_as_the_description_of_the_cpu_states(limit: str, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    saturating = full_range_convolution(tmp_path / "full.onnx")
    code = (
        "import sys, json; from pathlib import Path; import numpy as np\n"
        "from edgebs.backends.openvino import import_openvino\n"
        "from edgebs.machine.cpu import this_cpu\n"
        "from engines.layers import openvino_layers\n"
        "from edgebs.tensors import TensorSpec\n"
        "file = Path(sys.argv[1])\n"
        "core, options = import_openvino().Core(), {'INFERENCE_PRECISION_HINT': 'f32'}\n"
        "model = core.compile_model(str(file), 'CPU', options)\n"
        "y = float(model({'x': np.ones((1, 32, 8, 8), np.float32)})[0][0, 0, 4, 4])\n"
        "layers = openvino_layers(file, {'x': TensorSpec((1, 32, 8, 8), 'float32')}, 'f32', 1)\n"
        "kinds = {layer.precision for layer in layers if layer.kind == 'Convolution'}\n"
        "print(json.dumps([y, sorted(kinds), this_cpu().int8.value]))"
    )
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": limit}
    done = subprocess.run(
        [sys.executable, "-c", code, str(saturating)],
        env=environment, capture_output=True, text=True, timeout=120, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    y, kinds, int8 = json.loads(done.stdout)
    assert kinds == ["int8"]
    if int8 == "vnni":
        assert y == pytest.approx(288, abs=0.01)  # 9 * 32 products of 1 * 1
    elif int8 == "saturating":
        assert y == pytest.approx(145.70, abs=0.01)  # pairs of products end at 32767 of 64770
    else:
        assert platform.machine() not in ("x86_64", "AMD64")


@pytest.mark.parametrize("text", [
    cpu_texts.SSE4, cpu_texts.AVX2, cpu_texts.AVX_VNNI, cpu_texts.AVX512_VNNI, cpu_texts.AMX,
    cpu_texts.NEON, cpu_texts.DOTPROD,
])  # fmt: skip
def test_an_engine_for_cpu_is_the_same_file_on_every_processor(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = conv_net(tmp_path / "net.onnx", "int8", channels=16)
    cpu_texts.use(text, monkeypatch, tmp_path)
    made = build_engine(net, "cpu", tmp_path / "engine.onnx")
    assert made.file.read_bytes() == net.read_bytes()
    assert made.plan is None  # nothing in it is bound to this processor


def test_int8_layers_are_named_so(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    net = conv_net(tmp_path / "net.onnx", "int8", channels=64)
    layers = layers_of_network(net, facts("openvino"), threads=1)
    assert "int8" in {layer.precision for layer in layers if layer.kind == "Convolution"}


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_damaged_engine_is_an_error(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    (tmp_path / "net.onnx").write_bytes(b"no network")
    with pytest.raises(BackendError, match=r"cannot load .*net\.onnx"):
        layers_of_network(tmp_path / "net.onnx", facts(backend))


INSPECTED = {
    "Layers": [
        {
            "Name": "Reformatting CopyNode for Input Tensor 0 to /stem/Conv",
            "LayerType": "Reformat",
            "Inputs": [{"Name": "x", "Dimensions": [1, 3, 8, 8], "Format/Datatype": "Row major linear FP32"}],
            "Outputs": [{"Name": "y", "Format/Datatype": "Channel major FP16 format where channel % 4 == 0"}],
        },
        {
            "Name": "/stem/Conv + /stem/Relu",
            "LayerType": "CaskConvolution",
            "Outputs": [
                {"Name": "z", "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format."}
            ],
            "TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32",
        },
        {"Name": "__myl_Cast", "LayerType": "kgen", "Outputs": [{"Name": "o", "Format/Datatype": "Half"}]},
        {"Name": "shape", "LayerType": "Shape", "Outputs": []},
    ],
    "Bindings": ["x", "o"],
}


def test_the_inspectors_words_of_every_version_become_precisions() -> None:
    layers = layers_from_inspector(json.dumps(INSPECTED))
    assert [layer.precision for layer in layers] == ["fp16", "int8", "fp16", ""]
    assert layers[1].kind == "CaskConvolution"
    assert layers[1].kernel.startswith("sm80_xmma")
    assert layers[1].ms is None


def test_a_plan_built_without_details_lists_names() -> None:
    assert layers_from_inspector('{"Layers": ["/stem/Conv + /stem/Relu"]}') == [
        LayerFacts(name="/stem/Conv + /stem/Relu", kind="", precision="")
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_another_text_is_an_error_that_shows_it(text: str) -> None:
    with pytest.raises(BackendError, match="inspector said"):
        layers_from_inspector(text)


def event(name: str, dur: float, **args: Any) -> dict[str, Any]:
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": dur, "args": {"op_name": "Conv", **args}}


def test_a_profile_gives_the_median_of_its_runs_in_the_order_of_execution() -> None:
    half = [{"float16": [1, 8, 4, 4]}]
    events = [
        {"cat": "Session", "name": "model_run", "dur": 9},
        *(event("/b/Conv", dur, output_type_shape=half) for dur in (3000, 1000, 1200)),
        event("/a/Conv", 500),
        {"cat": "Node", "name": "/a/Conv_fence_before", "dur": 1, "args": {"op_name": "Conv"}},
    ]
    first, second = layers_from_profile(events)
    assert (first.name, first.precision, first.ms) == ("/b/Conv", "fp16", 1.2)
    assert (second.name, second.precision, second.ms) == ("/a/Conv", "", 0.5)


def test_medians_and_sums() -> None:
    assert median_ms([{"a": 1.0}, {"a": 3.0}, {"a": 2.0, "b": 5.0}]) == {"a": 2.0, "b": 5.0}
    layers = [
        LayerFacts(name="a", kind="Conv", precision="int8", ms=1.0),
        LayerFacts(name="b", kind="Conv", precision="fp32", ms=2.0),
        LayerFacts(name="c", kind="Conv", precision="int8", ms=0.5),
    ]
    assert share_by(layers, "precision") == {
        "fp32": {"layers": 1, "ms": 2.0},
        "int8": {"layers": 2, "ms": 1.5},
    }


def test_every_inspector_name_exists_in_the_real_tensorrt_rtx() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    assert hasattr(trt.ICudaEngine, "create_engine_inspector")
    assert hasattr(trt.EngineInspector, "get_engine_information")
    assert hasattr(trt.LayerInformationFormat, "JSON")
    assert hasattr(trt.Runtime, "deserialize_cuda_engine")
