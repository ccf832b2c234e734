"""Parity of F on rendered scenes, for networks that were trained on such: where no scored data are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.parity import task_change
from bench.scored import UNKNOWN, Counts
from edgebs.pipeline import Pipeline
from edgebs.preprocess import mask_from_probability

SEQUENCES = 40
SEED = 2_000_000_063
"""Of the scenes: no training run may have it."""


def compare_on_scenes(
    reference: Pipeline, bundle: Pipeline, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """F over the pixels of two frames a rendered sequence, by the reference's segmenter and the bundle's.

    Both are given the same cue, as in training. progress is told (done, all).
    """
    from bench.varied_scene import PictureBank
    from export.training.samples import sequence_samples

    manifest, bank = reference.manifest, PictureBank.open()
    counts = (Counts(), Counts())
    for index in range(SEQUENCES):
        for sample in sequence_samples(manifest.cue, SEED, index, manifest.size, bank)[::3]:
            cue = {"cue": sample.cue[np.newaxis].astype(np.float32)}
            for count, pipeline in zip(counts, (reference, bundle), strict=True):
                mask = mask_from_probability(
                    pipeline.segment(sample.frame, cue), manifest.size, manifest.threshold
                )
                count.add(mask, sample.labels, sample.labels != UNKNOWN)
        progress(index + 1, SEQUENCES)
    return task_change(*counts)
