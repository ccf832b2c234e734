"""export/convert/lint.py: every network stays finite on pictures that scenes seldom hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fakes.networks.flow import flow_toy, frames

from edgebs.bundle import read_manifest, reference_bundle
from edgebs.errors import ExportError
from export.convert import lint as hard_pictures
from export.convert.lint import require_finite
from export.external_flow import ExternalFlow
from export.external_flow.sidecar import sidecar_from_json
from export.job.export import export_bundles
from export.job.request import ExportRequest
from export.models.request import ModelRequest

SIDECAR = {"inputs": {"from": "image1", "to": "image2"}, "colour": "rgb", "range": [0, 1], "layout": "nchw"}


def toy_flow(folder: Path, undefined_on: str = "") -> ExternalFlow:
    file = flow_toy(folder / "toy.onnx", undefined_on=undefined_on)
    return ExternalFlow(file, sidecar_from_json(SIDECAR, "toy.json", "toy"), (64, 64), (1, 5, 10))


@pytest.mark.parametrize(
    ("undefined_on", "kind"),
    [
        ("black", "black frames"),
        ("white", "white frames"),
        ("even", "frames of one even grey"),
        ("identical", "two identical frames"),
        ("even area", "frames with an even area"),
    ],
)
def test_the_kind_of_pictures_is_named(
    undefined_on: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = toy_flow(tmp_path, undefined_on)
    with pytest.raises(ExportError, match=r"toy\.onnx gives NaN or infinity on (black|white) frames"):
        flow.write(tmp_path / "cue.onnx", [frames()])
    monkeypatch.setattr(hard_pictures, "PICTURES", {kind: hard_pictures.PICTURES[kind]})
    with pytest.raises(ExportError, match=rf"on {kind}.*Add a small constant \(1e-6\)") as caught:
        flow.write(tmp_path / "cue.onnx", [frames()])
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.onnx"]


def test_a_network_that_is_defined_everywhere_passes(tmp_path: Path) -> None:
    toy_flow(tmp_path).write(tmp_path / "cue.onnx", [frames()])
    require_finite(tmp_path / "cue.onnx", frames(), "toy.onnx", "")


def test_export_refuses_such_a_flow_before_any_bundle_is_written(tmp_path: Path) -> None:
    file = flow_toy(tmp_path / "toy.onnx", size=("H", "W"), batch="N", undefined_on="even")
    (tmp_path / "toy.json").write_text(json.dumps(SIDECAR))
    model = ModelRequest(model="crossnet", width=4, flow=str(file))
    with pytest.raises(
        ExportError, match=r"flow network toy\.onnx gives NaN .*Add a small constant \(1e-6\)"
    ):
        export_bundles(ExportRequest(model=model, out=tmp_path / "out", parity_frames=2))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("model", ["edge", "bmn-bsn", "cdn-medal"])
def test_what_ships_is_finite_on_all_of_them(model: str) -> None:
    folder = reference_bundle(model)
    facts = read_manifest(folder).networks["segment"]
    rng = np.random.default_rng(0)
    like = {
        name: rng.integers(0, 256, spec.shape).astype(np.uint8)
        if spec.dtype == "uint8"
        else rng.uniform(0, 255, spec.shape).astype(np.float32)
        for name, spec in facts.inputs.items()
    }
    require_finite(folder / facts.file, like, model, "")
