"""Samples of a segmenter with a background image: rendered scenes with the cue of the runtime.

A scene is watched from its start or has been for the whole series. Of a long past only every seventh frame is
rendered, and shown seven times: the camera's noise, which the network averages anyway, is all that differs.
Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.scenes.bank import PictureBank
from bench.scenes.scene import Scene
from edgebs.backends import open_backend
from edgebs.bundle.manifest import CueSettings
from edgebs.cues.background_image import BLOCK, BackgroundImage
from edgebs.tensors import Array
from export.training.samples import picture_bank
from export.training.samples.scenes import exposed_scene
from export.training.stream.workers import Sample

COLD_SHARE = 0.6
"""Share of the sequences that start without a past, as after power-up: its first seconds are hard."""
COLD_SAMPLES = (4, 9, 16, 28, 48, 90)
"""Frames of a cold start that become samples."""
WARM_SAMPLES = (0, 5, 10, 15, 20, 25)
"""Frames after the series of a watched scene that become samples."""
AHEAD_S = 5.9
"""A rendered scene ends then: that of a slow camera after fewer frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundScenes:
    """Samples of rendered scenes: frame, background (3, h, w) 0 to 255, labels."""

    cue: CueSettings
    size: tuple[int, int]
    """(H, W) at which the network is trained."""
    network: Path
    """The step of CDN-GM for frames of `size`, as ONNX."""
    images: Path | None = None
    """A folder of the user's own pictures, or None."""
    overexposed: float = 0.0
    """Share of the sequences with too much light."""

    def __call__(self, seed: int, index: int) -> list[Sample]:
        bank = picture_bank(self.images)
        cue = _cue(self.cue, self.size, self.network)
        return samples_through(cue, seed, index, self.size, bank, self.overexposed)


def samples_through(
    cue: BackgroundImage,
    seed: int,
    index: int,
    size: tuple[int, int],
    bank: PictureBank,
    overexposed: float = 0.3,
) -> list[Sample]:
    """Sequence `index` of a seed, seen through `cue`, which is reset; the same arguments, the same bytes."""
    rng = np.random.default_rng((seed, index, 0xBA6))
    scene = exposed_scene(seed, index, size, bank, overexposed)
    cue.reset()
    is_cold = bool(rng.random() < COLD_SHARE)
    since = 0.0 if is_cold else _watch(scene, cue)
    last = int(AHEAD_S * scene.fps)
    wanted = {min(t, last) for t in (COLD_SAMPLES if is_cold else WARM_SAMPLES)}
    samples: list[Sample] = []
    for t in range(max(wanted) + 1):
        image, labels = scene.frame(t / scene.fps, since)
        background = cue.update(image, None).tensors["cue"][0]
        if t in wanted:
            samples.append((image, background.astype(np.float16), labels))
    return samples


def _watch(scene: Any, cue: BackgroundImage) -> float:
    """Show the cue the series that lies before the scene's start; returns the time of its first frame."""
    since: float = -cue.references / scene.fps
    for block in range(cue.references // BLOCK):
        image, _ = scene.frame(since + block * BLOCK / scene.fps)
        for _ in range(BLOCK):
            cue.remember(image, None)
    return since


@lru_cache(maxsize=2)
def _cue(settings: CueSettings, size: tuple[int, int], network: Path) -> BackgroundImage:
    """Of this process."""
    return BackgroundImage(settings, size, open_backend("onnxruntime", network, threads=1))


FRAMES = 245
SIZE = (64, 64)
"""(h, w) of the scenes: CDN-GM treats each pixel alone, so small scenes teach as much."""
SAMPLES = 8
"""Of a scene."""
PIXELS = 128
"""Of a sample."""
LIVELY_SHARE = 0.5
"""Share of the pixels drawn from those that change most: wall and sky teach little."""
SHORT_SHARE = 0.5
"""Share of the scenes seen as after a start: fewer blocks, repeated as the cue repeats them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedSeries:
    """Samples for the feed: series (245, pixels, 3) uint8 as `frame`; `cue` and `labels` hold nothing."""

    images: Path | None = None
    """A folder of the user's own pictures, or None."""

    def __call__(self, seed: int, index: int) -> list[Sample]:
        rng = np.random.default_rng((seed, index, 0xCD6))
        scene = Scene(seed=(seed, index, 0xCD6), size=SIZE, bank=picture_bank(self.images))
        blocks = FRAMES // BLOCK
        seen = int(rng.integers(1, blocks)) if rng.random() < SHORT_SHARE else blocks
        frames = [scene.frame(-t / scene.fps).image for t in reversed(range(seen * BLOCK))]
        series = np.stack(frames).reshape(seen * BLOCK, -1, 3)
        series = repeated_blocks(series)[:, chosen_pixels(series, rng)]
        nothing = np.zeros((1, 1), np.float16), np.zeros((1, 1), np.uint8)
        return [(part, *nothing) for part in np.split(series, SAMPLES, axis=1)]


def repeated_blocks(series: Array) -> Array:
    """(T, P, 3) of whole blocks -> (245, P, 3): the newest last, those before the first repeat them."""
    count = len(series) // BLOCK
    blocks = series.reshape(count, BLOCK, *series.shape[1:])
    ages = np.arange(FRAMES // BLOCK, 0, -1)
    return np.asarray(blocks[-ages % count].reshape(FRAMES, *series.shape[1:]))


def chosen_pixels(series: Array, rng: np.random.Generator) -> Array:
    """Indices of `SAMPLES * PIXELS` pixels of (T, P, 3), mixed."""
    count = SAMPLES * PIXELS
    lively = int(count * LIVELY_SHARE)
    spread = (series.max(axis=0).astype(int) - series.min(axis=0)).max(axis=1)
    pool = np.argsort(spread)[-2 * lively :]
    chosen = [rng.choice(pool, lively), rng.integers(0, series.shape[1], count - lively)]
    return np.asarray(rng.permutation(np.concatenate(chosen)))
