"""Parity of F on rendered scenes, for networks that were trained on such: where no scored data are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.parity import Count, Progress
from bench.scored.find import UNKNOWN, Counts
from edgebs.bundle.manifest import Manifest
from edgebs.cues.background_image import BackgroundImage
from edgebs.image import mask_from_probability
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array, Frame
from export.feeds.background import scene_samples
from export.feeds.samples import scene_cue
from export.training.stream.rendering import picture_bank

SEQUENCES = 40
SEED = 2_000_000_063
"""Of the scenes: no training run may have it."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame of a rendered scene with its truth."""

    image: Frame
    cue: Array
    """What the segmenter sees beside it; or the frames that its cue network sees, see TrainingSample."""
    labels: Frame


def count_on_scenes(reference: Pipeline, progress: Progress | None = None) -> Count:
    """Over the pixels of two frames a rendered sequence; progress is told of the rendering.

    Every pipeline that is counted is given the same cue, as in training: the reference's, where a network
    computes a background image, else that of frames alone. Where a network computes maps or the flow from
    frames of the scene, it is given those frames: it is judged too.
    """
    manifest = reference.manifest
    if _has_own_flow(manifest):
        return _count_with_own_flow
    scenes: list[list[_Frame]] = []
    for index in range(SEQUENCES):
        scenes.append(_scene(reference, index))
        if progress:
            progress(index + 1, SEQUENCES)

    def count(pipeline: Pipeline, progress: Progress | None) -> Counts:
        counts = Counts()
        for done, frames in enumerate(scenes, 1):
            for frame, probability in zip(frames, _probabilities(pipeline, frames), strict=True):
                _add(counts, probability, frame.labels, manifest)
            if progress:
                progress(done, SEQUENCES)
        return counts

    return count


def _has_own_flow(manifest: Manifest) -> bool:
    return manifest.cue.kind == "hop-background" and "cue" in manifest.networks


def _count_with_own_flow(pipeline: Pipeline, progress: Progress | None) -> Counts:
    """Rendered anew for each pipeline: what each has seen of a scene would take gigabytes to keep."""
    from export.training.samples.scenes import sequence_samples

    manifest, counts = pipeline.manifest, Counts()
    cue: Any = pipeline.require_background_cue()
    for index in range(SEQUENCES):
        samples = sequence_samples(manifest.cue, SEED, index, manifest.size, picture_bank(None), cue=cue)
        for sample in samples[::3]:
            given = {"cue": sample.cue[np.newaxis].astype(np.float32)}
            _add(counts, pipeline.segment(sample.frame, given), sample.labels, manifest)
        if progress:
            progress(index + 1, SEQUENCES)
    return counts


def _add(counts: Counts, probability: Array, labels: Frame, manifest: Manifest) -> None:
    mask = mask_from_probability(probability, manifest.size, manifest.threshold)
    counts.add(mask, labels, labels != UNKNOWN)


def _scene(reference: Pipeline, index: int) -> list[_Frame]:
    manifest = reference.manifest
    if _is_given_backgrounds(manifest):
        cue: Any = reference.require_background_cue()
        assert isinstance(cue, BackgroundImage)
        return [_Frame(*sample) for sample in scene_samples(cue, SEED, index, manifest.size)[::3]]
    from export.training.samples.scenes import sequence_samples

    samples = sequence_samples(scene_cue(manifest.cue), SEED, index, manifest.size, picture_bank(None))
    return [_Frame(sample.frame, sample.cue[np.newaxis], sample.labels) for sample in samples[::3]]


def _is_given_backgrounds(manifest: Manifest) -> bool:
    return manifest.cue.kind == "background-image"


def _probabilities(pipeline: Pipeline, frames: Sequence[_Frame]) -> Iterator[Array]:
    """Of the frames of one scene; each is overwritten by the next."""
    if pipeline.manifest.cue.intervals or _is_given_backgrounds(pipeline.manifest):
        for frame in frames:
            yield pipeline.segment(frame.image, {"cue": frame.cue.astype(np.float32)})
        return
    from export.training.samples.keyframes import frames_of

    cue = pipeline.require_background_cue()
    cue.restore({"references": frames_of(frames[0].cue[0]), "seen_s": np.array(0.0)})
    cue.freeze(True)
    for frame in frames:
        yield pipeline.trace(frame.image, None)[1]
    cue.freeze(False)
