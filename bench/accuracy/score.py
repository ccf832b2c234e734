"""What one contestant scored on one sequence, and the three ways in which sequences are put together."""

from __future__ import annotations

import statistics
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from bench.scored import FOREGROUND, Counts, mean_measures
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
    "mean_dice": "mean over frames with foreground of 2 TP / (2 TP + FP + FN) (docs/networks.md, Eq. 12)",
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


THRESHOLDS: Array = np.arange(BINS) / BINS
"""With the k-th threshold, foreground is p >= k/256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One contestant over one sequence, or over several pooled."""

    precision: Array
    """(256,) by threshold; 1 where nothing is said."""
    recall: Array
    """(256,) by threshold; 0 where there is no foreground."""
    f_measure: Array
    """(256,) by threshold; 0 where there is neither."""

    @property
    def average_precision(self) -> float:
        """Area under the precision-recall steps, from the highest threshold down."""
        recall = np.concatenate([[0.0], self.recall[::-1]])
        return float(np.sum(np.diff(recall) * self.precision[::-1]))


def curve_from_histogram(histogram: Array) -> Curve:
    """histogram: (2, 256) pixels by probability class; background, foreground."""
    said_wrong, said_right = (np.cumsum(row[::-1])[::-1].astype(np.float64) for row in histogram)
    said, real = said_right + said_wrong, float(histogram[1].sum())
    return Curve(
        precision=np.divide(said_right, said, out=np.ones(BINS), where=said > 0),
        recall=said_right / real if real else np.zeros(BINS),
        f_measure=np.divide(2 * said_right, said + real, out=np.zeros(BINS), where=said + real > 0),
    )


def sweep(histograms: Sequence[Array]) -> dict[str, Any]:
    """The sweep over sequences: mean F and pooled curve by threshold, and the thresholds that were best.

    The best threshold is reported, not used: it is chosen on the very frames that it is scored on.
    """
    curves = [curve_from_histogram(histogram) for histogram in histograms]
    scored = [curve for curve, histogram in zip(curves, histograms, strict=True) if histogram[1].any()]
    pooled = curve_from_histogram(sum(histograms[1:], histograms[0]))
    mean_f = _mean_f(curves, histograms)
    best, best_pooled = int(np.argmax(mean_f)), int(np.argmax(pooled.f_measure))
    return {
        "average_precision": pooled.average_precision,
        "mean_average_precision": (
            float(np.mean([curve.average_precision for curve in scored])) if scored else None
        ),
        "best_threshold": {"threshold": float(THRESHOLDS[best]), "mean_F": float(mean_f[best])},
        "best_threshold_pooled": {
            "threshold": float(THRESHOLDS[best_pooled]),
            "F": float(pooled.f_measure[best_pooled]),
        },
        "curve": {
            "threshold": THRESHOLDS.tolist(),
            "mean_F": _rounded(mean_f),
            "pooled_F": _rounded(pooled.f_measure),
            "pooled_precision": _rounded(pooled.precision),
            "pooled_recall": _rounded(pooled.recall),
        },
    }


def _mean_f(curves: Sequence[Curve], histograms: Sequence[Array]) -> Array:
    """(256,) by threshold: the mean over sequences that have an F there, as `Counts.measures` has it.

    A sequence without foreground has F 0 where anything is said in it, and no F where nothing is.
    """
    alarms = [np.cumsum(background[::-1])[::-1] > 0 for background, _ in histograms]
    has_f = [alarm | bool(h[1].any()) for alarm, h in zip(alarms, histograms, strict=True)]
    total, count = np.sum([curve.f_measure for curve in curves], axis=0), np.sum(has_f, axis=0)
    mean: Array = total / np.maximum(count, 1)
    return mean


def _rounded(values: Array) -> list[float]:
    return [round(float(value), 6) for value in values]


def points(histograms: Sequence[Array], threshold: float) -> dict[str, Any]:
    """The precision-recall curve of one sequence, or the unweighted mean over several, as JSON values.

    histograms: (2, 256) each, as `probability_histogram` counts them. `precision`, `recall` and `F`: lists by
    `THRESHOLDS`, by the rules of `Counts.measures` and `mean_measures`, None where there is no such measure.
    `at_threshold`: the point whose threshold is nearest to `threshold`; `best_threshold`: that of the
    greatest F, the lowest of several, None without any F.
    """
    counts = [_counts_by_threshold(histogram) for histogram in histograms]
    rows = [mean_measures([each[k].measures() for each in counts]) for k in range(BINS)]
    curve = {"precision": "Pr", "recall": "Re", "F": "F"}
    columns = {name: [row[measure] for row in rows] for name, measure in curve.items()}
    known = [k for k in range(BINS) if rows[k]["F"] is not None]
    best = max(known, key=lambda k: (rows[k]["F"] or 0.0, -k), default=None)
    own = min(round(threshold * BINS), BINS - 1)
    return {
        **columns,
        "at_threshold": _point(columns, own),
        "best_threshold": None if best is None else _point(columns, best),
    }


def _counts_by_threshold(histogram: Array) -> list[Counts]:
    wrong, right = (np.cumsum(row[::-1])[::-1].tolist() for row in histogram)
    return [
        Counts(tp=tp, fp=fp, fn=right[0] - tp, tn=wrong[0] - fp) for fp, tp in zip(wrong, right, strict=True)
    ]


def _point(columns: Mapping[str, Sequence[float | None]], k: int) -> dict[str, float | None]:
    return {"threshold": float(THRESHOLDS[k]), **{name: values[k] for name, values in columns.items()}}
