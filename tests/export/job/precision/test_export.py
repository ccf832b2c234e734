"""`--precision auto` from the request to the bundle: CrossNet at width 4."""

from __future__ import annotations

import json

import pytest

import edgebs
import export.feeds.judges
import export.job
from bench.parity import judge
from calib.frames.make import make_calibration_set
from edgebs.bundle import verify_files
from edgebs.errors import CalibrationError, ExportError, ParityError
from edgebs.loading import load_bundle
from export.job.export import export_bundles
from export.job.request import ExportRequest
from export.models.request import ModelRequest


def request(out, **changes):
    model = ModelRequest(width=4, **changes.pop("model", {}))
    return ExportRequest(model=model, out=out, parity_frames=3, precisions=("auto",), **changes)


@pytest.fixture(scope="module")
def calibration(street_video, tmp_path_factory):
    out = tmp_path_factory.mktemp("calibration") / "set"
    make_calibration_set([street_video], out, frames=4)
    return out


def test_on_a_cpu_the_engines_are_timed_and_the_manifest_says_why(tmp_path, calibration, street_video):
    (bundle,) = export_bundles(request(tmp_path, calibration=calibration))
    assert [path.name for path in tmp_path.iterdir()] == ["crossnet-dis-cpu-auto"]
    manifest = load_bundle(bundle.path).manifest
    why = manifest.choice
    assert why["by"] == "times measured in turns, and parity"
    times = why["networks"]["segment"]["times_ms"]
    assert set(times) == {"int8", "fp16"}
    assert min(times.values()) > 0
    chosen = why["networks"]["segment"]["chosen"]
    assert manifest.precision == manifest.networks["segment"].precision == chosen
    assert (manifest.calibration is not None) is (chosen == "int8")
    with edgebs.load(bundle.path) as pipeline:
        assert len(list(pipeline.run(street_video, frames=2))) == 2


def test_a_plan_for_another_machine_is_chosen_by_parity_alone_and_layers_go_back(
    tmp_path, calibration, monkeypatch
):
    """INT8 as NNCF gives it is made to overflow, and to hold once layers went back."""
    pytest.importorskip("tensorrt_rtx")
    judged = []

    def strict_once(manifest, levels, task):
        judged.append(manifest.precision)
        if judged == ["int8"]:
            raise ParityError("frame 0: the network gives NaN")
        return {**judge(manifest, levels, task), "passed": True, "enforced": True}

    monkeypatch.setattr(export.job, "judge", strict_once)
    lines = []
    (bundle,) = export_bundles(request(tmp_path, calibration=calibration, target="sm75"), log=lines.append)
    manifest = verify_files(bundle.path).manifest
    why = manifest.choice["networks"]["segment"]
    assert manifest.choice["by"].startswith("parity alone")
    assert why["times_ms"] is None
    assert why["chosen"] == "int8"
    assert why["layers_in_floating_point"]
    assert [entry["passed"] for entry in manifest.choice["tried"]] == [False, True]
    assert judged == ["int8", "int8"]  # as NNCF gives it, and with layers back
    assert manifest.parity["passed"]
    assert any("layers in floating point" in line for line in lines)
    assert manifest.build["compute_capability"] == "7.5"
    assert json.loads((bundle.path / "manifest.json").read_text())["choice"] == manifest.choice


def test_auto_needs_a_calibration_set_and_the_flows_precision_to_itself(tmp_path, calibration):
    with pytest.raises(CalibrationError, match="edgebs calibrate VIDEO"):
        request(tmp_path)
    with pytest.raises(ExportError, match="leave --flow-precision out"):
        request(tmp_path, calibration=calibration, flow_precision="fp16")


def test_where_int8_of_a_flow_network_costs_too_much_it_stays_in_fp16(tmp_path, monkeypatch):
    """The segmenter's layers are tried first; masks cannot judge flow vectors by themselves."""
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(export.job, "SCENE_SAMPLES", 2)
    monkeypatch.setattr(export.feeds.judges, "SEQUENCES", 1)
    monkeypatch.setattr(export.feeds.judges, "CASES", 2)

    def strict(manifest, levels, task):
        passed = manifest.networks["cue"].precision == "fp16"
        return {**judge(manifest, levels, task), "passed": passed, "enforced": True}

    monkeypatch.setattr(export.job, "judge", strict)
    model = ModelRequest(model="edge", flow="net", size=(128, 128))
    wanted = ExportRequest(model=model, target="sm75", out=tmp_path, parity_frames=2, precisions=("auto",))
    (bundle,) = export_bundles(wanted)
    manifest = verify_files(bundle.path).manifest
    assert {name: facts.precision for name, facts in manifest.networks.items()}["cue"] == "fp16"
    assert [entry["passed"] for entry in manifest.choice["tried"]][-1]
    assert not manifest.choice["networks"]["cue"]["layers_in_floating_point"]
