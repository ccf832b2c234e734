"""Pairs of rendered frames with the exact flow between them: what flow is learnt from, and measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.scenes.scene import VariedScene
from edgebs.tensors import Array, Frame

NOMINAL_FPS = 25.0
"""Frame rate that the gaps are meant for, as in the cue."""
MOMENTS = 2
"""Times of a scene at which it is compared with its past."""
LATEST_S = 5.0
"""Scenes can be asked for until 6 s."""


@dataclass(frozen=True, slots=True)
class FlowPair:
    """Two frames of a scene and what lies between them."""

    frame: Frame
    past: Frame
    flow: Array
    """(2, h, w) float32: pixels from each point of `frame` to where it is in `past`, x first."""
    visible: Array
    """(h, w) bool: the point can be seen in both."""
    gap: int
    """Frames between them at `NOMINAL_FPS`; a slower camera has no shorter one than its own."""


def flow_pairs(scene: VariedScene, rng: np.random.Generator, gaps: Sequence[int]) -> list[FlowPair]:
    """One pair for each gap at each of `MOMENTS` times."""
    pairs = []
    for _ in range(MOMENTS):
        now = int(rng.integers(0, int(LATEST_S * scene.fps))) / scene.fps
        frame = scene.frame(now).image
        for gap in gaps:
            then = now - max(round(gap * scene.fps / NOMINAL_FPS), 1) / scene.fps
            flow, visible = scene.flow(now, then)
            pairs.append(FlowPair(frame, scene.frame(then).image, flow, visible, gap))
    return pairs
