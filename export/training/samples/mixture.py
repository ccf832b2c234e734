"""Rendered and scored samples in one stream; like rendering.py it pickles, and imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench.scored.sequence import OUTSIDE, UNKNOWN
from edgebs.errors import OptionError
from edgebs.tensors import Array
from export.training.stream.workers import Render, Sample

TRIES = 8
"""Crops that are looked at until one holds a pixel that counts."""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One part of a store (see scored_store.py), read in place."""

    frame: Array
    cue: Array
    labels: Array
    ends: tuple[int, ...]
    """Of each sequence: where the next one starts."""


@lru_cache(maxsize=4)
def open_part(folder: Path) -> StoredPart:
    """The arrays of a part, once a process."""
    frame, cue, labels = (
        np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("frame", "cue", "labels")
    )
    ends = json.loads((folder / "sequences.json").read_text(encoding="utf-8"))
    return StoredPart(frame, cue, labels, tuple(ends.values()))


def all_samples(folder: Path) -> list[Sample]:
    """Every sample of a part, in order."""
    part = open_part(folder)
    return [
        (np.array(part.frame[place]), np.array(part.cue[place]), np.array(part.labels[place]))
        for place in range(part.ends[-1])
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSequences:
    """Samples drawn from a part, cropped: a sequence at random, then one of its frames."""

    folder: Path
    size: tuple[int, int]
    """(H, W) of the crops, at most that of the store."""
    count: int
    """Samples of one draw."""

    def __call__(self, seed: int, index: int) -> list[Sample]:
        """See `workers.Render`."""
        part = open_part(self.folder)
        rng = np.random.default_rng((seed, index, 0xDA7A))
        starts = (0, *part.ends[:-1])
        samples = []
        for _ in range(self.count):
            which = int(rng.integers(len(part.ends)))
            samples.append(cropped(part, int(rng.integers(starts[which], part.ends[which])), self.size, rng))
        return samples


def cropped(part: StoredPart, place: int, size: tuple[int, int], rng: np.random.Generator) -> Sample:
    """A crop of one sample, at random, one with a pixel that counts where that is soon found."""
    labels = part.labels[place]
    for _ in range(TRIES):
        y, x = (int(rng.integers(full - side + 1)) for full, side in zip(labels.shape, size, strict=True))
        rows, columns = slice(y, y + size[0]), slice(x, x + size[1])
        if not np.isin(labels[rows, columns], (OUTSIDE, UNKNOWN)).all():
            break
    return (
        np.array(part.frame[place, rows, columns]),
        np.array(part.cue[place, :, rows, columns]),
        np.array(labels[rows, columns]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Each sequence is either rendered or drawn from scored data, by the flip of a coin."""

    rendered: Render
    data: Render
    data_share: float
    """In [0, 1]."""

    def __call__(self, seed: int, index: int) -> list[Sample]:
        """See `workers.Render`."""
        is_data = np.random.default_rng((seed, index, 0x313)).random() < self.data_share
        return (self.data if is_data else self.rendered)(seed, index)


def data_share(text: str) -> float:
    """`rendered=0.8,data=0.2`, in any order, any positive weights, as the share of data.

    Raises ExportError for other words.
    """
    weights = {"rendered": 0.0, "data": 0.0}
    for word in text.split(","):
        name, _, number = word.strip().partition("=")
        try:
            weights[name.strip()] = float(number) if name.strip() in weights else float("nan")
        except ValueError:
            weights["data"] = float("nan")
    total = sum(weights.values())
    if len(weights) != 2 or not (0 < total < float("inf")) or min(weights.values()) < 0:
        raise OptionError(f"--mix must be like rendered=0.8,data=0.2, got '{text}'.")
    return weights["data"] / total
