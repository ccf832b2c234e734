"""Parity of F on rendered scenes, for networks that were trained on such: where no scored data are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.scored import FOREGROUND, UNKNOWN
from edgebs.pipeline import Pipeline

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
    counts = np.zeros((2, 2))  # by pipeline: found, said + true
    for index in range(SEQUENCES):
        for sample in sequence_samples(manifest.cue, SEED, index, manifest.size, bank)[::3]:
            is_scored, is_true = sample.labels != UNKNOWN, sample.labels == FOREGROUND
            cue = {"cue": sample.cue[np.newaxis].astype(np.float32)}
            for count, pipeline in zip(counts, (reference, bundle), strict=True):
                said = (pipeline.segment(sample.frame, cue) > manifest.threshold) & is_scored
                count += np.count_nonzero(said & is_true), np.count_nonzero(said) + np.count_nonzero(is_true)
        progress(index + 1, SEQUENCES)
    f_reference, f_bundle = (2 * counts[:, 0] / np.maximum(counts[:, 1], 1)).tolist()
    return {"F_reference": f_reference, "F_bundle": f_bundle, "delta_F": f_bundle - f_reference}
