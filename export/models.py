"""The models that can be exported, and a request turned into PyTorch networks with their weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebs.bundle import read_manifest
from edgebs.cues import PRESETS
from edgebs.errors import ExportError
from edgebs.manifest import CueSettings, Manifest, NetworkFacts
from edgebs.shipped import WEIGHTS_PREFIX, weights_file
from edgebs.tensors import TensorSpec

if TYPE_CHECKING:
    from export.graphs import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What `edgebs models` says of a model without building it; a test compares it with the built one."""

    what: str
    parameters: int
    """At its published width."""
    gflop: float
    """A frame at 256x256, a multiply-add counted as two."""
    history_frames: int
    """Frames before the first full answer."""

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


MODELS = {
    "crossnet": ModelFacts(
        what="HOFAM's CrossNet: two encoders (frame, HOP) and a CmDFF decoder, width 64",
        parameters=173_173_697,
        gflop=84.5,
        history_frames=11,
    ),
    "edge": ModelFacts(
        what="the shipped model: small, for HOP and a median background, trained on rendered scenes",
        parameters=2_256_740,
        gflop=4.00,
        history_frames=11,
    ),
}
FLOWS = {
    "dis": ModelFacts(
        what="OpenCV's DIS flow on the CPU, no network", parameters=0, gflop=0.0, history_frames=11
    ),
    "selflow": ModelFacts(
        what="SelFlow, the paper's flow network, three gaps in one graph",
        parameters=4_790_876,
        gflop=45.0,
        history_frames=11,
    ),
    "net": ModelFacts(
        what="our own small flow network, trained on rendered scenes, three gaps in one graph",
        parameters=483_052,
        gflop=4.18,
        history_frames=11,
    ),
}
PRECISIONS = ("fp32", "fp16", "int8")
RANDOM = "random"
SHIPPED_WEIGHTS = "shipped"
DEFAULTS: Mapping[str, Any] = {"intervals": (1, 5, 10), "max_magnitude": 20.0, "nominal_fps": 25.0}
"""Of the cue, where weights do not say what they were trained with."""
FLOW_NET = WEIGHTS_PREFIX + "flow-net.safetensors"
"""Where the weights of `--flow net` come from, unless others are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """Which networks to build. The defaults are the paper's, but for `norm`: batch folds away."""

    model: str = "crossnet"
    weights: str = ""
    """A safetensors file, "random", or "shipped"; "" for shipped where the model has such, else random."""
    flow: str = "dis"
    flow_weights: str = ""
    """As `weights`, of the flow network."""
    seed: int = 0
    """Of random weights."""
    width: int = 64
    """Channels of CrossNet's first stage."""
    norm: str = "batch"
    warp: str = "grid_sample"
    """SelFlow's warp: grid_sample, or the published one."""
    size: tuple[int, int] = (256, 256)
    """(H, W) at which the networks run."""
    intervals: tuple[int, ...] | None = None
    """Frames between the inputs of each flow. None, here and below: what the weights were trained with where
    they say so, else the default of `DEFAULTS`."""
    max_magnitude: float | None = None
    """Pixels of flow that saturate the cue."""
    nominal_fps: float | None = None
    """Frames/s that the intervals are meant for."""
    dis_preset: str = ""
    """Of DIS flow; "" for the weights' own, or the one that suits the model: fine for edge, else fast."""
    threshold: float | None = None
    """Foreground probability of a mask's pixel; None for the shipped model's own, or 0.5."""

    def __post_init__(self) -> None:
        """Raise ExportError for what no network can be, before the first of 173 million weights is made."""
        _require_known("model", self.model, MODELS)
        _require_known("flow", self.flow, FLOWS)
        from export.crossnet import NORMS, check_size
        from export.edgenet import check_edge_size
        from export.selflow import WARPS

        _require_known("norm", self.norm, NORMS)
        _require_known("warp", self.warp, WARPS)
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ExportError(f"--threshold must be a probability from 0 to 1, got {self.threshold}.")
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
        _require_known("DIS preset", self.preset, PRESETS)
        (check_edge_size if self.model == "edge" else check_size)(self.size)
        if self.model == "edge" and self.flow != "dis":
            raise ExportError(
                f"edge was trained on the flow of OpenCV's DIS; it cannot take that of '{self.flow}'. "
                "Leave --flow out."
            )
        try:
            _ = self.cue
        except ValueError as cause:
            raise ExportError(f"{cause}. Correct the option of that name.") from cause

    @property
    def weights_origin(self) -> str:
        """`weights` decided: random, a file's path, or `shipped:` and the model's name."""
        shipped = WEIGHTS_PREFIX + self.model
        if self.weights == SHIPPED_WEIGHTS or (not self.weights and weights_file(shipped).is_file()):
            return shipped
        return self.weights or RANDOM

    @property
    def flow_weights_origin(self) -> str:
        """As `weights_origin`, of the flow network."""
        if self.flow_weights in ("", SHIPPED_WEIGHTS) and self._ships_flow:
            return FLOW_NET
        return self.flow_weights or RANDOM

    @property
    def _ships_flow(self) -> bool:
        return self.flow == "net" and weights_file(FLOW_NET).is_file()

    @property
    def mask_threshold(self) -> float:
        """`threshold` decided."""
        if self.threshold is not None:
            return self.threshold
        return 0.5 if self.shipped is None else self.shipped.threshold

    @property
    def shipped(self) -> Manifest | None:
        """That of the shipped bundle whose weights these are; None for others."""
        origin = self.weights_origin
        return read_manifest(weights_file(origin).parent) if origin.startswith(WEIGHTS_PREFIX) else None

    @property
    def trained_cue(self) -> dict[str, Any]:
        """The cue's settings that the weights were trained with, by the names of CueSettings: what they say.

        Raises WeightsError for weights of another network.
        """
        from export.weights import cue_numbers, trained_cue

        if self.weights_origin == RANDOM:
            return {}
        if self.shipped is not None:
            return cue_numbers(self.shipped.cue)
        return trained_cue(Path(self.weights_origin), self.model)

    @property
    def given_cue(self) -> dict[str, Any]:
        """The cue's settings that are not left to the weights, by the names of CueSettings."""
        given = {
            "intervals": self.intervals,
            "max_magnitude": self.max_magnitude,
            "nominal_fps": self.nominal_fps,
            "preset": self.dis_preset or None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def require_trained_cue(self) -> None:
        """Raise ExportError where the cue is not the one that the weights were trained with."""
        trained = self.trained_cue
        for name, value in self.given_cue.items():
            if name in trained and trained[name] != value and (name != "preset" or self.flow == "dis"):
                option = "--dis-preset" if name == "preset" else f"--{name.replace('_', '-')}"
                raise ExportError(
                    f"{option} {_spoken(value)} contradicts the weights {self.weights_origin}, which were "
                    f"trained with {_spoken(trained[name])}. Leave {option} out, or train weights for it."
                )

    @property
    def preset(self) -> str:
        """The DIS preset."""
        trained = self.trained_cue.get("preset")
        return self.dis_preset or trained or ("fine" if self.model == "edge" else "fast")

    @property
    def cue(self) -> CueSettings:
        """The cue as the manifest describes it."""
        return CueSettings(
            kind="hop-background" if self.model == "edge" else "hop",
            provider=self.flow,
            **{
                **DEFAULTS,
                **self.trained_cue,
                **self.given_cue,
                "preset": self.preset if self.flow == "dis" else "",
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOrigin:
    """What the manifest says of a network, whatever file it becomes."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    description: Mapping[str, Any]
    origin: Mapping[str, Any]
    """Where the weights come from: file or seed, sha256, trained."""
    parameters: int
    gflop: float

    def facts(self, file: str, backend: str, precision: str, compute: str) -> NetworkFacts:
        """The manifest's entry for this network in one file."""
        return NetworkFacts(
            file=file,
            backend=backend,
            precision=precision,
            compute=compute,
            inputs=self.inputs,
            outputs=self.outputs,
            description=self.description,
            weights_sha256=str(self.origin["sha256"]),
            parameters=self.parameters,
            gflop=self.gflop,
        )


def _require_known(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ExportError(f"unknown {kind} '{name}'; known: {', '.join(known)}")


def _spoken(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def build_networks(request: ModelRequest) -> dict[str, Graph]:
    """The request's networks in PyTorch, weights loaded: `segment`, then `cue` where the flow is a network.

    Raises ExportError for a size or setting that a network cannot have, WeightsError for unfit weights.
    """
    from export.description import module_for_weights, module_from_description

    segment: dict[str, Any] = {
        "network": request.model,
        "intervals": len(request.cue.intervals),
        "max_magnitude": request.cue.max_magnitude,
    }
    if request.model == "crossnet":
        segment |= {"width": request.width, "norm": request.norm}
    if request.model == "edge":
        segment |= _edge_form(request)
    wanted = {"segment": (segment, request.weights_origin)}
    if request.flow != "dis":
        wanted["cue"] = (_flow_form(request), request.flow_weights_origin)
    graphs = {
        name: module_from_description(form)
        if origin == RANDOM
        else module_for_weights(form, weights_file(origin))
        for name, (form, origin) in wanted.items()
    }
    for name, graph in graphs.items():
        _load_or_seed(graph, wanted[name][1], request.seed)
    return graphs


def network_origins(request: ModelRequest, graphs: Mapping[str, Graph]) -> dict[str, NetworkOrigin]:
    """What there is to say of each network that `build_networks` built."""
    from export.cost import gflop, parameters
    from export.description import description_of
    from export.weights import weights_sha256

    origins = {}
    for name, graph in graphs.items():
        inputs, outputs = _tensors(name, graph, request)
        weights = request.weights_origin if name == "segment" else request.flow_weights_origin
        is_random = weights == RANDOM
        is_shipped = weights.startswith(WEIGHTS_PREFIX)
        origins[name] = NetworkOrigin(
            inputs=inputs,
            outputs=outputs,
            description=description_of(graph),
            origin={
                "file": None if is_random else weights if is_shipped else str(Path(weights).resolve()),
                "seed": request.seed if is_random else None,
                "trained": not is_random,
                "sha256": weights_sha256(graph.network),
            },
            parameters=parameters(graph),
            gflop=gflop(graph, *_examples(inputs)),
        )
    return origins


def _flow_form(request: ModelRequest) -> dict[str, Any]:
    """The flow network in words; widths and folding of ours are those of its weights."""
    from export.weights import form_of_weights

    network = "flow-net" if request.flow == "net" else request.flow
    origin = request.flow_weights_origin
    own = {} if origin == RANDOM else form_of_weights(weights_file(origin), network)
    form: dict[str, Any] = {"network": network, "intervals": list(request.cue.intervals)}
    if network == "selflow":
        return {**form, "warp": request.warp}
    return {**form, **own, "output": "magnitude"}


def _edge_form(request: ModelRequest) -> dict[str, Any]:
    """Widths, and whether norms are folded: of the weights where they are a file, else the model's own."""
    from export.weights import form_of_weights

    if request.weights_origin == RANDOM:
        return {}
    if request.shipped is None:
        return form_of_weights(Path(request.weights_origin), request.model)
    stored = request.shipped.networks["segment"].description
    return {key: stored[key] for key in ("widths", "folded") if key in stored}


def _load_or_seed(graph: Graph, weights: str, seed: int) -> None:
    from export.weights import init_weights, load_weights

    if weights == RANDOM:
        init_weights(graph.network, seed)
    else:
        load_weights(graph.network, weights_file(weights))


def _tensors(
    name: str, graph: Graph, request: ModelRequest
) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
    height, width = request.size
    frame = TensorSpec((1, height, width, 3), "uint8")
    cue = TensorSpec((1, request.cue.channels, height, width), "float32")
    if name == "segment":
        return {"frame": frame, "cue": cue}, {"probability": TensorSpec((1, height, width), "float32")}
    return dict.fromkeys(graph.input_names, frame), {"cue": cue}


def _examples(inputs: Mapping[str, TensorSpec]) -> list[Any]:
    import torch

    # Counting needs shapes only; "meta" tensors would leave the graphs that mix in real constants behind.
    return [torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in inputs.values()]
