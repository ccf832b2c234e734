"""What `edgebs models` says, with and without bundles inside the package."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import edgebs.bundle
from edgebs.bundle import Bundle
from export.models import models_listing


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of shipped bundles, not made yet."""
    folder = tmp_path / "models"
    monkeypatch.setattr(edgebs.bundle, "SHIPPED", folder)
    return folder


def test_a_package_without_models_says_that_nothing_is_trained(package: Path) -> None:
    listing = models_listing()
    assert not package.exists()
    assert listing["shipped"] == {}
    assert {name: facts["trained"] for name, facts in listing["models"].items()} == {
        "bmn-bsn": False,
        "cdn-medal": False,
        "crossnet": False,
        "edge": False,
        "edge-nano": False,
        "edge-small": False,
    }
    flows = {name: facts["trained"] for name, facts in listing["flows"].items()}
    assert flows == {"dis": None, "selflow": False, "net": False}


def test_bundles_in_the_package_are_listed_by_folder_with_what_their_manifests_say(
    package: Path, tiny_bundle: Bundle
) -> None:
    shutil.copytree(tiny_bundle.path, package / "edge-fp32")
    (package / "no-bundle").mkdir()
    (package / "flow-net.safetensors").write_bytes(b"")
    listing = models_listing()
    assert set(listing["shipped"]) == {"edge-fp32"}
    facts = listing["shipped"]["edge-fp32"]
    networks = tiny_bundle.manifest.networks
    assert facts["path"] == str(package / "edge-fp32")
    assert (facts["model"], facts["target"], facts["precision"]) == ("crossnet", "cpu", "fp32")
    assert (facts["size"], facts["history_frames"], facts["trained"]) == ([256, 256], 11, False)
    assert facts["parameters"] == networks["segment"].parameters
    assert facts["bytes"] == sum(int(entry["bytes"]) for entry in tiny_bundle.manifest.files.values()) > 2e6
    assert listing["models"]["edge"]["trained"]
    assert listing["flows"]["net"]["trained"]
