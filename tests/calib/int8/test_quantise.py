"""calib/int8/__init__.py and calib/int8/rewrites.py."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes.networks import onnx_toys
from onnx import TensorProto

from calib.graph import FLOAT, view
from calib.int8 import int8_from_fp32, weight_bits
from edgebs.errors import CalibrationError, ExportError
from edgebs.machine.cpu import this_cpu
from edgebs.tensors import Array
from export.convert.lint import lint


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """FP32, and INT8 in both forms, of both toys."""
    folder = tmp_path_factory.mktemp("toys")
    made = {}
    for name in ("segmenter", "flow"):
        made[name] = onnx_toys.export(name, folder / f"{name}.onnx")
        for signed in (True, False):
            file = folder / f"{name}.{'signed' if signed else 'unsigned'}.onnx"
            int8_from_fp32(made[name], file, onnx_toys.feeds(name, 8), signed=signed)
            made[file.stem] = file
    return made


def openvino_result(file: Path, feed: dict[str, Array]) -> Array:
    openvino = pytest.importorskip("openvino")
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    network = openvino.Core().compile_model(str(file), "CPU", settings)
    return np.array(network(feed)[network.outputs[0]])


@pytest.mark.parametrize("form", ["signed", "unsigned"])
def test_int8_stays_near_fp32(files: dict[str, Path], form: str) -> None:
    feed = onnx_toys.feeds("segmenter", 8)[3]
    expected, result = (onnx_toys.run(files[name], feed) for name in ("segmenter", f"segmenter.{form}"))
    noise = rms(result - expected) / expected.std()
    assert noise < 0.05  # 26 dB: what five layers of 8 bits leave


@pytest.mark.parametrize("name", ["segmenter.signed", "flow.signed"])
def test_signed_files_are_clean_for_tensorrt_and_build_for_turing(files: dict[str, Path], name: str) -> None:
    assert lint(files[name], for_tensorrt=True) == []
    pytest.importorskip("tensorrt_rtx")
    assert onnx_toys.sm75_plan(files[name]) > 0


@pytest.mark.parametrize("name", ["segmenter.unsigned", "flow.unsigned"])
def test_openvino_computes_what_the_file_says(files: dict[str, Path], name: str) -> None:
    """OpenVINO 2026.4 does not, from a concatenation as NNCF writes it: see concatenate_integers."""
    assert lint(files[name], for_tensorrt=False) == []
    feed = onnx_toys.feeds(name.split(".")[0], 8)[5]
    expected = onnx_toys.run(files[name], feed)
    error = rms(openvino_result(files[name], feed) - expected)
    assert error < (0.02 if this_cpu().int8.is_exact else WITHOUT_VNNI) * expected.std()


@pytest.mark.parametrize("limit", ["AVX2", "SSE41"])
@pytest.mark.parametrize("name", ["segmenter.unsigned", "flow.unsigned"])
def test_no_sum_saturates_on_x86_without_vnni(
    files: dict[str, Path], name: str, limit: str, tmp_path: Path
) -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("the limit is one of x86")
    feed = onnx_toys.feeds(name.split(".")[0], 8)[5]
    expected = onnx_toys.run(files[name], feed)
    result = limited_result(files[name], feed, limit, tmp_path)
    assert rms(result - expected) < WITHOUT_VNNI * expected.std()


WITHOUT_VNNI = 0.05
"""Of the standard deviation. There oneDNN halves the weights of a convolution that reads signed integers from
a concatenation: 6 bits are left of 7 (.024 to .033 off). Sums that saturate are .115 to .14 off."""

LIMITED = """
import sys
import numpy, openvino
file, feed, result = sys.argv[1:]
settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
network = openvino.Core().compile_model(file, "CPU", settings)
numpy.save(result, network(dict(numpy.load(feed)))[network.outputs[0]])
"""


def limited_result(file: Path, feed: dict[str, Array], limit: str, folder: Path) -> Array:
    """What OpenVINO computes in a process whose oneDNN may use `limit` and what is older."""
    pytest.importorskip("openvino")
    np.savez(folder / "feed.npz", **feed)
    result = folder / "result.npy"
    arguments = [sys.executable, "-c", LIMITED, str(file), str(folder / "feed.npz"), str(result)]
    subprocess.run(arguments, check=True, env={**os.environ, "ONEDNN_MAX_CPU_ISA": limit})
    return np.asarray(np.load(result))


def rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def test_weights_for_cpus_have_7_bits_and_those_for_tensorrt_8(files: dict[str, Path]) -> None:
    for form in ("signed", "unsigned"):
        graph = view(onnx.load(files[f"segmenter.{form}"]))
        largest = 0
        for node in graph.nodes:
            weights = graph.constant(node.input[0]) if node.op_type == "DequantizeLinear" else None
            if weights is not None:
                largest = max(largest, int(np.abs(weights.astype(int)).max()))
        bits = weight_bits(signed=form == "signed")
        assert 2 ** (bits - 1) - 1 <= largest <= 2 ** (bits - 1)


def test_first_convolutions_stay_in_floating_point_for_cpus_alone(files: dict[str, Path]) -> None:
    for form, expected in (("signed", set()), ("unsigned", {"/frame/Conv", "/cue/Conv"})):
        graph = view(onnx.load(files[f"segmenter.{form}"]))
        floating = {
            node.name
            for node in graph.nodes
            if node.op_type == "Conv" and graph.producers.get(node.input[1]) is None
        }
        assert floating == expected


def test_ranges_cover_what_one_sample_in_eight_shows(tmp_path: Path, files: dict[str, Path]) -> None:
    """An average over the samples would clip the bright one to an eighth."""
    feeds = onnx_toys.feeds("segmenter", 8)
    bright = {**feeds[0], "cue": np.full_like(feeds[0]["cue"], 4.0)}
    dark = [{**feed, "cue": np.zeros_like(feed["cue"])} for feed in feeds[:7]]
    file = tmp_path / "toy.onnx"
    int8_from_fp32(files["segmenter"], file, [*dark, bright], signed=True)
    feed = bright
    expected, result = (onnx_toys.run(each, feed) for each in (files["segmenter"], file))
    assert rms(result - expected) < 0.1 * expected.std()


def test_only_the_unsigned_form_has_unsigned_integers(files: dict[str, Path]) -> None:
    for form, expected in (("signed", False), ("unsigned", True)):
        graph = view(onnx.load(files[f"segmenter.{form}"]))
        integers = {graph.dtypes[node.output[0]] for node in graph.nodes if node.op_type == "QuantizeLinear"}
        assert (TensorProto.UINT8 in integers) is expected


def test_signed_and_unsigned_quantisers_cover_the_same_range(files: dict[str, Path]) -> None:
    ranges = {}
    for form, levels in (("signed", 127), ("unsigned", 255)):
        graph = view(onnx.load(files[f"segmenter.{form}"]))
        (quantise,) = (
            node
            for node in graph.nodes
            if node.op_type == "QuantizeLinear" and graph.producers[node.input[0]].op_type == "Relu"
        )
        scale = graph.constant(quantise.input[1])
        assert scale is not None
        ranges[form] = float(scale) * levels
    assert ranges["signed"] == pytest.approx(ranges["unsigned"], rel=1e-6)


def test_every_convolution_reads_integers_with_a_scale_per_channel(files: dict[str, Path]) -> None:
    graph = view(onnx.load(files["segmenter.signed"]))
    for node in graph.nodes:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        weight = graph.producers[node.input[1]]
        scale = graph.constant(weight.input[1])
        assert weight.op_type == "DequantizeLinear"
        assert scale is not None
        assert scale.size == (1 if node.op_type == "ConvTranspose" else 8)
        assert graph.dtypes[node.input[2]] == FLOAT  # no INT32 bias


def test_coordinates_norms_and_images_are_not_quantised(files: dict[str, Path]) -> None:
    graph = view(onnx.load(files["flow.signed"]))
    integers = ("QuantizeLinear", "DequantizeLinear")
    for node in graph.nodes:
        if node.op_type in ("GridSample", "Sqrt", "Transpose", "Gather", "Cast"):
            sources = [graph.producers[name].op_type for name in node.input if name in graph.producers]
            assert not set(sources).intersection(integers), node.name


def test_concatenations_join_integers(files: dict[str, Path]) -> None:
    graph = view(onnx.load(files["segmenter.unsigned"]))
    (concat,) = (node for node in graph.nodes if node.op_type == "Concat")
    assert Counter(graph.producers[name].op_type for name in concat.input) == {"QuantizeLinear": 2}
    assert [node.op_type for node in graph.nodes if concat.output[0] in node.input] == ["DequantizeLinear"]


def test_the_same_samples_give_the_same_bytes(files: dict[str, Path], tmp_path: Path) -> None:
    again = tmp_path / "toy.onnx"
    int8_from_fp32(files["segmenter"], again, onnx_toys.feeds("segmenter", 8), signed=True)
    assert again.read_bytes() == files["segmenter.signed"].read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["toy.onnx"]


def test_progress_is_told_and_nothing_is_printed(
    files: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, int]] = []
    int8_from_fp32(
        files["segmenter"],
        tmp_path / "toy.onnx",
        onnx_toys.feeds("segmenter", 3),
        signed=True,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert capfd.readouterr() == ("", "")


def test_no_samples_is_an_error_that_says_how_to_make_some(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="edgebs calibrate VIDEO --out DIR"):
        int8_from_fp32(files["segmenter"], tmp_path / "toy.onnx", [], signed=True)


def test_a_file_that_is_no_onnx_is_said_to_be_none(tmp_path: Path) -> None:
    file = tmp_path / "toy.int8.onnx"
    with pytest.raises(ExportError, match=r"missing\.onnx cannot be read as ONNX"):
        int8_from_fp32(tmp_path / "missing.onnx", file, onnx_toys.feeds("normed"), signed=True)
    (tmp_path / "text.onnx").write_text("this is no protobuf")
    with pytest.raises(ExportError, match=r"text\.onnx cannot be read as ONNX"):
        int8_from_fp32(tmp_path / "text.onnx", file, onnx_toys.feeds("normed"), signed=True)
