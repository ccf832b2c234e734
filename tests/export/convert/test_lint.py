"""export/convert/lint.py: one tiny model for each rule, and a clean one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fakes.networks.toy_onnx import Graph
from onnx import TensorProto, helper

from edgebs.errors import ExportError
from export.convert.lint import lint, require_clean


def model(
    *nodes: Any,
    opset: int = 17,
    inputs: dict[str, int] | None = None,
    constants: dict[str, Any] | None = None,
) -> Any:
    """A model of `nodes` with inputs of the given element types, all (1, 2, 4, 4), and an untyped output."""
    graph = Graph()
    graph.nodes += nodes
    for name, value in (constants or {}).items():
        graph.weight(name, value)
    dtypes = inputs or {"x": TensorProto.FLOAT}
    shapes = dict.fromkeys(dtypes, (1, 2, 4, 4))
    return graph.model(shapes, {nodes[-1].output[0]: None}, opset=opset, dtypes=dtypes)


def grid_sample(mode: str = "bilinear", grid: Any = np.float32) -> dict[str, Any]:
    node = helper.make_node("GridSample", ["x", "grid"], ["y"], name="warp", mode=mode)
    return {"nodes": [node], "constants": {"grid": np.zeros((1, 4, 4, 2), grid)}}


def quantised(zero_point: Any) -> tuple[list[Any], dict[str, Any]]:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="quantise"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], name="dequantise"),
    ]
    return nodes, {"scale": np.float32(0.1), "zero": zero_point}


def test_a_clean_model_has_no_complaints() -> None:
    nodes, constants = quantised(np.int8(0))
    warp = helper.make_node("GridSample", ["y", "grid"], ["z"], name="warp", mode="bilinear")
    clean = model(*nodes, warp, constants=constants | {"grid": np.zeros((1, 4, 4, 2), np.float32)})
    assert lint(clean, for_tensorrt=True) == []
    require_clean(clean, for_tensorrt=True)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_renamed_grid_sample_modes_are_refused(mode: str) -> None:
    parts = grid_sample(mode)
    (complaint,) = lint(model(*parts["nodes"], constants=parts["constants"]), for_tensorrt=False)
    assert complaint.startswith(f"GridSample 'warp' has mode '{mode}': TensorRT reads it as nearest")


def test_grid_sample_above_opset_19_is_refused() -> None:
    parts = grid_sample()
    above = model(*parts["nodes"], opset=20, constants=parts["constants"])
    assert lint(above, for_tensorrt=False) == [
        "GridSample 'warp' is of opset 20: TensorRT reads it as nearest; export with opset 17"
    ]
    without = model(helper.make_node("Relu", ["x"], ["y"], name="relu"), opset=20)
    assert lint(without, for_tensorrt=True) == []


def test_grid_sample_of_two_types_is_refused() -> None:
    parts = grid_sample(grid=np.float16)
    (complaint,) = lint(model(*parts["nodes"], constants=parts["constants"]), for_tensorrt=False)
    assert (
        complaint == "GridSample 'warp' reads float and float16: TensorRT wants features and grid of one type"
    )


def test_zero_points_other_than_zero_are_refused() -> None:
    nodes, constants = quantised(np.int8(3))
    complaints = lint(model(*nodes, constants=constants), for_tensorrt=False)
    assert [line.split(":")[0] for line in complaints] == [
        "QuantizeLinear 'quantise' has zero point 3",
        "DequantizeLinear 'dequantise' has zero point 3",
    ]


def test_unsigned_quantisers_are_refused_for_tensorrt_only() -> None:
    nodes, constants = quantised(np.uint8(0))
    unsigned = model(*nodes, constants=constants)
    assert lint(unsigned, for_tensorrt=False) == []
    assert [line.split(":")[0] for line in lint(unsigned, for_tensorrt=True)] == [
        "QuantizeLinear 'quantise' is unsigned",
        "DequantizeLinear 'dequantise' is unsigned",
    ]


def test_a_quantiser_without_zero_point_is_unsigned_too() -> None:
    node = helper.make_node("QuantizeLinear", ["x", "scale"], ["q"], name="quantise")
    back = helper.make_node("DequantizeLinear", ["q", "scale"], ["y"], name="dequantise")
    assert len(lint(model(node, back, constants={"scale": np.float32(1)}), for_tensorrt=True)) == 2


def test_int32_biases_are_refused() -> None:
    node = helper.make_node("DequantizeLinear", ["bias", "scale"], ["b"], name="bias_dq")
    add = helper.make_node("Add", ["x", "b"], ["y"], name="add")
    constants = {"bias": np.ones((1, 2, 1, 1), np.int32), "scale": np.float32(0.1)}
    assert lint(model(node, add, constants=constants), for_tensorrt=False) == [
        "DequantizeLinear 'bias_dq' dequantises INT32 'bias': leave biases in floating point"
    ]


def test_operators_of_other_domains_are_refused() -> None:
    node = helper.make_node("FusedConv", ["x", "w"], ["y"], name="fused", domain="com.microsoft")
    assert lint(model(node, constants={"w": np.zeros((2, 2, 1, 1), np.float32)}), for_tensorrt=False) == [
        "FusedConv 'fused' is of domain 'com.microsoft': only standard ONNX operators are portable"
    ]


def test_uint8_inputs_must_be_cast_for_tensorrt() -> None:
    transpose = helper.make_node("Transpose", ["image"], ["moved"], name="transpose", perm=[0, 3, 1, 2])
    cast = helper.make_node("Cast", ["moved"], ["y"], name="cast", to=TensorProto.FLOAT)
    late = model(transpose, cast, inputs={"image": TensorProto.UINT8})
    assert lint(late, for_tensorrt=True) == [
        "Transpose 'transpose' reads uint8 input 'image': TensorRT only casts it; cast first"
    ]
    assert lint(late, for_tensorrt=False) == []


def test_faults_inside_branches_are_found() -> None:
    parts = grid_sample("linear")
    branch = helper.make_graph(
        parts["nodes"], "branch", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    )
    choice = helper.make_node("If", ["yes"], ["z"], name="if", then_branch=branch, else_branch=branch)
    found = lint(model(choice, constants=parts["constants"] | {"yes": np.bool_(True)}), for_tensorrt=False)
    assert len(found) == 2


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["x", "w"], ["y"], name="add")
    file = tmp_path / "toy.onnx"
    onnx.save(
        model(node, constants={"w": np.ones((1, 2, 4, 4), np.float32)}),
        file,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    assert lint(file, for_tensorrt=True) == []
    (tmp_path / "weights.bin").unlink()
    assert lint(file, for_tensorrt=True) == [
        "external data 'weights.bin' is missing beside toy.onnx: keep both files together"
    ]


def test_require_clean_lists_every_fault() -> None:
    nodes, constants = quantised(np.uint8(7))
    with pytest.raises(ExportError, match=r"(?s)would be misread:.*zero point 7.*is unsigned") as caught:
        require_clean(model(*nodes, constants=constants), for_tensorrt=True)
    assert str(caught.value).count("\n  - ") == 4
