"""export/external_flow/__init__.py: HOP around flow networks whose flow is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fakes.networks import onnx_toys
from fakes.networks.flow import SIDE, expected, flow_toy, frames
from fakes.networks.toy_onnx import Graph
from onnx import TensorProto, helper, numpy_helper

import edgebs.backends.onnxruntime
from calib.int8 import int8_from_fp32
from edgebs.errors import ExportError
from edgebs.machine.cpu import cpu_from_text
from edgebs.tensors import Array
from export.convert import open_session
from export.convert.fp16 import fp16_from_fp32
from export.convert.lint import require_clean
from export.external_flow import ExternalFlow, external_flow_from_description
from export.external_flow.sidecar import sidecar_from_json

GAPS = (1, 5, 10)
SIDECAR: dict[str, Any] = {
    "inputs": {"from": "image1", "to": "image2"}, "colour": "rgb", "range": [0, 1],
}  # fmt: skip


def opened(
    file: Path,
    at: tuple[int, int] = (SIDE, SIDE),
    asked: str = "cue",
    without: tuple[str, ...] = (),
    **keys: Any,
) -> ExternalFlow:
    """With the sidecar that fits the plain toy, changed by `keys`."""
    sidecar = {key: value for key, value in {**SIDECAR, **keys}.items() if key not in without}
    return ExternalFlow(file, sidecar_from_json(sidecar, "toy.json", "toy"), at, GAPS, asked)


def edited(file: Path, edit: Callable[[Any], object]) -> Path:
    """The ONNX file with its graph changed in place."""
    model = onnx.load(str(file))
    edit(model)
    onnx.save(model, str(file))
    return file


def cue_of(flow: ExternalFlow, feed: dict[str, Array], tmp_path: Path) -> Array:
    """The output of the written file."""
    file = tmp_path / "hop.onnx"
    flow.write(file, [feed])
    require_clean(file, for_tensorrt=True)
    return np.asarray(open_session(file).run(None, feed)[0])


@pytest.mark.parametrize(
    ("toy", "keys"),
    [
        ({}, {}),
        ({"layout": "nhwc", "white": 255}, {"range": [0, 255]}),
        ({"bgr": True}, {"colour": "bgr"}),
        ({"batch": "N", "size": ("H", "W")}, {}),
        ({"batch": "N", "size": ("H", "W"), "layout": "nhwc"}, {}),
        ({"low": 8}, {}),
        ({"dtype": TensorProto.UINT8, "white": 255}, {"range": [0, 255]}),
        ({"dtype": TensorProto.UINT8, "white": 255, "layout": "nhwc"}, {"range": [0, 255]}),
        ({"opset": 11}, {}),
        ({"opset": 20}, {}),
    ],
    ids=[
        *("plain", "nhwc-255", "bgr", "dynamic", "dynamic-nhwc", "two-outputs"),
        *("uint8", "uint8-nhwc", "opset-11", "opset-20"),
    ],
)  # fmt: skip
def test_magnitudes_are_those_of_the_flow(tmp_path: Path, toy: Any, keys: Any) -> None:
    flow, feed = opened(flow_toy(tmp_path / "toy.onnx", **toy), **keys), frames()
    cue = cue_of(flow, feed, tmp_path)
    np.testing.assert_allclose(cue, expected(feed), atol=1e-4)
    np.testing.assert_allclose(flow.reference().infer(feed)["cue"], expected(feed), atol=1e-4)


def test_the_flow_starts_at_the_present(tmp_path: Path) -> None:
    turned = opened(flow_toy(tmp_path / "toy.onnx"), inputs={"from": "image2", "to": "image1"})
    feed = frames()
    first_and_second_exchanged = [
        np.hypot(8.0 * feed[f"past_{tau}"][0, :, :, 2] / 255, 6.0 * feed["frame"][0, :, :, 0] / 255)
        for tau in GAPS
    ]
    np.testing.assert_allclose(cue_of(turned, feed, tmp_path)[0], first_and_second_exchanged, atol=1e-4)


def test_mean_and_deviation_are_taken_off_by_colour(tmp_path: Path) -> None:
    flow = opened(flow_toy(tmp_path / "toy.onnx"), mean=[0.5, 0.0, 0.25], std=[0.5, 1.0, 0.25])
    feed = frames(pasts=3)
    x = 8 * (feed["frame"][0, :, :, 2] / 255 - 0.5) / 0.5
    y = 6 * (feed["past_5"][0, :, :, 0] / 255 - 0.25) / 0.25
    np.testing.assert_allclose(cue_of(flow, feed, tmp_path)[0, 1], np.hypot(x, y), atol=1e-3)


def test_a_dynamic_batch_takes_all_intervals_at_once_and_a_fixed_one_shares_its_weights(
    tmp_path: Path,
) -> None:
    feed = frames()
    for batch, copies in (("N", 1), (1, 3)):
        flow = opened(flow_toy(tmp_path / "toy.onnx", batch=batch))
        cue_of(flow, feed, tmp_path)
        model = onnx.load(str(tmp_path / "hop.onnx"))
        assert sum(node.op_type == "Conv" for node in model.graph.node) == copies
        assert sum(tensor.name == "network.weights" for tensor in model.graph.initializer) == 1
        assert len({node.name for node in model.graph.node}) == len(model.graph.node)
        assert flow.gflop == pytest.approx(3 * 2 * 2 * 6 * SIDE * SIDE / 1e9)
        assert flow.parameters == 2 * 6 + 2


def test_a_dynamic_batch_that_does_not_work_is_not_used(tmp_path: Path) -> None:
    def mean_over_the_batch(model: Any) -> None:  # right for one pair alone
        model.graph.node[-1].op_type = "ReduceMean"
        model.graph.node[-1].attribute.extend([helper.make_attribute("axes", [0])])

    file = edited(flow_toy(tmp_path / "toy.onnx", batch="N"), mean_over_the_batch)
    assert opened(file).form.batch == 1


@pytest.mark.parametrize(
    ("toy", "size", "keys", "scale"),
    [
        ({}, (SIDE, SIDE), {}, (1, 1)),
        ({}, (SIDE, SIDE), {"scale": 20}, (20, 20)),
        ({}, (SIDE, SIDE), {"scale": [32, -16]}, (32, 16)),
        ({}, (128, 96), {}, (1.5, 2)),
        ({"size": ("H", "W")}, (61, 50), {"multiple": 8}, (1, 1)),
        ({"size": ("H", "W")}, (61, 50), {"multiple": 8, "fit": "resize"}, (50 / 56, 61 / 64)),
        ({"size": ("H", "W")}, (32, 32), {"size": "64x128"}, (0.5, 0.25)),
        ({"low": 8, "full": False}, (SIDE, SIDE), {"scale": 64}, (8, 8)),
        ({"low": 8}, (SIDE, SIDE), {"scale": 64, "output": "flow_low"}, (8, 8)),
    ],
    ids=["1", "unit", "by-axis", "resized", "padded", "resized-multiple", "size", "low", "low-by-name"],
)
def test_a_constant_flow_is_measured_in_pixels_of_the_frames(
    tmp_path: Path, toy: Any, size: tuple[int, int], keys: Any, scale: tuple[float, float]
) -> None:
    file, feed = flow_toy(tmp_path / "toy.onnx", bias=(3, 4), **toy), frames(size)
    cue = cue_of(opened(file, size, **keys), feed, tmp_path)
    assert cue.shape == (1, 3, *size)
    np.testing.assert_allclose(cue, np.hypot(3 * scale[0], 4 * scale[1]), rtol=1e-5)
    vectors = cue_of(opened(file, size, "flow", **keys), feed, tmp_path)
    assert vectors.shape == (1, 6, *size)
    signs = np.sign(np.broadcast_to(keys.get("scale", 1), 2))
    for channel in range(6):
        wanted = (3, 4)[channel % 2] * scale[channel % 2] * signs[channel % 2]
        np.testing.assert_allclose(vectors[0, channel], wanted, rtol=1e-5)


def test_padding_and_resizing_agree_with_the_file_itself_on_pictures(tmp_path: Path) -> None:
    """`write` raises unless they do; so does this, where it did not look."""
    for size, keys in (((61, 50), {"multiple": 8}), ((48, 80), {}), ((128, 128), {})):
        toy = {"size": ("H", "W")} if keys else {}
        flow, feed = opened(flow_toy(tmp_path / "toy.onnx", low=4, **toy), size, **keys), frames(size)
        found, reference = cue_of(flow, feed, tmp_path), flow.reference().infer(feed)["cue"]
        assert reference.std() > 0.5
        np.testing.assert_allclose(found, reference, atol=1e-4)


def test_one_interval_is_enough(tmp_path: Path) -> None:
    sidecar = sidecar_from_json(SIDECAR, "toy.json", "toy")
    feed = frames(pasts=1)
    for output, shape in (("cue", (1, 1, SIDE, SIDE)), ("flow", (1, 2, SIDE, SIDE))):
        flow = ExternalFlow(flow_toy(tmp_path / "toy.onnx"), sidecar, (SIDE, SIDE), (1,), output)
        assert cue_of(flow, feed, tmp_path).shape == shape


def test_external_weights_come_along_and_count_in_the_hash(tmp_path: Path) -> None:
    file = flow_toy(tmp_path / "toy.onnx")
    alone = opened(file).sha256
    model = onnx.load(str(file))
    onnx.save_model(
        model,
        str(file),
        save_as_external_data=True,
        location="toy.bin",
        size_threshold=0,
        convert_attribute=True,
    )
    flow, feed = opened(file), frames()
    np.testing.assert_allclose(cue_of(flow, feed, tmp_path), expected(feed), atol=1e-4)
    changed = bytearray((tmp_path / "toy.bin").read_bytes())
    changed[0] ^= 1
    (tmp_path / "toy.bin").write_bytes(changed)
    assert len({alone, flow.sha256, opened(file).sha256}) == 3


def test_a_manifest_describes_it_again_and_refuses_another_file(tmp_path: Path) -> None:
    file = flow_toy(tmp_path / "toy.onnx", low=8)
    flow = opened(file, (48, 80))
    again = external_flow_from_description(flow.description, file, flow.sha256)
    assert (again.form, again.sha256, again.intervals) == (flow.form, flow.sha256, flow.intervals)
    flow_toy(file, bias=(1, 1))
    with pytest.raises(ExportError, match=r"toy\.onnx is not the flow network that the bundle was made from"):
        external_flow_from_description(flow.description, file, flow.sha256)
    file.unlink()
    with pytest.raises(ExportError, match="is not there any more"):
        external_flow_from_description(flow.description, file, flow.sha256)


@pytest.mark.parametrize(
    ("toy", "keys", "message"),
    [
        ({"channels": 3}, {}, r"gives no flow, .* it has 'flow' \(1, 3, 64, 64\)"),
        ({"channels": 3}, {"output": "flow"}, "'flow' is no output with the two channels of a flow"),
        ({}, {"output": "flux"}, "'flux' is no output"),
        ({}, {"inputs": {"from": "a", "to": "image2"}}, "no input 'a'.* it has 'image1', 'image2'"),
        ({"extra_input": True}, {}, "needs 'iterations' beside two images"),
        ({"batch": 2}, {}, r"'image1' is float \(2, 3, 64, 64\): always 2 pairs"),
        ({"dtype": TensorProto.FLOAT16}, {}, r"toy\.onnx computes in float16\. Give it in float32"),
        ({"dtype": TensorProto.INT32}, {}, r"takes 'image1' int32 .* must be float32"),
        ({"dtype": 117}, {}, r"toy\.onnx"),  # no type of ONNX
        ({"dtype": TensorProto.UINT8}, {"range": [0, 1]}, "takes uint8.*leave 'range'"),
        ({}, {"layout": "nhwc"}, "no images of three colours in nhwc"),
        ({"size": (SIDE, 3)}, {"without": ("layout",)}, "in which order"),
        ({}, {"size": "128x128"}, "fixed at 64x64, its sidecar says 128x128"),
        ({}, {"without": ("range",)}, "Give 'range'"),
        ({"low": 8, "full": False}, {}, "8x8 for frames of 64x64: pixels of which.* 8 if it counts"),
        ({"bias": (float("nan"), 1)}, {}, "gives NaN or infinity in 'flow'"),
        ({"low": 1}, {}, r"which output is the flow.*'flow' .*'flow_low'"),
        ({}, {"at": (96, 80), "fit": "pad"}, "64x64, too small to hold the bundle's of 80x96"),
    ],
)  # fmt: skip
def test_a_network_that_does_not_fit_is_refused(tmp_path: Path, toy: Any, keys: Any, message: str) -> None:
    file = flow_toy(tmp_path / "toy.onnx", **toy)
    with pytest.raises(ExportError, match=message):
        opened(file, **keys)


def test_a_size_that_the_network_cannot_run_names_the_keys(tmp_path: Path) -> None:
    def fixed_shape(model: Any) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.int64([1, 2, 64, 64]), "shape"))
        model.graph.node[-1].CopyFrom(helper.make_node("Reshape", ["planes", "shape"], ["flow"]))

    file = edited(flow_toy(tmp_path / "toy.onnx", size=("H", "W")), fixed_shape)
    with pytest.raises(ExportError, match=r"cannot run 1 pair of frames of 40x40.*'multiple'.*'size'"):
        opened(file, (40, 40))


def test_images_of_another_rank_are_refused(tmp_path: Path) -> None:
    graph, shape = Graph(), [3, 8, 8]
    graph.add("Add", ["image1", "image2"], "flow")
    graph.save(tmp_path / "a.onnx", {"image1": shape, "image2": shape}, {"flow": shape})
    with pytest.raises(ExportError, match=r"input 'image1' is float \(3, 8, 8\); an image"):
        opened(tmp_path / "a.onnx")


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no flow network at .*none\.onnx"):
        opened(tmp_path / "none.onnx")
    file = flow_toy(tmp_path / "toy.onnx")
    whole = file.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(ExportError, match=r"toy\.onnx is no whole ONNX file"):
            opened(file)
    file.write_bytes(whole)
    onnx.save_model(
        onnx.load(str(file)), str(file), save_as_external_data=True, location="toy.bin", size_threshold=0
    )
    (tmp_path / "toy.bin").unlink()
    with pytest.raises(ExportError, match=r"keeps its weights in toy\.bin, missing beside it"):
        opened(file)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [(b"Concat", b"Con at"), (b"planes", b"plaNes"), (b"image2", b"imege2"), (b"weights", b"wEights")],
)
def test_a_file_with_a_wrong_byte_is_refused_in_one_line(tmp_path: Path, wrong: bytes, right: bytes) -> None:
    file = flow_toy(tmp_path / "toy.onnx")
    file.write_bytes(file.read_bytes().replace(wrong, right, 1))
    with pytest.raises(ExportError, match=r"toy\.onnx") as caught:
        opened(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "message"), [("QuickGelu", "is of domain 'com.microsoft'"), ("QuantizeLinear", "quantised")]
)
def test_operators_that_no_engine_runs_are_refused(tmp_path: Path, kind: str, message: str) -> None:
    model = onnx.load(str(flow_toy(tmp_path / "toy.onnx")))
    if kind == "QuickGelu":
        model.graph.node[-1].CopyFrom(helper.make_node(kind, ["planes"], ["flow"], domain="com.microsoft"))
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    else:
        model.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "step"))
        model.graph.node.insert(0, helper.make_node("QuantizeLinear", ["weights", "step"], ["coarse"]))
    onnx.save(model, str(tmp_path / "toy.onnx"))
    with pytest.raises(ExportError, match=message):
        opened(tmp_path / "toy.onnx")


def test_the_grid_samples_of_opset_20_get_their_old_modes(tmp_path: Path) -> None:
    def warped(model: Any) -> None:
        grid = numpy_helper.from_array(np.zeros((1, SIDE, SIDE, 2), np.float32), "grid")
        model.graph.initializer.append(grid)
        warp = helper.make_node("GridSample", ["planes", "grid"], ["flow"], mode="linear")
        model.graph.node[-1].CopyFrom(warp)

    cue_of(opened(edited(flow_toy(tmp_path / "toy.onnx", opset=20), warped)), frames(), tmp_path)
    nodes = onnx.load(str(tmp_path / "hop.onnx")).graph.node
    node = next(node for node in nodes if node.op_type == "GridSample")
    assert next(a.s for a in node.attribute if a.name == "mode") == b"bilinear"


@pytest.mark.parametrize("saturates", [False, True])
def test_it_is_made_fp16_int8_and_a_plan_like_our_own(
    saturates: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if saturates:  # ONNX Runtime's exact sums of INT8 refuse weights that several convolutions share
        avx2 = cpu_from_text("flags : sse4_1 sse4_2 avx avx2 fma\n", {}, machine="x86_64")
        monkeypatch.setattr(edgebs.backends.onnxruntime, "this_cpu", lambda: avx2)
    flow, feeds = (
        opened(flow_toy(tmp_path / "toy.onnx"), (40, 48)),
        [frames((40, 48), seed=n) for n in range(4)],
    )
    fp32 = tmp_path / "fp32.onnx"
    flow.write(fp32, feeds[:1])
    fp16_from_fp32(fp32, tmp_path / "fp16.onnx", feeds)
    int8_from_fp32(fp32, tmp_path / "int8.onnx", feeds, signed=True)
    exact = flow.reference().infer(feeds[0])["cue"]
    for name, limit in (("fp16", 0.02), ("int8", 0.2)):
        file = tmp_path / f"{name}.onnx"
        require_clean(file, for_tensorrt=True)
        error = np.abs(np.asarray(open_session(file).run(None, feeds[0])[0]) - exact)
        assert 0 < error.max() < limit
        assert onnx_toys.sm75_plan(file) > 0
    assert onnx_toys.sm75_plan(fp32) > 0
