"""export/convert/fp16.py and calib/int8/float32_nodes.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from fakes.networks import onnx_toys
from onnx import TensorProto, numpy_helper

from calib.graph import FLOAT, FLOAT16, view
from edgebs.errors import ExportError
from edgebs.tensors import TensorSpec
from export.convert import onnx_from_module
from export.convert.fp16 import fp16_from_fp32
from export.convert.lint import lint


def halved(name: str, folder: Path) -> Path:
    file = folder / "toy.fp16.onnx"
    fp16_from_fp32(onnx_toys.export(name, folder / "toy.onnx"), file, onnx_toys.feeds(name))
    return file


@pytest.mark.parametrize("name", onnx_toys.TOYS)
def test_fp16_stays_close_and_keeps_inputs_and_outputs(name: str, tmp_path: Path) -> None:
    file = halved(name, tmp_path)
    feed = onnx_toys.feeds(name)[0]
    expected, result = (onnx_toys.run(path, feed) for path in (tmp_path / "toy.onnx", file))
    assert result.dtype == np.float32
    # Three layers of 11 bits each.
    assert np.abs(result - expected).max() <= 3e-3 * max(1, np.abs(expected).max())
    types = {value.name: value.type.tensor_type.elem_type for value in onnx.load(file).graph.input}
    assert types["frame"] == TensorProto.UINT8
    assert types.get("cue", FLOAT) == FLOAT


@pytest.mark.parametrize("name", onnx_toys.TOYS)
def test_fp16_builds_for_turing(name: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    file = halved(name, tmp_path)
    assert lint(file, for_tensorrt=True) == []
    assert onnx_toys.sm75_plan(file) > 0


def test_convolutions_and_their_weights_are_float16(tmp_path: Path) -> None:
    file = halved("segmenter", tmp_path)
    graph = view(onnx.load(file))
    for node in graph.nodes:
        if node.op_type in ("Conv", "ConvTranspose"):
            assert {graph.dtypes[name] for name in (*node.input, *node.output)} == {FLOAT16}
    assert file.stat().st_size < 0.75 * (tmp_path / "toy.onnx").stat().st_size


def test_coordinates_warps_norms_and_both_ends_stay_float32(tmp_path: Path) -> None:
    graph = view(onnx.load(halved("flow", tmp_path)))
    kept = {"GridSample", "Sqrt", "Div", "Add", "Transpose", "Resize"}
    checked = [node for node in graph.nodes if node.op_type in kept]
    assert {"GridSample", "Sqrt", "Add"} <= {node.op_type for node in checked}
    for node in checked:
        assert FLOAT16 not in {graph.dtypes[name] for name in (*node.input, *node.output) if name}, node.name
    norm = view(onnx.load(halved("normed", tmp_path)))
    (layer,) = (node for node in norm.nodes if node.op_type == "InstanceNormalization")
    assert {norm.dtypes[name] for name in layer.input} == {FLOAT}


def test_the_float32_part_has_no_detour_through_float16(tmp_path: Path) -> None:
    graph = view(onnx.load(halved("flow", tmp_path)))
    for node in graph.nodes:
        source = graph.producers.get(node.input[0]) if node.op_type == "Cast" else None
        assert source is None or source.op_type != "Cast", f"{source.name} -> {node.name}"


class ReadTwice(torch.nn.Module):
    """A float32 result that a float16 node reads first, and then a float32 one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        def to(x: torch.Tensor, side: int) -> torch.Tensor:
            return torch.nn.functional.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)

        resized = to(self.first(frame.float().permute(0, 3, 1, 2) / 255), 16)
        return to(self.second(resized), 32) + to(resized, 32)


def test_a_float32_result_may_be_read_in_both_types(tmp_path: Path) -> None:
    feed = {"frame": np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)}
    fp32, fp16 = tmp_path / "toy.onnx", tmp_path / "fp16.onnx"
    torch.manual_seed(0)
    onnx_from_module(ReadTwice(), {"frame": TensorSpec((1, 8, 8, 3), "uint8")}, ["sum"], [feed], fp32)
    fp16_from_fp32(fp32, fp16, [feed])
    expected, result = (onnx_toys.run(path, feed) for path in (fp32, fp16))
    assert 0 < np.abs(result - expected).max() <= 3e-3


def test_a_tensor_too_large_for_float16_is_named(tmp_path: Path) -> None:
    module = onnx_toys.toy("segmenter")
    with torch.no_grad():
        module.fuse.bias.fill_(1e5)
    _, inputs, output = onnx_toys.TOYS["segmenter"]
    fp32, feeds = tmp_path / "toy.onnx", onnx_toys.feeds("segmenter")
    onnx_from_module(module, inputs, [output], feeds, fp32)
    with pytest.raises(ExportError, match=r"sample 0: tensor '/fuse/Conv.*' \(Conv\) reaches 1e\+05"):
        fp16_from_fp32(fp32, tmp_path / "toy.fp16.onnx", feeds)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.onnx"]


def test_a_weight_too_large_for_float16_is_named(tmp_path: Path) -> None:
    fp32 = onnx_toys.export("normed", tmp_path / "toy.onnx")
    model = onnx.load(fp32)
    (weight,) = (tensor for tensor in model.graph.initializer if tensor.name == "second.weight")
    value = numpy_helper.to_array(weight).copy()
    value[0, 0, 0, 0] = 1e6
    weight.CopyFrom(numpy_helper.from_array(value, weight.name))
    onnx.save(model, fp32)
    with pytest.raises(ExportError, match=r"weight 'second.weight' reaches 1e\+06"):
        fp16_from_fp32(fp32, tmp_path / "toy.fp16.onnx", [])
