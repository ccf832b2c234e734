"""Trained weights become the bundles of the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import bench.parity
import edgebs.bundle
import export.job
import export.release.ship
from edgebs.bundle import bundle_path, verify_files
from edgebs.errors import ExportError
from edgebs.loading import load, load_bundle
from export.models.build import build_networks, description_of
from export.models.reference import torch_modules
from export.models.request import ModelRequest
from export.models.weights import init_weights, save_weights, weights_sha256
from export.networks.edge import EdgeGraph, EdgeNet
from export.release.ship import last_as_good_as_the_best, ship, ship_again

WIDTHS = (4, 4, 6, 6, 6, 6)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small edge that pretends to be trained."""
    graph = EdgeGraph(EdgeNet(WIDTHS), 20.0).eval()
    init_weights(graph.network, 5)
    file = tmp_path_factory.mktemp("run") / "best.safetensors"
    save_weights(graph.network, file, {**description_of(graph), "training": {"step": 7, "seed": 21}})
    return file


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """Both bundles, shipped into a folder of the tests."""
    out = tmp_path_factory.mktemp("package") / "models"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export.release.ship, "THRESHOLD_SEQUENCES", 2)
        patch.setattr(export.job, "SCENE_SAMPLES", 8)
        patch.setattr(bench.parity, "INT8_DELTA_F", 1.0)  # random weights fail it
        assert [bundle.path for bundle in ship(weights, out)] == [out / "edge", out / "edge-fp32"]
    return out


def test_the_threshold_is_the_last_that_cannot_be_told_from_the_best() -> None:
    best = np.array([0.5, 0.9, 0.6, 0.8])
    noise = np.array([0.02, -0.02, 0.02, -0.02])  # of standard error 0.01
    curves = np.stack([best - 0.3, best, best - 0.009 + noise, best - 0.011 + noise], axis=1)
    assert last_as_good_as_the_best(curves) == 2
    assert last_as_good_as_the_best(curves[:, :2]) == 1
    assert last_as_good_as_the_best(curves[:1]) == 2


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, placed: Path) -> Path:
    """The package ships those."""
    monkeypatch.setattr(edgebs.bundle, "SHIPPED", placed)
    return placed


def test_both_bundles_are_shipped_by_name_and_say_where_their_weights_are(shipped: Path) -> None:
    assert {path.name for path in shipped.iterdir()} == {"edge", "edge-fp32"}
    for name, precision in (("edge", "int8"), ("edge-fp32", "fp32")):
        manifest = load_bundle(shipped / name).manifest
        assert (manifest.name, manifest.precision, manifest.trained) == (name, precision, True)
        assert manifest.weights["segment"]["file"] == "shipped:edge"
        assert manifest.weights["segment"]["training"] == {"step": 7, "seed": 21}
        assert 0 < manifest.threshold < 1
        assert manifest.parity is not None
        assert str(shipped.parent) not in json.dumps(manifest.to_json())


def test_the_int8_bundle_is_made_anew_from_the_shipped_weights(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.parity, "INT8_DELTA_F", 1.0)
    monkeypatch.setattr(export.job, "SCENE_SAMPLES", 2)
    copy = shutil.copytree(shipped, tmp_path / "models")
    before = load_bundle(copy / "edge").manifest
    after = ship_again("edge", copy).manifest
    assert (after.name, after.threshold, after.cleanup) == ("edge", before.threshold, before.cleanup)
    assert after.weights == before.weights
    assert after.networks["segment"].weight_bits == 7
    assert (copy / "edge" / "segment.onnx").read_bytes() != (shipped / "edge" / "segment.onnx").read_bytes()


def test_an_int8_bundle_of_other_weights_is_not_replaced(shipped: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(shipped, tmp_path / "models")
    manifest = json.loads((copy / "edge" / "manifest.json").read_text())
    manifest["networks"]["segment"]["weights_sha256"] = "0" * 64
    (copy / "edge" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match="the shipped weights of edge are not those of its bundle edge"):
        ship_again("edge", copy)


def test_the_shipped_weights_are_the_default_of_export_and_of_the_pytorch_reference(shipped: Path) -> None:
    manifest = load_bundle(shipped / "edge").manifest
    request = ModelRequest(model="edge")
    assert request.weights_origin == "shipped:edge"
    assert request.mask_threshold == manifest.threshold
    graph = build_networks(request)["segment"]
    assert weights_sha256(graph.network) == manifest.networks["segment"].weights_sha256
    assert weights_sha256(torch_modules(manifest)["segment"].network) == weights_sha256(graph.network)


def test_a_shipped_model_loads_by_name(shipped: Path, street_video: Path) -> None:
    assert shipped.is_dir()
    with load("edge") as pipeline:
        results = list(pipeline.run(street_video, frames=3))
    assert len(results) == 3


def test_a_folder_of_the_same_name_does_not_hide_the_shipped_model(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edge").mkdir()
    assert bundle_path("edge") == shipped / "edge"
    shutil.rmtree(tmp_path / "edge")
    shutil.copytree(shipped / "edge-fp32", tmp_path / "edge")
    assert bundle_path("edge") == Path("edge")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_weights(EdgeNet(WIDTHS), file, {"network": "crossnet"})
    with pytest.raises(ExportError, match="holds weights of crossnet, not of edge"):
        ship(file, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_bundles_too_large_for_the_package_are_not_placed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: Path, placed: Path
) -> None:
    copies = tmp_path / "copies"
    shutil.copytree(placed, copies)
    monkeypatch.setattr(export.release.ship, "best_threshold", lambda *_: 0.5)
    made = [verify_files(copies / name) for name in ("edge", "edge-fp32")]
    monkeypatch.setattr(export.release.ship, "export_bundles", lambda *_: made)
    monkeypatch.setattr(export.release.ship, "LARGEST_BYTES", 1000)
    with pytest.raises(ExportError, match="room for 1000"):
        ship(weights, tmp_path / "models")
    assert not (tmp_path / "models").exists()
