"""`manifest.json` of a bundle as values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from edgebs.bundle.kinds import CUE_KINDS, CueKind, runs_plans
from edgebs.errors import BundleError
from edgebs.tensors import TensorSpec

FORMAT_VERSION = 1
LONGEST_SIDE = 16_384
"""Of a network's frame, in pixels."""
MOST_CHANNELS = 4096
"""Of a cue's background."""
COMPUTE = ("f32", "bf16")
_UNKNOWN = CueKind(word="", uses_flow=False)
"""Of a newer edgebs: its manifest can be read and shown."""


EXACT_WEIGHT_BITS = 7
"""Of INT8 weights: a pair of products, 2 * 255 * 64, is then below 2^15, where x86 without VNNI saturates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFacts:
    """One network of a bundle: its file, how it runs, and how PyTorch builds it again."""

    file: str
    """File name inside the bundle."""
    backend: str
    """One of edgebs.bundle.kinds.Runtime."""
    precision: str
    """Of the file: fp32, fp16 or int8."""
    compute: str = "f32"
    """Arithmetic of what the file leaves in floating point: f32, or bf16 (OpenVINO only)."""
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    description: Mapping[str, Any]
    """What export.models.build needs to build the PyTorch network again."""
    weights_sha256: str
    parameters: int
    gflop: float
    """Per frame, a multiply-add counted as two."""
    weight_bits: int | None = None
    """Of INT8 weights; with `EXACT_WEIGHT_BITS` no sum saturates on any CPU. None for other precisions and
    in older bundles."""

    def __post_init__(self) -> None:
        if self.compute not in COMPUTE:
            raise ValueError(f"compute must be one of {', '.join(COMPUTE)}, got {self.compute!r}")

    @property
    def is_plan(self) -> bool:
        """Whether the file is a TensorRT plan."""
        return runs_plans(self.backend)

    def to_json(self) -> dict[str, Any]:
        """The form written into manifest.json."""
        return {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "inputs": {name: spec.to_json() for name, spec in self.inputs.items()},
            "outputs": {name: spec.to_json() for name, spec in self.outputs.items()},
            "description": dict(self.description),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NetworkFacts:
        """The inverse of `to_json`."""
        return cls(
            file=str(data["file"]),
            backend=str(data["backend"]),
            precision=str(data["precision"]),
            compute=str(data["compute"]),
            inputs={name: TensorSpec.from_json(spec) for name, spec in data["inputs"].items()},
            outputs={name: TensorSpec.from_json(spec) for name, spec in data["outputs"].items()},
            description=dict(data["description"]),
            weights_sha256=str(data["weights_sha256"]),
            parameters=int(data["parameters"]),
            gflop=float(data["gflop"]),
            weight_bits=None if data.get("weight_bits") is None else int(data["weight_bits"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CueSettings:
    """How the cue is computed from past frames."""

    kind: str
    """`hop`: flow magnitudes over several intervals (docs/networks.md, 2). `hop-background`: those without
    the camera's shake, and two median backgrounds (edgebs.cues.hop_background). `background-maps`:
    what a network makes of chosen frames (edgebs.cues.background_maps). `background-image`: what a network
    makes of each pixel's last values."""
    provider: str
    """`dis` (OpenCV on the CPU), or the name of the network that computes the cue."""
    intervals: tuple[int, ...]
    """Frames between the two inputs of each flow, at `nominal_fps`; the order of the cue's channels. Empty
    where there is no flow."""
    max_magnitude: float
    """What saturates the cue: pixels of flow at network size, grey levels of an image, 1 of maps."""
    nominal_fps: float
    """Frame rate that the intervals are meant for; a source with time stamps is read by time."""
    preset: str = ""
    """DIS preset: one of edgebs.cues.cue.PRESETS, such as fine; "" where the flow is a network's."""
    maps: int = 0
    """Channels of the background: 12 maps, or the 3 colours of an image; 0 without such a background."""
    references: int = 0
    """Frames that the background is computed from."""
    spacing_s: float = 0.0
    """Seconds between two of them, at most; 0 for consecutive frames."""
    refresh_s: float = 0.0
    """Seconds after which the background is computed again; 0 for every frame."""
    hold: float = 0.0
    """Foreground probability above which the background of a pixel is kept as it was (edgebs.cues.held); 0
    where every frame counts in full."""

    def __post_init__(self) -> None:
        if any(interval < 1 for interval in self.intervals) or (self.traits.uses_flow and not self.intervals):
            raise ValueError(f"intervals must be frame counts of at least 1, got {self.intervals}")
        if min(self.maps, self.references) < 0 or not (self.intervals or self.maps * self.references):
            raise ValueError(
                "without intervals, maps and references must be at least 1, "
                f"got {self.maps}, {self.references}"
            )
        if self.maps > MOST_CHANNELS:
            raise ValueError(f"maps must be at most {MOST_CHANNELS}, got {self.maps}")
        if not all(0 <= seconds < math.inf for seconds in (self.spacing_s, self.refresh_s)):
            raise ValueError(
                f"spacing_s and refresh_s must be seconds from 0, got {self.spacing_s}, {self.refresh_s}"
            )
        if not 0 <= self.hold < 1 or (self.hold and not self.traits.has_two_backgrounds):
            raise ValueError(
                f"hold must be a probability from 0 to below 1, and 0 for a cue {self.kind}, got {self.hold}"
            )
        if not all(0 < number < math.inf for number in (self.max_magnitude, self.nominal_fps)):
            raise ValueError(
                "max_magnitude and nominal_fps must be numbers above 0, "
                f"got {self.max_magnitude}, {self.nominal_fps}"
            )

    @property
    def traits(self) -> CueKind:
        """What follows from `kind`."""
        return CUE_KINDS.get(self.kind, _UNKNOWN)

    @property
    def channels(self) -> int:
        """Channels of the cue tensor."""
        return len(self.intervals) + self.traits.extra_channels + self.maps

    @property
    def history_frames(self) -> int:
        """Frames before the first full answer, at least."""
        return max(max(self.intervals, default=0) + 1, self.references)

    def to_json(self) -> dict[str, Any]:
        """The form written into manifest.json; what came later is left out at its default, as before."""
        data = {**asdict(self), "intervals": list(self.intervals)}
        return {name: value for name, value in data.items() if value or name not in _LATER}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CueSettings:
        """The inverse of `to_json`."""
        return cls(
            kind=str(data["kind"]),
            provider=str(data["provider"]),
            intervals=tuple(int(interval) for interval in data["intervals"]),
            max_magnitude=float(data["max_magnitude"]),
            nominal_fps=float(data["nominal_fps"]),
            preset=str(data["preset"]),
            **{name: number(data[name]) for name, number in _LATER.items() if name in data},
        )


_LATER: Mapping[str, Callable[[Any], Any]] = {
    "maps": int,
    "references": int,
    "spacing_s": float,
    "refresh_s": float,
    "hold": float,
}
"""Fields of `CueSettings` that older manifests lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanupSettings:
    """What is too small to be meant in a mask: areas in pixels of the camera's picture, 0 is off."""

    speck_px: int = 0
    """Foreground regions of fewer pixels are removed."""
    hole_px: int = 0
    """Background regions of fewer pixels are filled."""

    def __post_init__(self) -> None:
        if self.speck_px < 0 or self.hole_px < 0:
            raise ValueError(
                f"speck_px and hole_px are areas of at least 0, got {self.speck_px}, {self.hole_px}"
            )

    @property
    def is_on(self) -> bool:
        """Whether there is anything to do."""
        return max(self.speck_px, self.hole_px) > 1

    def to_json(self) -> dict[str, int]:
        """The form written into manifest.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> CleanupSettings:
        """The inverse of `to_json`; off for a manifest of before clean-up."""
        data = data or {}
        return cls(speck_px=int(data.get("speck_px", 0)), hole_px=int(data.get("hole_px", 0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A bundle's contents and origin."""

    name: str
    model: str
    target: str
    precision: str
    size: tuple[int, int]
    """(H, W) at which the networks run."""
    threshold: float
    """Foreground probability above which a pixel is foreground."""
    cue: CueSettings
    networks: Mapping[str, NetworkFacts]
    """`segment`, and `cue` unless OpenCV computes it."""
    weights: Mapping[str, Any]
    """Per network: source, seed or file, sha256, trained."""
    cleanup: CleanupSettings = CleanupSettings()
    """What is removed from masks and filled in them."""
    calibration: Mapping[str, Any] | None = None
    tools: Mapping[str, str] = field(default_factory=dict)
    build: Mapping[str, Any] | None = None
    """What a plan was built with: TensorRT module and version, compute capability, GPU name."""
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """sha256 and bytes of every file."""
    parity: Mapping[str, Any] | None = None
    choice: Mapping[str, Any] | None = None
    """Why each network has its precision, where `auto` chose it (export.job.precision)."""
    created: str = ""

    def __post_init__(self) -> None:
        if "segment" not in self.networks:
            raise ValueError("there is no network called segment")
        if not all(1 <= side <= LONGEST_SIDE for side in self.size):
            raise ValueError(f"size must be sides from 1 to {LONGEST_SIDE} pixels, got {self.size}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must be a probability from 0 to 1, got {self.threshold}")
        if self.networks.keys() - self.weights.keys():
            raise ValueError("a network's weights are not described")

    @property
    def trained(self) -> bool:
        """Whether every network has trained weights: reports say "untrained" otherwise."""
        return all(bool(entry["trained"]) for entry in self.weights.values())

    @property
    def runs_on_device(self) -> bool:
        """Whether the segmentation network is a TensorRT plan, so that frames stay on the GPU."""
        return self.networks["segment"].is_plan

    def to_json(self) -> dict[str, Any]:
        """The whole of manifest.json."""
        return {
            "format": FORMAT_VERSION,
            "name": self.name,
            "model": self.model,
            "target": self.target,
            "precision": self.precision,
            "size": list(self.size),
            "threshold": self.threshold,
            "cleanup": self.cleanup.to_json(),
            "trained": self.trained,
            "cue": self.cue.to_json(),
            "networks": {name: network.to_json() for name, network in self.networks.items()},
            "weights": {name: dict(entry) for name, entry in self.weights.items()},
            "calibration": self.calibration,
            "tools": dict(self.tools),
            "build": self.build,
            "files": {name: dict(entry) for name, entry in self.files.items()},
            "parity": self.parity,
            **({} if self.choice is None else {"choice": self.choice}),
            "created": self.created,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], where: str) -> Manifest:
        """Values from a parsed manifest.json. Raises BundleError naming `where` and the key at fault."""
        if data.get("format") != FORMAT_VERSION:
            tools = data.get("tools")
            writer = tools.get("edgebs", "version unknown") if isinstance(tools, dict) else "version unknown"
            raise BundleError(
                f"{where} has format version {data.get('format')!r}; this edgebs reads {FORMAT_VERSION}. "
                f"Export the bundle again with this version, or install the edgebs that wrote it ({writer})."
            )
        try:
            height, width = data["size"]
            return cls(
                name=str(data["name"]),
                model=str(data["model"]),
                target=str(data["target"]),
                precision=str(data["precision"]),
                size=(int(height), int(width)),
                threshold=float(data["threshold"]),
                cleanup=CleanupSettings.from_json(_object_or_none(data.get("cleanup"))),
                cue=CueSettings.from_json(data["cue"]),
                networks={name: NetworkFacts.from_json(facts) for name, facts in data["networks"].items()},
                weights={name: _object(entry, "trained") for name, entry in data["weights"].items()},
                calibration=_object_or_none(data["calibration"]),
                tools={str(tool): str(version) for tool, version in data["tools"].items()},
                build=_object_or_none(data["build"]),
                files={name: _object(facts, "sha256", "bytes") for name, facts in data["files"].items()},
                parity=_object_or_none(data["parity"]),
                choice=_object_or_none(data.get("choice")),
                created=str(data["created"]),
            )
        except KeyError as cause:
            raise BundleError(f"{where} lacks the key {cause}. Export the bundle again.") from cause
        except (TypeError, ValueError, AttributeError, OverflowError) as cause:
            raise BundleError(f"{where} is damaged: {cause}. Export the bundle again.") from cause


def _object(data: Any, *keys: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise TypeError(f"expected an object, got {data!r:.60}")
    for key in keys:
        data[key]
    return data


def _object_or_none(data: Any) -> dict[str, Any] | None:
    return None if data is None else _object(data)
