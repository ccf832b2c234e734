"""Samples of the flow network: pairs of rendered frames with their exact flow. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.scenes.pairs import MOMENTS, FlowPair, flow_pairs, flying_pair
from bench.scenes.scene import Scene
from edgebs.tensors import Array
from export.training.samples import picture_bank
from export.training.stream.workers import Sample

FLYING_EVERY = 2
"""One of this many sequences shows flying shapes."""
GAIN, SHIFT = 0.3, 24.0
"""Largest change of a colour channel in both frames alike: a factor around 1, and grey levels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedPairs:
    """Samples for the feed: both frames as six colours (h, w, 6), the flow, and 1 where it is visible."""

    gaps: tuple[int, ...]
    size: tuple[int, int]
    """(H, W) of the frames."""
    flying: bool = True
    """Whether some sequences are no scenes but flying shapes."""
    images: Path | None = None
    """A folder of the user's own pictures, or None."""

    def __call__(self, seed: int, index: int) -> list[Sample]:
        return [
            (np.concatenate([pair.frame, pair.past], axis=2), pair.flow, pair.visible.astype(np.uint8))
            for pair in self._pairs(seed, index)
        ]

    def _pairs(self, seed: int, index: int) -> list[FlowPair]:
        rng = np.random.default_rng((seed, index, 0xF10))
        if self.flying and index % FLYING_EVERY == 0:
            return [flying_pair(rng, self.size) for _ in range(MOMENTS * len(self.gaps))]
        scene = Scene(seed=(seed, index), size=self.size, bank=picture_bank(self.images))
        return flow_pairs(scene, rng, self.gaps)


def turned_and_tinted(sample: Sample, rng: np.random.Generator) -> Sample:
    """Mirrored both ways, transposed where the picture is square, colours changed in both frames alike."""
    frames, flow, visible = sample
    across, down, turn = rng.random(3) < 0.5
    if across:
        frames, visible = frames[:, ::-1], visible[:, ::-1]
        flow = flow[..., ::-1] * np.array([-1, 1], flow.dtype)[:, None, None]
    if down:
        frames, visible = frames[::-1], visible[::-1]
        flow = flow[:, ::-1] * np.array([1, -1], flow.dtype)[:, None, None]
    if turn and visible.shape[0] == visible.shape[1]:
        frames, visible = frames.transpose(1, 0, 2), visible.T
        flow = flow[::-1].transpose(0, 2, 1)
    return _tinted(frames, rng), flow, visible


def _tinted(frames: Array, rng: np.random.Generator) -> Array:
    gain, shift = 1 + rng.uniform(-GAIN, GAIN, 3), rng.uniform(-SHIFT, SHIFT, 3)
    table = np.clip(np.rint(np.arange(256)[:, None] * gain + shift), 0, 255).astype(np.uint8)  # (256, 3)
    order = rng.permutation(3)
    channels = [table[:, order[c % 3]][frames[..., c - c % 3 + order[c % 3]]] for c in range(6)]
    return np.stack(channels, axis=-1)
