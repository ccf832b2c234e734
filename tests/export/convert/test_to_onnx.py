"""export/convert/__init__.py and export/convert/fp16.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from fakes.networks import onnx_toys
from fakes.networks.toy_onnx import Graph
from onnx import TensorProto
from torch import Tensor, nn

import export.convert
from edgebs.errors import ExportError
from edgebs.tensors import TensorSpec
from export.convert import cast_inputs_first, onnx_from_module

ROW = {"x": TensorSpec((1, 4), "float32")}
ROWS = [{"x": np.array([[1, 2, 3, 4]], np.float32)}]


class Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


@pytest.mark.parametrize("name", onnx_toys.TOYS)
def test_the_file_computes_what_pytorch_computes(name: str, tmp_path: Path) -> None:
    file = onnx_toys.export(name, tmp_path / "toy.onnx")
    feed = onnx_toys.feeds(name)[0]
    with torch.no_grad():
        expected = onnx_toys.toy(name)(*map(torch.from_numpy, feed.values())).numpy()
    assert np.abs(onnx_toys.run(file, feed) - expected).max() <= 1e-4


def test_names_shapes_and_opset_are_those_asked_for(tmp_path: Path) -> None:
    model = onnx.load(onnx_toys.export("segmenter", tmp_path / "toy.onnx"))
    assert [value.name for value in model.graph.input] == ["frame", "cue"]
    assert [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim] == [1, 16, 16, 3]
    assert [value.name for value in model.graph.output] == ["probability"]
    assert model.opset_import[0].version == 17


def test_the_same_module_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (onnx_toys.export("segmenter", tmp_path / name) for name in ("1.onnx", "2.onnx"))
    assert first.read_bytes() == second.read_bytes()


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    onnx_toys.export("normed", tmp_path / "toy.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["toy.onnx"]


@pytest.mark.parametrize("step", ["export", "simplify"])
def test_a_difference_names_the_step_the_output_and_both_values(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    honest = export.convert._compare

    def compare(what: str, expected: np.ndarray, result: np.ndarray, _original: str) -> None:
        compared.append(what)
        honest(what, expected, result + (0.5 if f"'{step}'" in what else 0))

    monkeypatch.setattr(export.convert, "_compare", compare)
    with pytest.raises(ExportError, match=rf"step '{step}', sample 0, output 'y': .* 2.5 at .* gives 2 "):
        onnx_from_module(Double(), ROW, ["y"], ROWS, tmp_path / "toy.onnx")
    assert list(tmp_path.iterdir()) == []


def test_large_outputs_may_differ_in_proportion() -> None:
    export.convert._compare("flow", np.float32([100]), np.float32([100.009]))
    with pytest.raises(ExportError, match=r"allowed 0\.01"):
        export.convert._compare("flow", np.float32([100]), np.float32([100.02]))


def test_nan_from_pytorch_is_said_to_be_pytorchs(tmp_path: Path) -> None:
    rows = [{"x": np.full((1, 4), np.nan, np.float32)}]
    with pytest.raises(ExportError, match="PyTorch itself gives NaN"):
        onnx_from_module(Double(), ROW, ["y"], rows, tmp_path / "toy.onnx")


def test_an_operator_that_onnx_lacks_names_the_module(tmp_path: Path) -> None:
    class Bessel(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.bessel_j0(x)

    with pytest.raises(ExportError, match="step 'export' of Bessel failed"):
        onnx_from_module(Bessel(), ROW, ["y"], ROWS, tmp_path / "toy.onnx")


def test_an_unwritable_place_is_an_export_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be written"):
        onnx_from_module(Double(), ROW, ["y"], ROWS, tmp_path / "missing" / "toy.onnx")


def test_samples_are_needed_and_must_fit(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="at least one sample"):
        onnx_from_module(Double(), ROW, ["y"], [], tmp_path / "toy.onnx")
    with pytest.raises(ValueError, match="tensor 'x' must be float32"):
        onnx_from_module(Double(), ROW, ["y"], [{"x": np.zeros((1, 4))}], tmp_path / "toy.onnx")
    with pytest.raises(ValueError, match="feeds must hold"):
        onnx_from_module(Double(), ROW, ["y"], [{"z": np.zeros(4)}], tmp_path / "toy.onnx")


def test_uint8_inputs_are_cast_before_anything_reads_them(tmp_path: Path) -> None:
    model = onnx.load(onnx_toys.export("flow", tmp_path / "toy.onnx"))
    for image in ("frame", "past_1"):
        assert [node.op_type for node in model.graph.node if image in node.input] == ["Cast"]
    assert sum(node.op_type == "Cast" for node in model.graph.node) == 2


def test_a_graph_that_computes_in_integers_keeps_its_casts() -> None:
    graph = Graph()
    graph.add("Cast", [graph.add("Max", ["image", "image"], "brighter")], "y", to=TensorProto.FLOAT)
    model = graph.model({"image": [4]}, {"y": [4]}, dtypes={"image": TensorProto.UINT8})
    before = model.SerializeToString()
    cast_inputs_first(model)
    assert model.SerializeToString() == before
