"""F and its relatives on sequences with ground truth: counting, tables, curves, pictures, one page.

Each contestant forgets the scene between sequences. Frames before and between the scored ones are run, so
that histories are warm, and not scored. Sequences have no clock: frames are counted, not timed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from bench.accuracy.score import AVERAGING, SPEED_WARM_UP, SequenceScore, summary, sweep
from bench.scored import Sequence as ScoredSequence
from bench.scored import find_sequences, scored_frames
from edgebs.bundle import bundle_path
from edgebs.errors import BundleError, OptionError, SourceError
from edgebs.facts import machine_facts
from edgebs.loading import load
from edgebs.machine.console import Progress
from edgebs.nvidia import DeviceOptions
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array, Frame
from edgebs.video.bit_depth import ValueRange

FOREGROUND = 255
"""What the subtractors write for foreground; 127 is a shadow, which counts as background, as in CDnet."""


@dataclass(frozen=True, slots=True)
class PeerKind:
    """One of OpenCV's subtractors and the parameters that are reported with its score."""

    create: Callable[[], Any]
    parameters: tuple[str, ...]
    """Names of its getters, without `get`."""


BASELINES = {
    "mog2": PeerKind(
        cv2.createBackgroundSubtractorMOG2, ("History", "NMixtures", "VarThreshold", "DetectShadows")
    ),
    "knn": PeerKind(
        cv2.createBackgroundSubtractorKNN,
        ("History", "NSamples", "kNNSamples", "Dist2Threshold", "DetectShadows"),
    ),
}
"""By the word typed after --against."""


class Baseline:
    """One of `BASELINES` with OpenCV's default parameters and automatic learning rate."""

    def __init__(self, kind: str) -> None:
        """kind: one of `BASELINES`. Raises EdgebsError for another."""
        if kind not in BASELINES:
            raise OptionError(f"--against: unknown baseline '{kind}'; known: {', '.join(BASELINES)}.")
        self.name = kind
        self._kind = BASELINES[kind]
        self.reset()

    def reset(self) -> None:
        """Forget the scene."""
        # KNN replaces its samples at random: the same sequence must give the same masks.
        cv2.setRNGSeed(0)
        self._model = self._kind.create()

    def segment(self, frame: Frame) -> tuple[Frame, Array | None]:
        """The mask (H, W) uint8 0/255 of the next frame (H, W, 3) uint8; there is no probability."""
        answer = self._model.apply(frame)
        mask: Frame = (answer == FOREGROUND).view(np.uint8) * np.uint8(255)
        return mask, None

    def facts(self) -> dict[str, Any]:
        """What it is and its parameters, for reports."""
        parameters = {name: getattr(self._model, f"get{name}")() for name in self._kind.parameters}
        return {
            "what": f"OpenCV {cv2.__version__} {self.name.upper()}, default parameters, shadow is background",
            "parameters": parameters,
            "opencv_threads": cv2.getNumThreads(),
        }

    def close(self) -> None:
        """Nothing is held."""


SequenceDone = Callable[[ScoredSequence, Sequence[SequenceScore]], None]
"""Told each sequence with the score of every contestant while their masks are still kept."""


class Contestant(Protocol):
    """A method that marks foreground pixels, frame by frame."""

    name: str

    def reset(self) -> None:
        """Forget the scene."""

    def segment(self, frame: Frame) -> tuple[Frame, Array | None]:
        """The mask (H, W) uint8 0/255 of the next frame, and the probability (h, w) where there is one."""

    def facts(self) -> dict[str, Any]:
        """What it is, for reports."""

    def close(self) -> None:
        """Free what is held."""


class BundleContestant:
    """A bundle's pipeline: whole and sequential, from the frame at camera size to the mask."""

    def __init__(self, name: str, pipeline: Pipeline) -> None:
        """The pipeline is owned: closing this closes it."""
        self.name = name
        self._pipeline = pipeline

    def reset(self) -> None:
        """Empty the history."""
        self._pipeline.reset()

    def segment(self, frame: Frame) -> tuple[Frame, Array | None]:
        """Mask and probability of the next frame."""
        result = self._pipeline.process(frame)
        return result.mask, result.probability

    def facts(self) -> dict[str, Any]:
        """Model, precision, threshold and engines."""
        manifest = self._pipeline.manifest
        return {
            "model": manifest.model,
            "precision": manifest.precision,
            "target": manifest.target,
            "trained": manifest.trained,
            "threshold": manifest.threshold,
            "cleanup": manifest.cleanup.to_json(),
            "network_size": list(manifest.size),
            "engines": self._pipeline.descriptions(),
        }

    def close(self) -> None:
        """Free the engines."""
        self._pipeline.close()


def evaluate(
    bundles: Sequence[str | Path],
    data: Path,
    *,
    against: Sequence[str] = (),
    layout: str = "auto",
    value_range: ValueRange | None = None,
    threads: int = 0,
    threshold: float | None = None,
    cleanup: bool = True,
    device: DeviceOptions | None = None,
    progress: Progress | None = None,
    sequence_done: SequenceDone | None = None,
) -> dict[str, Any]:
    """Score bundles on the sequences below `data`; the JSON object of docs/architecture.md.

    `sequences`, `mean`, `pooled`, `mean_dice` and `fps` are the first bundle's; `bundles` holds the same of
    each, `peers` that of OpenCV's subtractors named in `against`. threshold: of all bundles; None takes each
    one's own. value_range: of the frames, see `open_source`. cleanup, device: see `edgebs.load`.
    sequence_done: told each sequence with its scores and masks.
    Raises EdgebsError for an unusable bundle, baseline or sequence; ValueError for an unknown layout.
    """
    paths = [bundle_path(bundle) for bundle in bundles]
    baselines = [Baseline(kind) for kind in dict.fromkeys(against)]
    sequences = find_sequences(data, layout, value_range=value_range)
    with ExitStack() as stack:
        contestants: list[Contestant] = []
        for name, path in zip(_distinct_names(paths), paths, strict=True):
            pipeline = load(path, threads=threads, threshold=threshold, cleanup=cleanup, device=device)
            contestants.append(BundleContestant(name, pipeline))
            stack.callback(contestants[-1].close)
        contestants += baselines
        scores = score_contestants(contestants, sequences, progress=progress, sequence_done=sequence_done)
        records = {
            contestant.name: {**contestant.facts(), **contestant_record(scores[contestant.name])}
            for contestant in contestants
        }
    return _record(records, len(paths), sequences, data)


def score_contestants(
    contestants: Sequence[Contestant],
    sequences: Sequence[ScoredSequence],
    *,
    progress: Progress | None = None,
    sequence_done: SequenceDone | None = None,
) -> dict[str, list[SequenceScore]]:
    """The scores of each contestant, by its name, sequence by sequence.

    Raises SourceError for a sequence without a scored pixel, and for whatever `scored_frames` refuses.
    """
    scores: dict[str, list[SequenceScore]] = {contestant.name: [] for contestant in contestants}
    total = sum(len(sequence.inputs) for sequence in sequences)
    done = 0
    for sequence in sequences:
        row = [
            SequenceScore(sequence.name, sequence.category, sequence_done is not None) for _ in contestants
        ]
        for contestant in contestants:
            contestant.reset()
        for index, (frame, truth, valid) in enumerate(scored_frames(sequence)):
            for contestant, score in zip(contestants, row, strict=True):
                started_s = time.perf_counter()
                mask, probability = contestant.segment(frame)
                score.seconds.append(time.perf_counter() - started_s)
                if truth is not None and valid is not None:
                    score.add(index, mask, probability, truth, valid)
            done += 1
            if progress:
                progress(done, total)
        _require_scored_pixels(sequence, row)
        if sequence_done:
            sequence_done(sequence, row)
        for contestant, score in zip(contestants, row, strict=True):
            score.forget_masks()
            scores[contestant.name].append(score)
    return scores


def _require_scored_pixels(sequence: ScoredSequence, row: Sequence[SequenceScore]) -> None:
    if any(score.counts.pixels == 0 for score in row):
        raise SourceError(
            f"{sequence.inputs[0].parent}: no pixel is scored in {sequence.scored_count} frames with ground "
            "truth: every label is 85 (outside), 170 (unknown) or out of the ROI. Correct ROI or labels."
        )


def contestant_record(scores: Sequence[SequenceScore]) -> dict[str, Any]:
    """Measures and, where there are probabilities, the threshold sweep of one contestant."""
    histograms = [score.histogram for score in scores if score.histogram is not None]
    return {**summary(scores), "sweep": sweep(histograms) if histograms else None}


def _record(
    records: dict[str, dict[str, Any]], bundle_count: int, sequences: Sequence[ScoredSequence], data: Path
) -> dict[str, Any]:
    names = list(records)
    first = records[names[0]] if names else {}
    contract = ("sequences", "mean", "pooled", "mean_dice", "fps")
    return {
        "bundle": names[0] if bundle_count else None,
        **{key: first[key] for key in contract if key in first},
        "bundles": {name: records[name] for name in names[:bundle_count]},
        "peers": {name: records[name] for name in names[bundle_count:]},
        "averaging": AVERAGING,
        "data": {
            "root": str(data),
            "layouts": sorted({sequence.layout for sequence in sequences}),
            "frames": sum(len(sequence.inputs) for sequence in sequences),
            "notes": {sequence.name: list(sequence.notes) for sequence in sequences if sequence.notes},
        },
        "speed": f"sequential, frame in memory to mask, without the first {SPEED_WARM_UP} of a sequence",
        "machine": machine_facts(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """Folder names; whole paths where two folders, or a folder and a baseline, have one name.

    Raises BundleError where one bundle is named twice.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise BundleError(f"a bundle is named twice: {', '.join(map(str, paths))}. Name each once.")
    uses = Counter([*(path.name for path in paths), *BASELINES])
    return [path.name if uses[path.name] == 1 else str(path) for path in paths]
