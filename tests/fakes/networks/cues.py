"""Pipelines of every kind of cue, with networks of a few lines of numpy that use every bit of the cue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import cv2
import numpy as np

from edgebs.bundle.manifest import CueSettings
from edgebs.cues import open_cue
from edgebs.cues.background_image import BLOCK, band_rows
from edgebs.cues.cue import Cue
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array, Frame, TensorSpec
from fakes.networks.backends import fake_manifest

SIZE = (48, 64)
INTERVALS = (1, 3)


class Toy:
    """A network: its answer is computed by `compute`, and written where the one before it was."""

    description = "toy"

    def __init__(
        self,
        inputs: Mapping[str, TensorSpec],
        outputs: Mapping[str, TensorSpec],
        compute: Callable[[Mapping[str, Array]], Mapping[str, Array]],
    ) -> None:
        self.inputs, self.outputs, self._compute = inputs, outputs, compute
        self._results = {name: np.zeros(spec.shape, np.float32) for name, spec in outputs.items()}
        self.breaks_at = -1
        """The call, from 0, that gives NaN in one place."""
        self._calls = 0

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        for name, spec in self.inputs.items():
            spec.check(name, feed[name])
        for name, found in self._compute(feed).items():
            np.copyto(self._results[name], found)
            if self._calls == self.breaks_at:
                self._results[name].flat[5] = np.nan
        self._calls += 1
        return self._results

    def close(self) -> None:
        """Nothing is held."""


def segment(channels: int) -> Toy:
    """Foreground where a wave over all channels of the cue is high."""

    def wave(feed: Mapping[str, Array]) -> Mapping[str, Array]:
        weights = np.linspace(0.01, 0.07, channels, dtype=np.float32)
        total = np.tensordot(weights, feed["cue"][0], 1) + feed["frame"][0].mean(axis=2) / 64
        return {"probability": (np.sin(total, dtype=np.float32) + 1) / 2}

    inputs = {
        "frame": TensorSpec((1, *SIZE, 3), "uint8"),
        "cue": TensorSpec((1, channels, *SIZE), "float32"),
    }
    return Toy(inputs, {"probability": TensorSpec((1, *SIZE), "float32")}, wave)


def _flow(feed: Mapping[str, Array]) -> Array:
    """(1, 2 K, h, w): differences of grey levels from the pasts, and of blue."""
    frame, *pasts = (feed[name][0].astype(np.float32) for name in ("frame", *_PASTS))
    parts = [part for past in pasts for part in ((frame - past).mean(axis=2), (frame - past)[..., 0])]
    return np.stack(parts)[np.newaxis] / 16


def _background_step(feed: Mapping[str, Array]) -> Mapping[str, Array]:
    frames = feed["frames"][0].astype(np.float32)
    total = frames.mean(axis=(0, 3))
    feature = (total + feed["sums"][0].mean(axis=0)) / 2
    cue = (feature + feed["features"][0].mean(axis=0)) / 2 + frames.std(axis=0).transpose(2, 0, 1)
    return {"cue": cue, "sum": total, "feature": feature}


_PASTS = tuple(f"past_{interval}" for interval in INTERVALS)
_FRAMES = dict.fromkeys(("frame", *_PASTS), TensorSpec((1, *SIZE, 3), "uint8"))
_ROWS = band_rows(SIZE[0])


def cue_network(kind: str) -> Toy | None:
    """The network of a cue of `CUES`; None for DIS."""
    if kind in ("hop-dis", "edge"):
        return None
    if kind == "hop-net":
        spec = TensorSpec((1, len(INTERVALS), *SIZE), "float32")
        return Toy(_FRAMES, {"cue": spec}, lambda feed: {"cue": np.abs(_flow(feed)[:, ::2])})
    if kind == "edge-net":
        spec = TensorSpec((1, 2 * len(INTERVALS), *SIZE), "float32")
        return Toy(_FRAMES, {"flow": spec}, lambda feed: {"flow": _flow(feed)})
    if kind == "bmn-bsn":
        inputs = {"references": TensorSpec((1, 5, *SIZE, 3), "uint8")}
        outputs = {"cue": TensorSpec((1, 2, *SIZE), "float32")}
        return Toy(inputs, outputs, lambda feed: {"cue": _maps(feed["references"][0])})
    inputs = {
        "frames": TensorSpec((1, BLOCK, _ROWS, SIZE[1], 3), "uint8"),
        "sums": TensorSpec((1, 6, _ROWS, SIZE[1]), "float32"),
        "features": TensorSpec((1, 4, _ROWS, SIZE[1]), "float32"),
    }
    band = TensorSpec((1, 1, _ROWS, SIZE[1]), "float32")
    outputs = {"cue": TensorSpec((1, 3, _ROWS, SIZE[1]), "float32"), "sum": band, "feature": band}
    return Toy(inputs, outputs, _background_step)


def _maps(references: Array) -> Array:
    levels = references.astype(np.float32).mean(axis=3)
    return np.stack([levels.mean(axis=0), levels.std(axis=0)])[np.newaxis]


def _settings(kind: str, provider: str, **changes: object) -> CueSettings:
    values: dict[str, object] = {
        "kind": kind, "provider": provider, "intervals": INTERVALS, "max_magnitude": 20.0,
        "nominal_fps": 25.0, "preset": "fine" if provider == "dis" else "",
    }  # fmt: skip
    return CueSettings(**{**values, **changes})  # type: ignore[arg-type]


CUES = {
    "hop-dis": _settings("hop", "dis"),
    "hop-net": _settings("hop", "net"),
    "edge": _settings("hop-background", "dis"),
    "edge-net": _settings("hop-background", "net"),
    "bmn-bsn": _settings(
        "background-maps", "bmn", intervals=(), references=5, maps=2, spacing_s=3.0, refresh_s=2.0
    ),
    "cdn-medal": _settings("background-image", "cdn-gm", intervals=(), references=30, maps=3, spacing_s=0.2),
}
KEEP_BACKGROUNDS = ("edge", "edge-net", "bmn-bsn", "cdn-medal")


def cue_of(kind: str, network: Toy | None = None) -> Cue:
    """A cue of `CUES`. network: instead of its own."""
    return open_cue(CUES[kind], SIZE, network or cue_network(kind))


def toy_pipeline(kind: str, network: Toy | None = None) -> Pipeline:
    """A pipeline with a cue of `CUES`."""
    settings = CUES[kind]
    manifest = fake_manifest(cue=settings, size=SIZE, model=kind)
    return Pipeline(manifest, segment(settings.channels), cue_of(kind, network))


@lru_cache(maxsize=8)
def scene(count: int, seed: int = 0) -> tuple[Frame, ...]:
    """A textured scene with noise, a camera that shakes at times, a block that walks and one that stays."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (18, 22, 3)).astype(np.uint8)
    large = cv2.resize(coarse, (88, 72), interpolation=cv2.INTER_CUBIC)
    frames = []
    for t in range(count):
        picture = large.copy()
        if t > count // 3:
            picture[20:32, 20:30] = (20, 200, 40)
        left = 12 + t % 60
        picture[40:52, left : left + 10] = (200, 30, 90)
        right, down = (rng.integers(-2, 3, 2) if t % 7 == 3 else (0, 0)) + np.array([10, 10])
        view = picture[down : down + SIZE[0], right : right + SIZE[1]]
        noisy = view + rng.normal(0, 2, view.shape)
        frames.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return tuple(frames)
