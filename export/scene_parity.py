"""Parity of F on rendered scenes, for networks that were trained on such: where no scored data are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.parity import task_change
from bench.scored import UNKNOWN, Counts
from edgebs.cues.background_image import BackgroundImage
from edgebs.pipeline import Pipeline
from edgebs.preprocess import mask_from_probability
from edgebs.tensors import Array
from export.background_feeds import scene_samples
from export.samples import scene_cue

if TYPE_CHECKING:
    from export.training.samples import TrainingSample

SEQUENCES = 40
SEED = 2_000_000_063
"""Of the scenes: no training run may have it."""


def _probabilities(pipeline: Pipeline, samples: Sequence[TrainingSample]) -> Iterator[Array]:
    """Of the samples of one scene; each is overwritten by the next."""
    if pipeline.manifest.cue.intervals:
        for sample in samples:
            yield pipeline.segment(sample.frame, {"cue": sample.cue[np.newaxis].astype(np.float32)})
        return
    from export.training.reference_samples import frames_of

    cue = pipeline.require_background_cue()
    cue.restore({"references": frames_of(samples[0].cue), "seen_s": np.array(0.0)})
    cue.freeze(True)
    for sample in samples:
        yield pipeline.trace(sample.frame, None)[1]
    cue.freeze(False)


def _compare_backgrounds(
    reference: Pipeline, bundle: Pipeline, index: int, counts: tuple[Counts, Counts]
) -> None:
    """Count two frames of a scene. Both segmenters are given the reference's background image."""
    manifest = reference.manifest
    cue = reference.require_background_cue()
    assert isinstance(cue, BackgroundImage)
    for frame, background, labels in scene_samples(cue, SEED, index, manifest.size)[::3]:
        for count, pipeline in zip(counts, (reference, bundle), strict=True):
            probability = pipeline.segment(frame, {"cue": background})
            mask = mask_from_probability(probability, manifest.size, manifest.threshold)
            count.add(mask, labels, labels != UNKNOWN)


def compare_on_scenes(
    reference: Pipeline, bundle: Pipeline, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """F over the pixels of two frames a rendered sequence, by the reference's segmenter and the bundle's.

    Both are given the same cue, as in training; where a network computes it from frames of the scene, those.
    progress is told (done, all).
    """
    from bench.varied_scene import PictureBank
    from export.training.samples import sequence_samples

    manifest, bank = reference.manifest, PictureBank.open()
    counts = (Counts(), Counts())
    for index in range(SEQUENCES):
        if manifest.cue.kind == "background-image":
            _compare_backgrounds(reference, bundle, index, counts)
            progress(index + 1, SEQUENCES)
            continue
        samples = sequence_samples(scene_cue(manifest.cue), SEED, index, manifest.size, bank)[::3]
        for count, pipeline in zip(counts, (reference, bundle), strict=True):
            for sample, probability in zip(samples, _probabilities(pipeline, samples), strict=True):
                mask = mask_from_probability(probability, manifest.size, manifest.threshold)
                count.add(mask, sample.labels, sample.labels != UNKNOWN)
        progress(index + 1, SEQUENCES)
    return task_change(*counts)
