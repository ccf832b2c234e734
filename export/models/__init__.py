"""Which models there are, their weights and descriptions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebs.bundle import FIGURES, WEIGHTS_PREFIX, read_manifest, shipped_models, weights_file

HOP: Mapping[str, Any] = {"intervals": (1, 5, 10), "max_magnitude": 20.0, "nominal_fps": 25.0}
"""Cue settings of flow for weights that do not state theirs."""
HOLD = 0.6
"""Foreground probability from which edge's background is held (docs/decisions/0011)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkForm:
    """The sources of a network's description, beside its weights."""

    network: str
    """One of export.models.build.NETWORKS."""
    of_cue: tuple[str, ...] = ()
    """Settings of the cue that it contains."""
    of_request: tuple[str, ...] = ()
    """Options of the request that it contains, if they are given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What differs between models; a test compares these facts with the built networks."""

    what: str
    parameters: int
    """Of all its own networks, at the published width."""
    gflop: float
    """Per frame at `size`, a multiply-add counted as two, without a background that is computed seldom."""
    size: tuple[int, int]
    """(H, W) at which the networks run, unless an option sets another."""
    side_multiple: int
    """Both sides must be multiples of it."""
    cue: Mapping[str, Any]
    """Default settings of the cue, by names of CueSettings; weights and options override them."""
    fixed: tuple[str, ...] = ()
    """Settings of `cue` that no option changes: the networks are built for them, or do not use them."""
    networks: Mapping[str, NetworkForm]
    """`segment`, and `cue` if a network of the model computes it."""
    flows: tuple[str, ...] = ()
    """Keys of `FLOWS` that may compute the flow, beside an external network; none for cues without flow."""
    takes_vectors: bool = False
    """Whether the cue network returns flow vectors, from which the camera's shake is subtracted."""
    threshold: float = 0.5
    """Foreground probability of a mask's pixel."""
    is_trained_on_scenes: bool = False
    """Whether it is trained on rendered scenes alone: such scenes then calibrate and judge it."""
    quantised: tuple[str, ...] = ("segment", "cue")
    """Networks that INT8 narrows; the others stay FP32, where INT8 costs F or is no faster. Empty: none."""
    trained_as: str = ""
    """One of export.models.build.NETWORKS: the trained network, if it is not `segment` alone."""

    @property
    def history_frames(self) -> int:
        """Frames before the first full answer."""
        longest, references = max(self.cue["intervals"], default=0), self.cue.get("references", 0)
        return int(max(longest + 1, references))


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFacts:
    """Facts of a flow."""

    what: str
    network: str = ""
    """One of export.models.build.NETWORKS; "" for none."""
    parameters: int = 0
    gflop: float = 0.0
    """Three flows at `size`."""
    size: tuple[int, int] = (256, 256)
    history_frames: int = max(HOP["intervals"]) + 1
    options: tuple[str, ...] = ()
    """Options of the request that belong to it."""
    form: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of its description."""


def _edge_facts(name: str, what: str, *, parameters: int, gflop: float) -> ModelFacts:
    """Of a model of the family `edge`: one cue, one kind of training."""
    return ModelFacts(
        what=what,
        parameters=parameters,
        gflop=gflop,
        size=(256, 256),
        side_multiple=64,
        cue={"kind": "hop-background", "preset": "fine", "hold": HOLD, **HOP},
        networks={"segment": NetworkForm(network=name, of_cue=("intervals", "max_magnitude"))},
        flows=("dis", "net"),
        takes_vectors=True,
        is_trained_on_scenes=True,
    )


MODELS: Mapping[str, ModelFacts] = {
    "crossnet": ModelFacts(
        what="HOFAM's CrossNet: two encoders (frame, HOP) and a CmDFF decoder, width 64",
        parameters=173_173_697,
        gflop=84.5,
        size=(256, 256),
        side_multiple=256,
        cue={"kind": "hop", "preset": "fast", **HOP},
        networks={
            "segment": NetworkForm(
                network="crossnet", of_cue=("intervals", "max_magnitude"), of_request=("width", "norm")
            )
        },
        flows=("dis", "selflow", "net"),
    ),
    "edge": _edge_facts(
        "edge",
        "the shipped model: small, for HOP and a median background, trained on rendered scenes",
        parameters=2_256_740,
        gflop=4.00,
    ),
    "edge-small": _edge_facts(
        "edge-small",
        "as edge, with one encoder and narrower: for boxes with several cameras",
        parameters=976_468,
        gflop=1.38,
    ),
    "edge-nano": _edge_facts(
        "edge-nano",
        "as edge-small, narrower still, masks in cells of 4x4 pixels: the fastest",
        parameters=586_128,
        gflop=0.63,
    ),
    "bmn-bsn": ModelFacts(
        what="BMN-BSN: a U-Net makes maps of the background, another compares a frame with them; width 64",
        parameters=62_097_102,
        gflop=113.96,
        size=(240, 320),
        side_multiple=16,
        cue={
            "kind": "background-maps",
            "provider": "bmn",
            "intervals": (),
            "max_magnitude": 1.0,
            "nominal_fps": 25.0,
            "references": 16,
            "maps": 12,
            "spacing_s": 11.25,
            "refresh_s": 10.0,
        },
        fixed=("max_magnitude",),
        networks={
            "segment": NetworkForm(network="bsn", of_cue=("maps",), of_request=("width", "depth")),
            "cue": NetworkForm(network="bmn", of_cue=("references", "maps"), of_request=("width", "depth")),
        },
        is_trained_on_scenes=True,
        trained_as="bmn-bsn",
        # Maps in INT8 change F by up to .028 (pedestrians); they are computed once in ten seconds.
        quantised=("segment",),
    ),
    "cdn-medal": ModelFacts(
        what="CDN-MEDAL-net: CDN-GM makes a background image of 245 frames, MEDAL-net compares it with one",
        parameters=3_510,
        gflop=0.26,
        size=(240, 320),
        side_multiple=4,
        cue={
            "kind": "background-image",
            "provider": "cdn-gm",
            "intervals": (),
            "max_magnitude": 255.0,
            "nominal_fps": 25.0,
            "references": 245,
            "maps": 3,
        },
        fixed=("max_magnitude", "references", "maps"),
        networks={"segment": NetworkForm(network="medal-net"), "cue": NetworkForm(network="cdn-gm")},
        threshold=0.3,
        is_trained_on_scenes=True,
        trained_as="cdn-medal",
        # INT8 loses .03 of F (pedestrians), gains an eighth of the time with VNNI and loses a fifth without.
        quantised=(),
    ),
}
FLOWS: Mapping[str, FlowFacts] = {
    "dis": FlowFacts(what="OpenCV's DIS flow on the CPU, no network"),
    "selflow": FlowFacts(
        what="SelFlow, the paper's flow network, three gaps in one graph",
        network="selflow",
        parameters=4_790_876,
        gflop=45.0,
        options=("warp",),
    ),
    "net": FlowFacts(
        what="our own small flow network, trained on rendered scenes, three gaps in one graph",
        network="flow-net",
        parameters=483_052,
        gflop=4.18,
        form={"output": "magnitude"},
    ),
}


FAMILY = ("edge", "edge-small", "edge-nano")
"""Models of one cue and one kind of training, the most expensive first."""
CPUS = {"avx2": "AVX2", "vnni": "VNNI"}
"""Kinds of CPU in figures.json, as people call them."""


def take_when(measured: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """JSON values by model of `FAMILY` that was measured, best F first: `when` to take it, and its figures.

    measured: by shipped bundle, as in figures.json. The words follow from the figures: a later model is
    compared with the one before it, and is worth taking only where it is faster.
    """
    known = [name for name in FAMILY if name in measured]
    found: dict[str, dict[str, Any]] = {}
    better: list[str] = []
    for name in sorted(known, key=lambda name: -measured[name]["F"]):
        found[name] = {"when": _when(measured, name, better), **measured[name]}
        if not better or _speed_ups(measured, name, better[-1]):
            better.append(name)
    return found


def _when(measured: Mapping[str, Any], name: str, better: Sequence[str]) -> str:
    """better: the models worth taking that have a higher F, the fastest last."""
    if not better:
        return "if it keeps up with your cameras: it has the highest F"
    before = better[-1]
    lower = f"F is lower by {measured[before]['F'] - measured[name]['F']:.3f}"
    if not measured[name]["fps"].keys() & measured[before]["fps"].keys():
        return f"unknown: its speed was not measured, and {lower} than that of {before}"
    faster = _speed_ups(measured, name, before)
    if not faster:
        return f"never: {before} is as fast, and {lower}"
    ratios = ", ".join(f"{ratio:.1f} times its frames/s on {CPUS[kind]}" for kind, ratio in faster.items())
    return f"if {before} does not keep up: {ratios}; {lower}"


def _speed_ups(measured: Mapping[str, Any], name: str, before: str) -> dict[str, float]:
    """Frames/s of a model in multiples of another's, by kind of CPU; only where it is faster."""
    own, other = measured[name]["fps"], measured[before]["fps"]
    ratios = {kind: own[kind]["fps"] / other[kind]["fps"] for kind in CPUS if kind in own and kind in other}
    return {kind: ratio for kind, ratio in ratios.items() if ratio > FASTER}


FASTER = 1.05
"""Ratio of two measured speeds below which they count as equal: repeats differ by some percent."""


def models_listing() -> dict[str, Any]:
    """JSON values by name under `models`, `flows`, `shipped` and `take_when`.

    `trained`: whether the package holds trained weights; null without a network. `measured`: F and frames per
    second of a shipped bundle, null where there is no record (export/release/figures.py). `take_when`: see
    there. Raises BundleError for a shipped bundle that cannot be read.
    """
    measured = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.is_file() else {}
    shipped = shipped_models()
    flow_weights = {"dis": None, "net": weights_file(FLOW_NET).is_file()}
    return {
        "models": {
            name: _entry(facts, weights_file(WEIGHTS_PREFIX + name).is_file())
            for name, facts in MODELS.items()
        },
        "flows": {name: _entry(facts, flow_weights.get(name, False)) for name, facts in FLOWS.items()},
        "shipped": {
            name: {**_shipped(path), "measured": measured.get(name)} for name, path in shipped.items()
        },
        "take_when": take_when({name: facts for name, facts in measured.items() if name in shipped}),
    }


def _entry(facts: ModelFacts | FlowFacts, trained: bool | None) -> dict[str, Any]:
    return {
        "what": facts.what,
        "parameters": facts.parameters,
        "gflop": facts.gflop,
        "size": list(facts.size),
        "history_frames": facts.history_frames,
        "trained": trained,
    }


def _shipped(path: Path) -> dict[str, Any]:
    manifest = read_manifest(path)
    networks = manifest.networks
    # A background that is computed seldom costs nothing on most frames.
    each_frame = [
        facts for name, facts in networks.items() if name == "segment" or not manifest.cue.refresh_s
    ]
    return {
        "path": str(path),
        "model": manifest.model,
        "target": manifest.target,
        "precision": manifest.precision,
        "size": list(manifest.size),
        "parameters": sum(facts.parameters for facts in networks.values()),
        "gflop": round(sum(facts.gflop for facts in each_frame), 2),
        "history_frames": manifest.cue.history_frames,
        "trained": manifest.trained,
        "bytes": sum(int(entry["bytes"]) for entry in manifest.files.values()),
    }


FLOW_NET = WEIGHTS_PREFIX + "flow-net.safetensors"
"""Default weights of `--flow net`."""
