"""From an external flow network, and from our own, to bundles that run and pass parity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.networks.flow import flow_toy

import edgebs
from bench.parity import bundle_parity
from bench.scenes.clip import ClipOptions, clip_video
from bench.tables import bundle_table
from calib.frames.make import make_calibration_set
from edgebs.bundle import Bundle
from edgebs.cli import main
from edgebs.errors import ExportError
from edgebs.loading import load_bundle
from export.job.export import export_bundles
from export.job.request import ExportRequest
from export.models.reference import TorchReference, cuda_baselines
from export.models.request import ModelRequest

SIDECAR = {"inputs": {"from": "image1", "to": "image2"}, "colour": "rgb", "range": [0, 1], "multiple": 8}


def toy(folder: Path, sidecar: dict[str, Any] | None = None, **changes: Any) -> Path:
    file = flow_toy(folder / "toy.onnx", **{"size": ("H", "W"), "batch": "N", **changes})
    (folder / "toy.json").write_text(json.dumps({**SIDECAR, **(sidecar or {})}))
    return file


def crossnet(file: Path, **changes: Any) -> ModelRequest:
    return ModelRequest(**{"model": "crossnet", "width": 4, "flow": str(file), **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("toy")


@pytest.fixture(scope="module")
def bundles(street_video: Path, folder: Path) -> dict[str, Bundle]:
    make_calibration_set([street_video], folder / "calibration", frames=4)
    request = ExportRequest(
        model=crossnet(toy(folder)), out=folder / "out", precisions=("fp32", "fp16", "int8"),
        calibration=folder / "calibration", parity_frames=3,
    )  # fmt: skip
    return {bundle.manifest.precision: bundle for bundle in export_bundles(request)}


def test_a_bundle_a_precision_named_after_the_flow(bundles: dict[str, Bundle]) -> None:
    assert {bundle.path.name for bundle in bundles.values()} == {
        f"crossnet-toy-cpu-{precision}" for precision in ("fp32", "fp16", "int8")
    }


def test_the_file_is_part_of_the_bundles_identity(bundles: dict[str, Bundle], folder: Path) -> None:
    manifest = load_bundle(bundles["fp32"].path).manifest
    assert manifest.cue.provider == "toy"
    origin, facts = manifest.weights["cue"], manifest.networks["cue"]
    assert origin["file"] == str(folder / "toy.onnx")
    assert origin["trained"]
    assert len(origin["sha256"]) == 64
    assert facts.weights_sha256 == origin["sha256"]
    assert origin["check"]["epe_px"] > origin["check"]["still_epe_px"] > 1  # red and blue are no flow
    assert facts.description["reference"] == "ONNX Runtime FP32 of toy.onnx"
    assert facts.description["sidecar"]["multiple"] == 8
    assert (facts.parameters, facts.gflop) == (14, pytest.approx(3 * 2 * 12 * 256 * 256 / 1e9))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_its_parity_holds_against_the_file_itself(
    bundles: dict[str, Bundle], precision: str, street_video: Path
) -> None:
    assert bundles[precision].manifest.parity["passed"]
    result = bundle_parity(bundles[precision].path, TorchReference(), source=street_video, frames=2)
    assert result["passed"]
    assert result["networks"]["cue"]["cosine"] > 0.9999
    assert result["reference"]["cue"].endswith("toy.onnx as it came")


def test_every_precision_runs(bundles: dict[str, Bundle], street_video: Path) -> None:
    for bundle in bundles.values():
        with edgebs.load(bundle.path) as pipeline:
            assert len(list(pipeline.run(street_video, frames=3))) == 3


def test_pytorch_on_a_gpu_is_no_baseline_of_it(
    bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert cuda_baselines(bundles["fp32"].manifest) == {}
    assert "its flow network is an ONNX file" in caplog.text


def test_a_changed_file_is_refused_by_parity(bundles: dict[str, Bundle], folder: Path) -> None:
    file = folder / "toy.onnx"
    whole = file.read_bytes()
    flow_toy(file, bias=(1, 1), size=("H", "W"))
    with pytest.raises(ExportError, match=r"toy\.onnx is not the flow network that the bundle was made from"):
        bundle_parity(bundles["fp32"].path, TorchReference(), frames=1)
    file.write_bytes(whole)


def test_a_plan_is_built_of_it(tmp_path: Path, street_video: Path) -> None:
    request = ExportRequest(
        model=crossnet(toy(tmp_path, layout="nhwc", size=(64, 64), batch=1)), out=tmp_path / "out",
        target="sm75", precisions=("fp16",), source=street_video, parity_frames=2,
    )  # fmt: skip
    (bundle,) = export_bundles(request)
    assert set(bundle.manifest.files) == {"segment.plan", "cue.plan"}


def test_untrained_flow_makes_an_untrained_bundle(tmp_path: Path, street_video: Path) -> None:
    file = toy(tmp_path, {"trained": False, "name": "noise"})
    request = ExportRequest(
        model=crossnet(file), out=tmp_path, target="onnx", source=street_video, parity_frames=2
    )
    (bundle,) = export_bundles(request)
    assert bundle.path.name == "crossnet-noise-onnx-fp32"
    assert not bundle.manifest.weights["cue"]["trained"]
    assert "check" not in bundle.manifest.weights["cue"]


def test_a_bad_file_or_sidecar_leaves_nothing_behind(tmp_path: Path) -> None:
    file = toy(tmp_path, channels=3)
    with pytest.raises(ExportError, match="gives no flow"):
        export_bundles(ExportRequest(model=crossnet(file), out=tmp_path / "out"))
    assert not list((tmp_path / "out").glob("*"))
    with pytest.raises(ExportError, match="unknown key 'color'"):
        crossnet(toy(tmp_path, {"color": "rgb"}))
    (tmp_path / "toy.json").unlink()
    with pytest.raises(ExportError, match="no sidecar at"):
        crossnet(file)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"calls itself 'net', which is one of our own"):
        crossnet(toy(tmp_path, {"name": "net"}))
    with pytest.raises(ExportError, match="leave --flow-weights out"):
        crossnet(toy(tmp_path), flow_weights="random")
    with pytest.raises(ExportError, match=r"no flow network at .*none\.onnx"):
        crossnet(tmp_path / "none.onnx")
    with pytest.raises(ExportError, match=r"--flow-sidecar .* goes with --flow FILE\.onnx"):
        ModelRequest(flow="dis", flow_sidecar=tmp_path / "toy.json")


@pytest.mark.parametrize("flow", ["net", "toy"])
def test_edge_takes_the_vectors_of_a_network(tmp_path: Path, flow: str) -> None:
    """The street is still but for what moves, in this one people and cars near enough: edge finds that."""
    street_video = tmp_path / "street.avi"
    clip_video(ClipOptions(size=(120, 160), frames=30, seed=8), street_video)
    given = str(toy(tmp_path)) if flow == "toy" else flow
    model = ModelRequest(model="edge", flow=given, size=(128, 128))
    assert "on the flow of OpenCV's DIS (preset fine)" in model.untrained_flow_note
    request = ExportRequest(model=model, out=tmp_path / "out", source=street_video, parity_frames=4)
    (bundle,) = export_bundles(request)
    manifest = load_bundle(bundle.path).manifest
    assert manifest.networks["cue"].outputs["flow"].shape == (1, 6, 128, 128)
    assert manifest.threshold == ModelRequest(model="edge").mask_threshold
    assert manifest.parity["passed"]
    assert "of OpenCV's DIS" in manifest.weights["segment"]["note"]
    _, column = bundle_table(manifest.to_json()).columns
    assert any("not of" in str(cell) for cell in column.cells)
    with edgebs.load(bundle.path) as pipeline:
        results = list(pipeline.run(street_video, frames=20))
    assert 0 < np.mean([result.mask.mean() / 255 for result in results[12:]]) < 0.5


def test_edge_takes_no_flow_without_vectors() -> None:
    with pytest.raises(ExportError, match=r"edge takes the flow of dis, net or of an \.onnx file"):
        ModelRequest(model="edge", flow="selflow")


def test_the_command_line_reads_the_sidecar_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_text("{}")
    command = ["export", "crossnet", "--flow", str(toy(tmp_path)), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["edgebs", *command, "--flow-sidecar", str(tmp_path / "bad.json")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert "bad.json: 'inputs' is missing; give" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
