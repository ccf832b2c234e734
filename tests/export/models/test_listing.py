"""What `edgebs models` says, with and without bundles inside the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import edgebs.bundle
from edgebs.bundle import FIGURES, Bundle
from export.models import FAMILY, models_listing, take_when


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
    assert listing["take_when"] == {}
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


def measured(f: float, **fps: float) -> dict[str, Any]:
    speeds = {kind: {"fps": value, "cpu": f"cpu with {kind}"} for kind, value in fps.items()}
    return {"F": f, "sequences": 9, "fps": speeds}


def test_each_model_of_the_family_has_words_and_the_figures_that_they_follow_from() -> None:
    facts = {
        "edge": measured(0.9, avx2=20.0, vnni=50.0),
        "edge-small": measured(0.88, avx2=50.0, vnni=51.0),
        "edge-nano": measured(0.85, avx2=100.0, vnni=102.0),
        "bmn-bsn": measured(0.95, avx2=999.0),
    }
    found = take_when(facts)
    assert {name: said["when"] for name, said in found.items()} == {
        "edge": "if it keeps up with your cameras: it has the highest F",
        "edge-small": "if edge does not keep up: 2.5 times its frames/s on AVX2; F is lower by 0.020",
        "edge-nano": "if edge-small does not keep up: 2.0 times its frames/s on AVX2, "
        "2.0 times its frames/s on VNNI; F is lower by 0.030",
    }
    assert all({key: said[key] for key in facts[name]} == facts[name] for name, said in found.items())


def test_a_model_that_is_neither_better_nor_faster_is_never_to_be_taken() -> None:
    found = take_when(
        {
            "edge": measured(0.8, avx2=20.0),
            "edge-small": measured(0.9, avx2=40.0),
            "edge-nano": measured(0.7, avx2=80.0),
        }
    )
    assert list(found) == ["edge-small", "edge", "edge-nano"]
    assert found["edge"]["when"] == "never: edge-small is as fast, and F is lower by 0.100"
    # Compared with the last one that is worth taking.
    assert found["edge-nano"]["when"].startswith("if edge-small does not keep up: 2.0 times")


def test_a_speed_that_was_not_measured_is_not_judged() -> None:
    found = take_when({"edge": measured(0.9, vnni=20.0), "edge-nano": measured(0.8, avx2=90.0)})
    assert found["edge-nano"]["when"] == (
        "unknown: its speed was not measured, and F is lower by 0.100 than that of edge"
    )


def test_the_package_says_of_every_model_of_the_family_when_to_take_it() -> None:
    held = json.loads(FIGURES.read_text(encoding="utf-8"))
    listed = models_listing()["take_when"]
    assert set(listed) == set(FAMILY)
    assert all({key: listed[name][key] for key in held[name]} == held[name] for name in FAMILY)
