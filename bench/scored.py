"""Sequences with ground truth in CDnet layout, and the pixel counts that accuracy is computed from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgebs.errors import SourceError
from edgebs.tensors import Array, Frame

FOREGROUND, SHADOW, OUTSIDE, UNKNOWN = 255, 50, 85, 170
"""CDnet's labels; 0 is static background, and a shadow counts as background (networks.md section 6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """One scored sequence on disk."""

    name: str
    inputs: tuple[Path, ...]
    """Frames in order."""
    truths: tuple[Path | None, ...]
    """The ground truth of each frame; None where it is not scored."""
    region: Path | None
    """Picture whose non-zero pixels are scored; None for all."""


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

    @property
    def f_measure(self) -> float:
        """Harmonic mean of precision and recall over all pixels counted; 0 where nothing was right."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else 0.0


def find_sequences(root: Path) -> list[Sequence]:
    """Every folder below `root`, at any depth, that holds `input/` and `groundtruth/`.

    Raises SourceError where there is none or one is incomplete.
    """
    folders = sorted(
        Path(folder)
        for folder, names, _ in os.walk(root, followlinks=True)
        if {"input", "groundtruth"} <= set(names)
    )
    if not folders:
        raise SourceError(
            f"no scored sequence below {root}: expected folders with input/ and groundtruth/ (CDnet layout)."
        )
    return [read_sequence(folder) for folder in folders]


def read_sequence(folder: Path) -> Sequence:
    """One sequence folder. temporalROI.txt, where present, names the first and last scored frame from 1."""
    inputs = _numbered(folder / "input", "in")
    truths = _numbered(folder / "groundtruth", "gt")
    if not inputs or not truths:
        raise SourceError(
            f"{folder} holds {len(inputs)} input frames and {len(truths)} ground-truth pictures."
        )
    first, last = _scored_range(folder, max(inputs))
    scored = {number: path for number, path in truths.items() if first <= number <= last}
    if not scored.keys() & inputs.keys():
        raise SourceError(
            f"{folder}: no frame is both in input/ and scored ({first} to {last} by temporalROI.txt). "
            "Correct temporalROI.txt."
        )
    region = next((folder / name for name in ("ROI.bmp", "ROI.jpg") if (folder / name).is_file()), None)
    return Sequence(
        name=folder.name,
        inputs=tuple(inputs.values()),
        truths=tuple(scored.get(number) for number in inputs),
        region=region,
    )


def scored_frames(sequence: Sequence) -> Iterator[tuple[Frame, Frame | None, Array | None]]:
    """Each frame, its ground truth and its scored pixels (both None outside the scored range)."""
    region = _grey(sequence.region) > 127 if sequence.region else None
    for path, truth_path in zip(sequence.inputs, sequence.truths, strict=True):
        frame = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if frame is None:
            raise SourceError(f"{path} cannot be read as a picture. Replace the file.")
        if truth_path is None:
            yield frame.astype(np.uint8, copy=False), None, None
            continue
        truth = _grey(truth_path)
        if truth.shape != frame.shape[:2] or (region is not None and region.shape != truth.shape):
            raise SourceError(
                f"{truth_path} is {truth.shape}, its frame {frame.shape[:2]}"
                f"{'' if region is None else f', its ROI {region.shape}'} (height, width): they must agree."
            )
        valid = (truth != OUTSIDE) & (truth != UNKNOWN)
        yield frame.astype(np.uint8, copy=False), truth, valid if region is None else valid & region


def _numbered(folder: Path, prefix: str) -> dict[int, Path]:
    pattern = re.compile(rf"{prefix}(\d+)\.(?:jpg|jpeg|png|bmp)$", re.IGNORECASE)
    found = ((pattern.match(path.name), path) for path in folder.iterdir())
    return dict(sorted((int(match.group(1)), path) for match, path in found if match))


def _scored_range(folder: Path, last: int) -> tuple[int, int]:
    file = folder / "temporalROI.txt"
    if not file.is_file():
        return 1, last
    numbers = file.read_text(encoding="utf-8").split()
    if len(numbers) != 2 or not all(number.isdigit() for number in numbers):
        raise SourceError(f"{file} must hold two frame numbers, it holds {' '.join(numbers)[:60]!r}.")
    return int(numbers[0]), int(numbers[1])


def _grey(path: Path) -> Frame:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise SourceError(f"{path} cannot be read as a picture. Replace the file.")
    return np.asarray(picture, np.uint8)
