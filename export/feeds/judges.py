"""Scores of a quantised network while layers are restored to float: F if the truth is known, else masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import scenes as seeds
from bench.parity import INT8_DELTA_F, INT8_MASK_IOU, Count
from bench.scored import UNKNOWN, Counts, find_sequences
from bench.scored.sequence import frame_at, scored_frame, scored_region
from calib.int8.accuracy import AccuracyControl
from edgebs.backends import open_backend
from edgebs.bundle.manifest import Manifest
from edgebs.cues.background_image import BackgroundImage
from edgebs.image import mask_from_probability, network_frame
from edgebs.machine.console import Progress
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array, Frame
from edgebs.video.bit_depth import ValueRange
from export.feeds import scene_cue
from export.feeds.background import scene_samples
from export.training.samples import picture_bank

Feed = Mapping[str, Array]
CASES = 24
"""Each is run once per layer that is tried: seconds at full width."""


@dataclass(frozen=True, slots=True)
class Case:
    """One input of the segmenter with its truth."""

    feed: Feed
    truth: Frame
    """(H, W) CDnet labels."""
    valid: Array
    """(H, W) bool: pixels that are scored."""


def control_by_truth(cases: Sequence[Case], threshold: float) -> AccuracyControl:
    """Judge a segmenter by F over the pixels of all cases; it may lose half of what parity allows."""

    def score(indices: Sequence[int], outputs: Sequence[Array]) -> float:
        counts = Counts()
        for index, output in zip(indices, outputs, strict=True):
            case = cases[index]
            height, width = case.truth.shape
            counts.add(mask_from_probability(output[0], (height, width), threshold), case.truth, case.valid)
        # An empty mask of an empty truth is right, though its F is 0.
        return counts.f_measure if counts.tp + counts.fp + counts.fn else 1.0

    # These are not the cases of the gate: a drop that just passes here may fail there.
    return AccuracyControl(feeds=[case.feed for case in cases], score=score, max_drop=INT8_DELTA_F / 2)


def control_by_masks(feeds: Sequence[Feed], segment: Path, manifest: Manifest) -> AccuracyControl:
    """Judge a segmenter by the agreement (IoU) of its masks with those of the original, `segment` in FP32."""
    masks = [_mask(output, manifest) for output in _outputs(segment, feeds)]
    return _mask_control(feeds, masks, lambda _, output: _mask(output, manifest))


def control_by_cue_masks(
    feeds: Sequence[Feed], segment_feeds: Sequence[Feed], cue: Path, segment: Path, manifest: Manifest
) -> AccuracyControl:
    """Judge a cue network by the masks of the original segmenter behind it.

    cue, segment: the originals in FP32. segment_feeds: with the frame of each of `feeds`.
    """
    run = open_backend("onnxruntime", segment).infer

    def mask_of(index: int, output: Array) -> Frame:
        seen = {"frame": segment_feeds[index]["frame"], "cue": output}
        return _mask(run(seen)["probability"], manifest)

    originals = _outputs(cue, feeds)
    masks = [mask_of(index, output) for index, output in enumerate(originals)]
    return _mask_control(feeds, masks, mask_of)


def _mask_control(
    feeds: Sequence[Feed], expected: Sequence[Frame], mask_of: Callable[[int, Array], Frame]
) -> AccuracyControl:
    def score(indices: Sequence[int], outputs: Sequence[Array]) -> float:
        both = either = 0
        for index, output in zip(indices, outputs, strict=True):
            found, right = mask_of(index, output) > 0, expected[index] > 0
            both += int(np.count_nonzero(found & right))
            either += int(np.count_nonzero(found | right))
        return both / either if either else 1.0

    return AccuracyControl(feeds=feeds, score=score, max_drop=(1 - INT8_MASK_IOU) / 2)


def _outputs(file: Path, feeds: Sequence[Feed]) -> list[Array]:
    engine = open_backend("onnxruntime", file)
    name = next(iter(engine.outputs))
    outputs = [engine.infer(feed)[name].copy() for feed in feeds]
    engine.close()
    return outputs


def _mask(probability: Array, manifest: Manifest) -> Frame:
    return mask_from_probability(probability[0], manifest.size, manifest.threshold)


def scored_cases(
    original: Pipeline, root: Path, count: int, value_range: ValueRange | None = None
) -> list[Case]:
    """At most `count` labelled frames below `root`, spread over its sequences, with the cue of `original`.

    original: the PyTorch pipeline. value_range: see `open_source`.
    Raises SourceError if there are no scored sequences.
    """
    sequences = find_sequences(root, value_range=value_range)
    each = -(-count // len(sequences))
    cases: list[Case] = []
    for sequence in sequences:
        labelled = [index for index, truth in enumerate(sequence.truths) if truth is not None]
        chosen = set(labelled[:: -(-len(labelled) // each) or 1])
        original.reset()
        region = scored_region(sequence)
        for index in range(max(chosen, default=-1) + 1):
            if index not in chosen:
                original.remember(frame_at(sequence, index), None)
                continue
            image, truth, valid = scored_frame(sequence, index, region)
            cue, _ = original.trace(image, None)
            if truth is not None and valid is not None:
                small = network_frame(image, original.manifest.size)
                cases.append(Case({"frame": small[np.newaxis], "cue": cue.copy()}, truth, valid))
    return cases


def scene_cases(manifest: Manifest, count: int) -> list[Case]:
    """Frames of rendered scenes, one of each, for networks trained on them; the flow is that of DIS."""
    from bench.scenes.scene import PictureBank
    from export.feeds import scene_cue
    from export.training.samples.scenes import sequence_samples

    bank = PictureBank.open()
    cases = []
    for index in range(count):
        samples = sequence_samples(scene_cue(manifest.cue), seeds.LAYERS, index, manifest.size, bank)
        sample = samples[index % len(samples)]
        cue: Array = sample.cue[np.newaxis].astype(np.float32)
        feed: dict[str, Array] = {"frame": sample.frame[np.newaxis], "cue": cue}
        cases.append(Case(feed, sample.labels, sample.labels != UNKNOWN))
    return cases


SEQUENCES = 40


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame of a rendered scene with its truth."""

    image: Frame
    cue: Array
    """The segmenter's cue, or the frames that its cue network gets: see TrainingSample."""
    labels: Frame


def count_on_scenes(reference: Pipeline, progress: Progress | None = None) -> Count:
    """Count over the pixels of two frames per rendered sequence; `progress` follows the rendering.

    Every pipeline gets the same cue, as in training: that of the reference if a network computes a background
    image, else the cue computed from frames alone. A network that computes maps or the flow from frames gets
    those frames, so it is judged too.
    """
    manifest = reference.manifest
    if manifest.cue.traits.has_two_backgrounds and "cue" in manifest.networks:
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


def _count_with_own_flow(pipeline: Pipeline, progress: Progress | None) -> Counts:
    """Render again for each pipeline: to keep the history of every scene would take gigabytes."""
    from export.training.samples.scenes import sequence_samples

    manifest, counts = pipeline.manifest, Counts()
    cue: Any = pipeline.require_background_cue()
    for index in range(SEQUENCES):
        samples = sequence_samples(
            manifest.cue, seeds.PARITY, index, manifest.size, picture_bank(None), cue=cue
        )
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
    if manifest.cue.traits.reads_series:
        cue: Any = reference.require_background_cue()
        assert isinstance(cue, BackgroundImage)
        return [_Frame(*sample) for sample in scene_samples(cue, seeds.PARITY, index, manifest.size)[::3]]
    from export.training.samples.scenes import sequence_samples

    samples = sequence_samples(
        scene_cue(manifest.cue), seeds.PARITY, index, manifest.size, picture_bank(None)
    )
    return [_Frame(sample.frame, sample.cue[np.newaxis], sample.labels) for sample in samples[::3]]


def _probabilities(pipeline: Pipeline, frames: Sequence[_Frame]) -> Iterator[Array]:
    """Of the frames of one scene; each array is overwritten by the next."""
    if pipeline.manifest.cue.intervals or pipeline.manifest.cue.traits.reads_series:
        for frame in frames:
            yield pipeline.segment(frame.image, {"cue": frame.cue.astype(np.float32)})
        return
    from export.training.samples.scenes import frames_of

    cue = pipeline.require_background_cue()
    cue.restore({"references": frames_of(frames[0].cue[0]), "seen_s": np.array(0.0)})
    cue.freeze(True)
    for frame in frames:
        yield pipeline.trace(frame.image, None)[1]
    cue.freeze(False)
