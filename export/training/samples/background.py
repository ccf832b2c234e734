"""What a segmenter with a background image learns from: rendered scenes through the cue of the runtime.

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
from edgebs.backends import open_backend
from edgebs.bundle.manifest import CueSettings
from edgebs.cues.background_image import BLOCK, BackgroundImage
from export.training.samples.scenes import exposed_scene
from export.training.stream.rendering import picture_bank
from export.training.stream.workers import Sample

COLD_SHARE = 0.6
"""Of the sequences start with no past, as after power-up: what is hard is the first seconds."""
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
        """See `workers.Render`."""
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
