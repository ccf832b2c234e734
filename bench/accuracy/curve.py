"""What other thresholds would have scored: precision, recall and F at 256 of them, without a second pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.accuracy.score import BINS
from edgebs.tensors import Array

THRESHOLDS: Array = np.arange(BINS) / BINS
"""The k-th says foreground for p >= k/256."""


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

    The best threshold is told, not used: it is chosen on the very frames that it is scored on.
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
