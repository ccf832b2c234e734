"""What CDN-GM learns from: the values that pixels of rendered scenes take in 245 frames. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.scenes.scene import VariedScene
from edgebs.tensors import Array
from export.training.stream.rendering import picture_bank
from export.training.stream.workers import Sample

FRAMES, BLOCK = 245, 7
SIZE = (64, 64)
"""Of the scenes: pixels do not know of each other, so small ones have as much to show."""
SAMPLES = 8
"""Of a scene."""
PIXELS = 128
"""Of a sample."""
LIVELY_SHARE = 0.5
"""Of the pixels are drawn from those that change most: a pixel of wall and sky teaches little."""
SHORT_SHARE = 0.5
"""Of the scenes are seen as after a start: fewer blocks, repeated as the cue repeats them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedSeries:
    """Samples for the feed: series (245, pixels, 3) uint8 as `frame`; `cue` and `labels` hold nothing."""

    images: Path | None = None
    """A folder of the user's own pictures, or None."""

    def __call__(self, seed: int, index: int) -> list[Sample]:
        """See `workers.Render`."""
        rng = np.random.default_rng((seed, index, 0xCD6))
        scene = VariedScene(seed=(seed, index, 0xCD6), size=SIZE, bank=picture_bank(self.images))
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
