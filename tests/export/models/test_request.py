"""Networks are exported with the cue that they were trained with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import edgebs.bundle
from edgebs.bundle.manifest import CleanupSettings, CueSettings
from edgebs.errors import CalibrationError, ExportError, OptionError
from export.job.request import ExportRequest
from export.models import MODELS
from export.models.build import build_networks, description_of, network_form
from export.models.request import ModelRequest
from export.models.weights import save_weights
from export.networks.edge import EdgeGraph, EdgeNet

WIDTHS = (4, 4, 6, 6, 6, 6)
TRAINED = CueSettings(
    kind="hop-background", provider="dis", intervals=(2, 7), max_magnitude=10.0, nominal_fps=30.0,
    preset="medium",
)  # fmt: skip


def weights(tmp_path: Path, magnitude: float = 10.0, intervals: int = 2, **header: Any) -> Path:
    """Of an edge trained with `magnitude`."""
    graph = EdgeGraph(EdgeNet(WIDTHS, intervals), magnitude)
    file = tmp_path / "trained.safetensors"
    save_weights(graph.network, file, {**description_of(graph), **header})
    return file


def test_the_cue_is_the_one_that_the_weights_were_trained_with(tmp_path: Path) -> None:
    request = ModelRequest(model="edge", weights=str(weights(tmp_path, cue=TRAINED.to_json())))
    assert request.cue == TRAINED
    graph = build_networks(request)["segment"]
    assert (graph.max_magnitude, graph.network.intervals) == (10.0, 2)


def test_weights_of_before_say_their_largest_magnitude_and_the_rest_is_default(tmp_path: Path) -> None:
    request = ModelRequest(model="edge", weights=str(weights(tmp_path, intervals=3)))
    assert request.cue == CueSettings(
        kind="hop-background", provider="dis", intervals=(1, 5, 10), max_magnitude=10.0, nominal_fps=25.0,
        preset="fine", hold=0.6,
    )  # fmt: skip
    assert build_networks(request)["segment"].max_magnitude == 10.0


def test_random_weights_take_what_is_given_and_else_the_paper() -> None:
    assert ModelRequest(width=1).cue == CueSettings(
        kind="hop", provider="dis", intervals=(1, 5, 10), max_magnitude=20.0, nominal_fps=25.0, preset="fast"
    )
    cue = ModelRequest(width=1, intervals=(3,), max_magnitude=5.0, nominal_fps=50.0, dis_preset="medium").cue
    assert (cue.intervals, cue.max_magnitude, cue.nominal_fps, cue.preset) == ((3,), 5.0, 50.0, "medium")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_magnitude": 20.0}, r"--max-magnitude 20\.0 contradicts .*trained with 10\.0\. Leave"),
        ({"intervals": (1, 5)}, r"--intervals 1,5 contradicts .*trained with 2,7\."),
        ({"nominal_fps": 25.0}, r"--nominal-fps 25\.0 contradicts .*trained with 30\.0\."),
        ({"dis_preset": "fine"}, r"--dis-preset fine contradicts .*trained with medium\."),
    ],
)
def test_an_option_that_contradicts_the_training_is_refused(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    file = str(weights(tmp_path, cue=TRAINED.to_json()))
    with pytest.raises(ExportError, match=message):
        ExportRequest(model=ModelRequest(model="edge", weights=file, **given), out=tmp_path)


def test_options_that_agree_with_the_training_may_be_given(tmp_path: Path) -> None:
    file = str(weights(tmp_path, cue=TRAINED.to_json()))
    model = ModelRequest(
        model="edge", weights=file, intervals=(2, 7), max_magnitude=10, nominal_fps=30, dis_preset="medium"
    )
    assert ExportRequest(model=model, out=tmp_path).model.cue == TRAINED


class ShippedManifest:
    """As much of a shipped bundle as a request looks at."""

    cue, threshold, cleanup = TRAINED, 0.35, CleanupSettings(speck_px=40, hole_px=60)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package ships edge."""
    monkeypatch.setattr(edgebs.bundle, "SHIPPED", tmp_path)
    (tmp_path / "edge-fp32").mkdir()
    (tmp_path / "edge-fp32" / "segment.onnx").touch()
    monkeypatch.setattr("export.models.request.read_manifest", lambda _path: ShippedManifest)


@pytest.mark.usefixtures("shipped")
def test_shipped_weights_bring_cue_threshold_and_clean_up_of_their_bundle(tmp_path: Path) -> None:
    model = ModelRequest(model="edge")
    request = ExportRequest(model=model, out=tmp_path)
    assert (model.cue, model.mask_threshold) == (TRAINED, 0.35)
    assert request.cleanup == CleanupSettings(speck_px=40, hole_px=60)
    given = ExportRequest(model=model, out=tmp_path, speck_px=0)
    assert given.cleanup == CleanupSettings(speck_px=0, hole_px=60)
    with pytest.raises(ExportError, match="--max-magnitude 20 contradicts the weights shipped:edge"):
        ExportRequest(model=ModelRequest(model="edge", max_magnitude=20), out=tmp_path)


def test_other_weights_are_cleaned_of_nothing_unless_asked(tmp_path: Path) -> None:
    model = ModelRequest(width=1)
    assert ExportRequest(model=model, out=tmp_path).cleanup == CleanupSettings()
    assert ExportRequest(model=model, out=tmp_path, hole_px=9).cleanup == CleanupSettings(hole_px=9)


@pytest.mark.parametrize("threshold", [float("nan"), -0.1, 1.5])
def test_a_threshold_that_is_no_probability_is_refused(threshold: float) -> None:
    with pytest.raises(ExportError, match="--threshold must be a probability"):
        ModelRequest(width=1, threshold=threshold)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.0])
@pytest.mark.parametrize("name", ["max_magnitude", "nominal_fps"])
def test_a_cue_of_numbers_that_are_none_is_refused(name: str, number: float) -> None:
    with pytest.raises(ExportError, match="must be numbers above 0"):
        ModelRequest(width=1, **{name: number})


def test_a_calibration_set_in_a_folder_called_rendered_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = ModelRequest(model="edge", weights="random")
    assert ExportRequest(model=model, out=tmp_path, calibration="rendered").calibrates_on_scenes
    (tmp_path / "rendered").mkdir()
    (tmp_path / "rendered" / "calibration.json").touch()
    with pytest.raises(CalibrationError, match=r"--calib rendered means rendered scenes.*\./rendered"):
        ExportRequest(model=model, out=tmp_path, calibration="rendered")
    for folder in ("./rendered", Path("rendered")):
        assert not ExportRequest(model=model, out=tmp_path, calibration=folder).calibrates_on_scenes


FAMILY = "edge edge-small edge-nano"
OPTIONS: dict[str, tuple[str, Any, str]] = {
    "width": ("--width", 3, "crossnet bmn-bsn"),
    "depth": ("--depth", 2, "bmn-bsn"),
    "norm": ("--norm", "layer", "crossnet"),
    "warp": ("--warp", "published", "selflow"),
    "maps": ("--maps", 5, "bmn-bsn"),
    "references": ("--references", 9, "bmn-bsn"),
    "hold": ("--hold", 0.4, FAMILY),
    "refresh_s": ("--refresh", 3.0, "bmn-bsn"),
    "intervals": ("--intervals", (2, 4), f"crossnet {FAMILY}"),
    "max_magnitude": ("--max-magnitude", 7.0, f"crossnet {FAMILY}"),
    "nominal_fps": ("--nominal-fps", 10.0, f"crossnet {FAMILY} bmn-bsn cdn-medal"),
    "dis_preset": ("--dis-preset", "medium", "dis"),
}
"""Of each option a value, and the models or flows that take it."""
NETWORKS = [(model, flow) for model, facts in MODELS.items() for flow in facts.flows or ("",)]


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(("model", "flow"), NETWORKS)
def test_an_option_changes_the_networks_or_the_cue_or_is_refused(model: str, flow: str, name: str) -> None:
    option, value, takers = OPTIONS[name]
    chosen = {"model": model, "weights": "random", **({"flow": flow} if flow else {})}

    def built(**given: Any) -> tuple[CueSettings, list[dict[str, Any]]]:
        request = ModelRequest(**chosen, **given)
        return request.cue, [network_form(request, network) for network in request.network_names]

    if {model, flow} & set(takers.split()):
        assert built(**{name: value}) != built()
    else:
        with pytest.raises(OptionError, match=rf"(?i)leave {option} out") as caught:
            built(**{name: value})
        assert {model, flow} & set(re.findall(r"[\w-]+", str(caught.value)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "edge", "width": 8}, r"edge does not take --width, which is for crossnet, bmn-bsn: leave"),
        ({"model": "edge", "warp": "published"}, "edge does not take --warp, which is for --flow selflow"),
        ({"model": "bmn-bsn", "flow": "net"}, "bmn-bsn has no flow: leave --flow net out"),
        ({"model": "cdn-medal", "references": 9}, r"--references 9: the cue of cdn-medal has references 245"),
        ({"model": "edge", "flow_sidecar": Path("a.json")}, "goes with --flow FILE.onnx"),
    ],
)
def test_a_refusal_names_what_is_allowed(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ModelRequest(**given)


@pytest.mark.parametrize(("model", "flow"), NETWORKS)
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_flow_precision_is_that_of_the_cue_network_or_refused(
    model: str, flow: str, precision: str, tmp_path: Path
) -> None:
    networks = ModelRequest(model=model, weights="random", **({"flow": flow} if flow else {}))
    has_network = flow not in ("dis",)
    if has_network and (precision == "fp16" or flow):
        request = ExportRequest(
            model=networks, flow_precision=precision, out=tmp_path, calibration=tmp_path / "set"
        )
        assert request.precision_of("cue", "fp32") == precision
        return
    message = "does not quantise the network of its cue" if has_network else "has no network for its cue"
    with pytest.raises(OptionError, match=f"{model}.*{message}|{message}") as caught:
        ExportRequest(model=networks, flow_precision=precision, out=tmp_path)
    assert "--flow-precision" in str(caught.value)


def test_options_of_what_a_request_has_not_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no network for its cue: leave --flow-precision out"):
        ExportRequest(model=ModelRequest(model="edge"), flow_precision="fp16", out=tmp_path)
    with pytest.raises(OptionError, match="not for FP32: leave --compute out"):
        ExportRequest(model=ModelRequest(model="edge"), compute="bf16", out=tmp_path)
    file = tmp_path / "flow.safetensors"
    file.touch()
    for model in ("edge", "bmn-bsn"):
        with pytest.raises(OptionError, match="flow dis is no network: leave --flow-weights"):
            ModelRequest(model=model, flow_weights=str(file))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((0, 64), "both sides must be multiples of 64"),
        ((64, 100), r"64.*such as 128x64|100x64"),
        ((-64, -64), "both sides must be multiples of 64"),
        ((64, 99968), "99968x64 .*sides of at most 4096 pixels"),
    ],
)
def test_sizes_that_a_network_cannot_take_are_refused(size: tuple[int, int], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        ModelRequest(model="edge", size=size)


def test_an_interval_named_twice_is_refused() -> None:
    with pytest.raises(ExportError, match="--intervals 1,5,1 names one twice"):
        ModelRequest(model="crossnet", width=1, intervals=(1, 5, 1))
