"""Which networks to build, with which weights and cue, and the values of everything left open."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebs.bundle import WEIGHTS_PREFIX, read_manifest, reference_bundle, weights_file
from edgebs.bundle.manifest import CueSettings, Manifest
from edgebs.cues.cue import PRESETS
from edgebs.errors import ExportError, OptionError
from export.models import FLOW_NET, FLOWS, HOP, MODELS, ModelFacts

if TYPE_CHECKING:
    from export.external_flow.sidecar import FlowSidecar

PRECISIONS = ("fp32", "fp16", "int8")
RANDOM = "random"
SHIPPED_WEIGHTS = "shipped"
DEFAULTS = HOP
MODELS_OWN = (0, 0)
"""Stands for the model's own size."""
LONGEST_SIDE = 4096
"""Pixels of the networks' frames: the width of 4K video. Longer sides end in failed allocations."""
NETWORK_OPTIONS = ("width", "depth", "norm", "warp")
"""Fields of a request that belong to some networks only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """Which networks to build. The defaults are the paper's, but for `norm`: batch folds away."""

    model: str = "crossnet"
    weights: str = ""
    """A safetensors file, "random", or "shipped"; "" for shipped where the model has such, else random."""
    flow: str = "dis"
    """One of `FLOWS`, or the .onnx file of a flow network."""
    flow_sidecar: Path | None = None
    """JSON file beside that file; None for the file of its name that ends in .json."""
    flow_weights: str = ""
    """As `weights`, of the flow network."""
    seed: int = 0
    """Of random weights."""
    width: int | None = None
    """Channels of the first stage. None, here and below: what the weights say, else the published."""
    depth: int | None = None
    """Poolings of BMN and BSN."""
    norm: str = ""
    """CrossNet's: batch or layer; "" for what the weights say, else batch."""
    warp: str = ""
    """SelFlow's: grid_sample, or the published one; "" for what the weights say, else grid_sample."""
    size: tuple[int, int] = MODELS_OWN
    """(H, W) at which the networks run; (0, 0) becomes the model's own."""
    intervals: tuple[int, ...] | None = None
    """Frames between the inputs of each flow. None, here and below: what the weights were trained with where
    they say so, else the default of `MODELS`."""
    max_magnitude: float | None = None
    """Pixels of flow that saturate the cue."""
    nominal_fps: float | None = None
    """Frames/s that the intervals are meant for."""
    references: int | None = None
    """Frames that the background is computed from."""
    maps: int | None = None
    """Background maps."""
    hold: float | None = None
    """Foreground probability from which the background of a pixel is held; 0 for never."""
    refresh_s: float | None = None
    """Seconds after which the background is computed again."""
    dis_preset: str = ""
    """Of DIS flow; "" for the weights' own, or the one that suits the model: fine for edge, else fast."""
    threshold: float | None = None
    """Foreground probability of a mask's pixel; None for the shipped model's own, or 0.5."""

    def __post_init__(self) -> None:
        """Validate the options before any weights are allocated. Raises ExportError."""
        _require_known("model", self.model, MODELS)
        if not self.has_external_flow:
            _require_known("flow", self.flow, FLOWS)
        from export.networks.crossnet import NORMS
        from export.networks.selflow import WARPS

        _require_known("norm", self.norm or NORMS[0], NORMS)
        _require_known("warp", self.warp or WARPS[0], WARPS)
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise OptionError(f"--threshold must be a probability from 0 to 1, got {self.threshold}.")
        if self.weights == SHIPPED_WEIGHTS and not weights_file(WEIGHTS_PREFIX + self.model).is_file():
            raise ExportError(
                f"no weights are shipped for '{self.model}'. Name a .safetensors file, or use random."
            )
        if self.flow_weights == SHIPPED_WEIGHTS and not self._ships_flow:
            raise ExportError(
                f"no weights are shipped for flow '{self.flow}'. Name a .safetensors file, or use random."
            )
        for weights in (self.weights_origin, self.flow_weights_origin):
            if weights != RANDOM and not weights_file(weights).is_file():
                raise ExportError(f"no weights at {weights}. Name a .safetensors file, or use random.")
        _require_known("DIS preset", self.preset or PRESETS[0], PRESETS)
        if self.size == MODELS_OWN:
            object.__setattr__(self, "size", self.facts.size)
        self._require_size()
        self._require_flow()
        self._require_options_of_networks()
        self._require_options_of_cue()
        try:
            _ = self.cue
        except ValueError as cause:
            raise OptionError(f"{cause}. Correct the option of that name.") from cause

    def _require_size(self) -> None:
        (height, width), multiple = self.size, self.facts.side_multiple
        if any(side < multiple or side % multiple for side in self.size):
            fits = "x".join(str(max(round(side / multiple), 1) * multiple) for side in (width, height))
            raise OptionError(
                f"{self.model} cannot take frames of {width}x{height} (width x height): both sides must be "
                f"multiples of {multiple}, such as {fits}."
            )
        if max(self.size) > LONGEST_SIDE:
            raise ExportError(
                f"{self.model} at {width}x{height} (width x height): networks run on frames with sides of at "
                f"most {LONGEST_SIDE} pixels. Choose a smaller --size; the model's own is "
                f"{self.facts.size[1]}x{self.facts.size[0]}."
            )

    def _require_flow(self) -> None:
        flows = self.facts.flows
        if flows and self.has_external_flow:
            self._require_external_flow()
        elif self.flow_sidecar is not None:
            raise OptionError(f"--flow-sidecar {self.flow_sidecar} goes with --flow FILE.onnx.")
        elif flows and self.flow not in flows:
            raise OptionError(
                f"{self.model} takes the flow of {', '.join(flows)} or of an .onnx file, not that of "
                f"'{self.flow}'. Choose one of them for --flow."
            )
        if not flows and self.flow != "dis":
            raise OptionError(f"{self.model} has no flow: leave --flow {self.flow} out.")

    def _require_external_flow(self) -> None:
        if self.flow_weights:
            raise OptionError(f"{self.flow} holds its own weights: leave --flow-weights out.")
        if not Path(self.flow).is_file():
            raise ExportError(f"no flow network at {self.flow}. Name another file, or {', '.join(FLOWS)}.")
        if self.provider in FLOWS:
            raise ExportError(
                f"{self.flow} calls itself '{self.provider}', which is one of our own flows. Give its "
                "sidecar another 'name'."
            )

    def _require_options_of_networks(self) -> None:
        """Refuse options that no network of this request takes."""
        taken = {option for form in self.facts.networks.values() for option in form.of_request}
        flow = () if self.has_external_flow else FLOWS[self.flow].options
        for name in NETWORK_OPTIONS:
            if getattr(self, name) not in (None, "") and name not in (*taken, *flow):
                option, takers = _option(name), ", ".join(_takers(name))
                raise OptionError(
                    f"{self.model} does not take {option}, which is for {takers}: leave {option} out."
                )
        if self.flow_weights and not self.has_external_flow and not FLOWS[self.flow].network:
            raise OptionError(
                f"flow {self.flow} is no network: leave --flow-weights {self.flow_weights} out."
            )

    def _require_options_of_cue(self) -> None:
        for name, value in self.given_cue.items():
            if self.facts.cue.get(name) in (None, ()):
                raise OptionError(f"{self.model} has no {name} in its cue: leave {_option(name)} out.")
            if name in self.facts.fixed:
                raise OptionError(
                    f"{_option(name)} {_text(value)}: the cue of {self.model} has {name} "
                    f"{self.facts.cue[name]:g}, which no option changes. Leave {_option(name)} out."
                )
        if self.dis_preset and self.flow != "dis":
            raise OptionError(f"--dis-preset is for --flow dis, not {self.flow}: leave --dis-preset out.")
        if self.intervals is not None and len(set(self.intervals)) < len(self.intervals):
            raise OptionError(f"--intervals {_text(self.intervals)} names one twice: each must differ.")

    @property
    def facts(self) -> ModelFacts:
        """Facts of `model`."""
        return MODELS[self.model]

    @property
    def network_names(self) -> tuple[str, ...]:
        """`segment`, then `cue` if a network computes it."""
        flow = ("cue",) if self.has_external_flow or FLOWS[self.flow].network else ()
        return (*self.facts.networks, *flow)

    @property
    def has_external_flow(self) -> bool:
        """Whether `flow` is a file."""
        return self.flow.lower().endswith(".onnx")

    @property
    def sidecar(self) -> FlowSidecar:
        """Sidecar of the file `flow`. Raises ExportError if it is missing or wrong."""
        from export.external_flow.sidecar import read_sidecar

        return read_sidecar(Path(self.flow), self.flow_sidecar)

    @property
    def provider(self) -> str:
        """Name of the flow in the manifest and in the bundle's name."""
        return self.sidecar.name if self.has_external_flow else self.flow

    @property
    def untrained_flow_note(self) -> str:
        """Note for weights that were trained on another flow; "" for others."""
        preset = self.trained_cue.get("preset")
        if not preset or self.provider == "dis":
            return ""
        return (
            f"weights and threshold are of a training on the flow of OpenCV's DIS (preset {preset}), "
            f"not of {self.provider}"
        )

    def origin_of(self, network: str) -> str:
        """`weights_origin` for a network of the model, `flow_weights_origin` for that of the flow."""
        return self.weights_origin if network in self.facts.networks else self.flow_weights_origin

    @property
    def weights_origin(self) -> str:
        """`weights` resolved: random, a file's path, or `shipped:` and the model's name."""
        shipped = WEIGHTS_PREFIX + self.model
        if self.weights == SHIPPED_WEIGHTS or (not self.weights and weights_file(shipped).is_file()):
            return shipped
        return self.weights or RANDOM

    @property
    def flow_weights_origin(self) -> str:
        """`flow_weights` resolved."""
        if self.flow_weights in ("", SHIPPED_WEIGHTS) and self._ships_flow:
            return FLOW_NET
        return self.flow_weights or RANDOM

    @property
    def _ships_flow(self) -> bool:
        return self.flow == "net" and weights_file(FLOW_NET).is_file()

    @property
    def mask_threshold(self) -> float:
        """`threshold` resolved."""
        if self.threshold is not None:
            return self.threshold
        return self.facts.threshold if self.shipped is None else self.shipped.threshold

    @property
    def shipped(self) -> Manifest | None:
        """Manifest of the shipped bundle that holds the weights; None for other weights."""
        origin = self.weights_origin
        return read_manifest(reference_bundle(self.model)) if origin.startswith(WEIGHTS_PREFIX) else None

    @property
    def trained_cue(self) -> dict[str, Any]:
        """Settings of the cue stated by the weights, by names of CueSettings.

        Raises WeightsError for weights of another network.
        """
        from export.models.weights import cue_numbers, trained_cue

        if self.weights_origin == RANDOM:
            return {}
        if self.shipped is not None:
            return cue_numbers(self.shipped.cue)
        return trained_cue(Path(self.weights_origin), self.model)

    @property
    def given_cue(self) -> dict[str, Any]:
        """Settings of the cue that the request states, by names of CueSettings."""
        given = {
            "intervals": self.intervals,
            "max_magnitude": self.max_magnitude,
            "nominal_fps": self.nominal_fps,
            "preset": self.dis_preset or None,
            "references": self.references,
            "maps": self.maps,
            "refresh_s": self.refresh_s,
            "hold": self.hold,
        }
        return {name: value for name, value in given.items() if value is not None}

    def require_trained_cue(self) -> None:
        """Raise OptionError if the request contradicts the cue that the weights were trained with."""
        trained = self.trained_cue
        for name, value in self.given_cue.items():
            if name in trained and trained[name] != value and (name != "preset" or self.flow == "dis"):
                option = _option(name)
                raise OptionError(
                    f"{option} {_text(value)} contradicts the weights {self.weights_origin}, which were "
                    f"trained with {_text(trained[name])}. Leave {option} out, or train weights for it."
                )

    @property
    def preset(self) -> str:
        """The DIS preset; "" if no DIS flow is computed."""
        if self.flow != "dis" or not self.facts.flows:
            return ""
        return str(self.dis_preset or self.trained_cue.get("preset") or self.facts.cue["preset"])

    @property
    def cue(self) -> CueSettings:
        """The cue as the manifest describes it."""
        provider: dict[str, Any] = {"provider": self.provider} if self.facts.flows else {}
        settings = {**self.facts.cue, **self.trained_cue, **self.given_cue, "preset": self.preset}
        return CueSettings(**provider, **settings)


def _require_known(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        option = "" if kind == "model" else f"--{kind.lower().replace(' ', '-')}: "
        raise OptionError(f"{option}unknown {kind} '{name}'; known: {', '.join(known)}")


def _takers(option: str) -> list[str]:
    """The models and flows that take an option of networks."""
    models = [
        name
        for name, facts in MODELS.items()
        if any(option in form.of_request for form in facts.networks.values())
    ]
    return models + [f"--flow {name}" for name, facts in FLOWS.items() if option in facts.options]


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _option(name: str) -> str:
    """The command line's name of a field or of a setting of the cue."""
    return {"preset": "--dis-preset", "refresh_s": "--refresh"}.get(name, f"--{name.replace('_', '-')}")
