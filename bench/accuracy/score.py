"""What one contestant scored on one sequence, and the three ways in which sequences are put together."""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from bench.scored.find import FOREGROUND, Counts, mean_measures
from edgebs.image import probability_at
from edgebs.tensors import Array, Frame

BINS = 256
"""Probability classes: bin k holds k/256 <= p < (k + 1)/256, and 1 itself in the last."""

SPEED_WARM_UP = 12
"""Frames at the start of a sequence that speed does not count, where the sequence is longer."""

AVERAGING = {
    "sequences": "pixel counts of one sequence",
    "mean": "unweighted mean over sequences",
    "pooled": "pixel counts of all sequences together, so that large pictures and long sequences weigh more",
    "categories": "unweighted mean over the sequences of a category",
    "mean_of_categories": "unweighted mean over categories (CDnet's overall)",
    "mean_dice": "mean over frames with foreground of 2 TP / (2 TP + FP + FN) (networks.md, Eq. 12)",
}


@dataclass(slots=True)
class FrameScore:
    """One scored frame."""

    index: int
    """Position in the sequence, from 0."""
    counts: Counts
    packed: bytes = b""
    """The mask, packed, where masks are kept."""


@dataclass(slots=True)
class SequenceScore:
    """One contestant on one sequence."""

    name: str
    category: str | None = None
    keeps_masks: bool = False
    counts: Counts = field(default_factory=Counts)
    frames: list[FrameScore] = field(default_factory=list)
    histogram: Array | None = None
    """(2, 256) int64: scored pixels by probability at camera size; background, foreground."""
    seconds: list[float] = field(default_factory=list)
    """Time of each frame run, scored or not."""

    def add(self, index: int, mask: Frame, probability: Array | None, truth: Frame, valid: Array) -> None:
        """Count one scored frame. Arguments as for `Counts.add`; probability (h, w) float32 or None."""
        counts = Counts()
        counts.add(mask, truth, valid)
        self.counts = self.counts + counts
        packed = zlib.compress(np.packbits(mask > 0).tobytes(), 1) if self.keeps_masks else b""
        self.frames.append(FrameScore(index, counts, packed))
        if probability is not None:
            found = probability_histogram(probability, truth, valid)
            self.histogram = found if self.histogram is None else self.histogram + found

    def mask(self, frame: FrameScore, size: tuple[int, int]) -> Frame:
        """The kept mask of a frame, 0/255, (height, width) = size."""
        bits = np.unpackbits(np.frombuffer(zlib.decompress(frame.packed), np.uint8), count=size[0] * size[1])
        return np.asarray(bits.reshape(size) * np.uint8(255), np.uint8)

    def forget_masks(self) -> None:
        """Drop the kept masks."""
        for frame in self.frames:
            frame.packed = b""

    @property
    def dice(self) -> list[float]:
        """Dice of each frame with foreground."""
        return [frame.counts.f_measure for frame in self.frames if frame.counts.tp + frame.counts.fn]

    def to_json(self) -> dict[str, Any]:
        """The measures of the sequence, unrounded, with its frames and speed."""
        return {
            **self.counts.measures(),
            "mean_dice": _mean(self.dice),
            "frames": len(self.frames),
            "frames_run": len(self.seconds),
            "category": self.category,
            "fps": frames_per_second([self.seconds]),
            "counts": {
                "tp": self.counts.tp,
                "fp": self.counts.fp,
                "fn": self.counts.fn,
                "tn": self.counts.tn,
            },
        }


def probability_histogram(probability: Array, truth: Frame, valid: Array) -> Array:
    """(2, 256) int64: scored pixels by probability class; background first, then foreground.

    probability: (h, w) float32, interpolated to the truth's size as for the mask. NaN is in class 0.
    """
    height, width = truth.shape
    scaled = probability_at(probability, (height, width)) * np.float32(BINS)
    # fmax and fmin prefer the number where one side is NaN.
    classes = np.fmin(np.fmax(scaled, 0), BINS - 1).astype(np.uint8)
    real = truth == FOREGROUND
    return np.stack([_histogram(classes, valid & ~real), _histogram(classes, valid & real)])


def _histogram(classes: Frame, chosen: Array) -> Array:
    counts = cv2.calcHist([classes], [0], chosen.view(np.uint8), [BINS], [0, BINS])
    return np.asarray(counts.ravel(), np.int64)


def frames_per_second(sequences: Sequence[Sequence[float]]) -> float | None:
    """Frames over their summed times, without the first `SPEED_WARM_UP` of each sequence that is longer."""
    counted = [list(seconds[SPEED_WARM_UP:] or seconds) for seconds in sequences]
    total = sum(map(sum, counted))
    return sum(map(len, counted)) / total if total > 0 else None


def summary(scores: Sequence[SequenceScore]) -> dict[str, Any]:
    """All sequences of one contestant: each, their mean, pooled, by category, Mean Dice and speed."""
    rows = {score.name: score.to_json() for score in scores}
    pooled = sum((score.counts for score in scores), Counts())
    categories = _categories(rows)
    return {
        "sequences": rows,
        "mean": mean_measures(rows.values()),
        "pooled": pooled.measures(),
        "categories": categories,
        "mean_of_categories": mean_measures(categories.values()) if categories else None,
        "mean_dice": _mean([dice for score in scores for dice in score.dice]),
        "frames": sum(len(score.frames) for score in scores),
        "fps": frames_per_second([score.seconds for score in scores]),
    }


def _categories(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    names = sorted({str(row["category"]) for row in rows.values() if row["category"] is not None})
    return {name: mean_measures([row for row in rows.values() if row["category"] == name]) for name in names}


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
