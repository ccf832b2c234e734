"""Samples of a network that sees a scene's past as a few frames of it: BMN-BSN, trained end to end.

The frames are drawn at random from up to three minutes before, as the paper does; all samples of a sequence
share them, so that a sequence costs little more than its samples.
"""

from __future__ import annotations

import math

import numpy as np

from bench.scenes.scene import PictureBank
from edgebs.bundle.manifest import CueSettings
from edgebs.tensors import Array
from export.training.samples.scenes import (
    COLD_SHARE,
    SCENE_PAST_S,
    SHORTEST_PAST_S,
    WARM_SAMPLES,
    TrainingSample,
    exposed_scene,
)

COLD_PAST_S = 1.0
"""A scene that is seen for less than this has fewer frames than the network takes; they are repeated."""


def reference_samples(
    settings: CueSettings,
    seed: int,
    index: int,
    size: tuple[int, int],
    bank: PictureBank,
    overexposed: float,
) -> list[TrainingSample]:
    """As `sequence_samples`; the cue is the planes of the references, the same array in all samples."""
    rng = np.random.default_rng((seed, index, 0xB35))
    scene = exposed_scene(seed, index, size, bank, overexposed)
    times = _past_times(rng, settings)
    references = [scene.frame(seconds)[0] for seconds in times]
    repeated = [references[place % len(references)] for place in range(settings.references)]
    planes = planes_of(np.stack(repeated)[rng.permutation(settings.references)])
    since = float(min(times))
    return [
        TrainingSample(image, planes, labels)
        for image, labels in (scene.frame(t / scene.fps, since) for t in WARM_SAMPLES)
    ]


def planes_of(references: Array) -> Array:
    """(R, h, w, 3) -> (3 R, h, w), the same values."""
    count, height, width, colours = references.shape
    return np.ascontiguousarray(references.transpose(0, 3, 1, 2)).reshape(count * colours, height, width)


def frames_of(planes: Array) -> Array:
    """The inverse of `planes_of`."""
    count, height, width = planes.shape
    return np.ascontiguousarray(planes.reshape(count // 3, 3, height, width).transpose(0, 2, 3, 1))


def _past_times(rng: np.random.Generator, settings: CueSettings) -> Array:
    """Seconds before the first sample, each below 0: all references, or after a cold start fewer."""
    if rng.random() < COLD_SHARE:
        count, past_s = int(rng.integers(1, settings.references)), COLD_PAST_S
    else:
        longest_s = settings.references * settings.spacing_s
        count = settings.references
        past_s = math.exp(rng.uniform(math.log(SHORTEST_PAST_S), math.log(longest_s)))
    # A past longer than the scene's is the scene's.
    return np.sort(-min(past_s, SCENE_PAST_S) * rng.random(count))
