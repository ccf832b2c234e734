"""The pixel counts that accuracy is computed from, and CDnet's seven measures of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bench.scored.sequence import FOREGROUND
from edgebs.tensors import Array, Frame

MEASURES = ("F", "Pr", "Re", "PWC", "Sp", "FPR", "FNR")
"""F-measure, precision, recall, percentage of wrong classifications, specificity, error rates."""


@dataclass(slots=True)
class Counts:
    """Pixels by what was said and what is true."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def add(self, mask: Frame, truth: Frame, valid: Array) -> None:
        """Count one frame. mask: 0/255. truth: CDnet labels. valid: bool, the pixels that are scored."""
        said, real = (mask > 0) & valid, (truth == FOREGROUND) & valid
        both = int(np.count_nonzero(said & real))
        self.tp += both
        self.fp += int(np.count_nonzero(said)) - both
        self.fn += int(np.count_nonzero(real)) - both
        self.tn += int(np.count_nonzero(valid & ~said & ~real))

    def __add__(self, other: Counts) -> Counts:
        """The pixels of both."""
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def pixels(self) -> int:
        """All pixels counted."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def f_measure(self) -> float:
        """Harmonic mean of precision and recall over all pixels counted; 0 where nothing was right."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else 0.0

    def measures(self) -> dict[str, float | None]:
        """CDnet's seven by the names of `MEASURES`; PWC in percent, the others in [0, 1].

        None where a measure says nothing: F, Pr and Re of pixels without foreground, in truth and in what
        was said. Something to find and nothing said has precision 0, not an undefined one that a mean
        would leave out.
        """
        real, said, empty = self.tp + self.fn, self.tp + self.fp, self.fp + self.tn
        wrong = self.fp + self.fn
        return {
            "F": self.f_measure if real or said else None,
            "Pr": self.tp / said if said else (0.0 if real else None),
            "Re": _ratio(self.tp, real),
            "PWC": _ratio(100 * wrong, self.pixels),
            "Sp": _ratio(self.tn, empty),
            "FPR": _ratio(self.fp, empty),
            "FNR": _ratio(self.fn, real),
        }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def mean_measures(rows: Iterable[Mapping[str, float | None]]) -> dict[str, float | None]:
    """The unweighted mean of each measure over the rows that have it; None where none has."""
    rows = list(rows)
    means: dict[str, float | None] = {}
    for measure in MEASURES:
        values = [value for row in rows if (value := row[measure]) is not None]
        means[measure] = sum(values) / len(values) if values else None
    return means
