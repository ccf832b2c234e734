"""CDnet layout: `input/in000001.jpg`, `groundtruth/gt000001.png`, and optionally ROI and temporalROI.txt."""

from __future__ import annotations

import logging
import re
from collections.abc import Set
from pathlib import Path

import numpy as np

from bench.scored_sequence import (
    Sequence,
    is_picture,
    numbering_notes,
    paired,
    pictures_by_number,
    read_picture,
    sequence_name,
)
from edgebs.errors import SourceError

logger = logging.getLogger(__name__)

REGIONS = ("ROI.bmp", "ROI.png", "ROI.jpg")
NAMES = {"input": r"in(\d+)", "groundtruth": r"gt(\d+)"}
"""What the stems of the pictures look like, by sub-folder."""


def sequences_in(folder: Path, folders: Set[str]) -> list[Sequence]:
    """The sequence that `folder` is, where its sub-folders say so. Raises SourceError if it is incomplete."""
    return [read_sequence(folder)] if {"input", "groundtruth"} <= folders else []


def has_cdnet_names(folder: Path) -> bool:
    """Whether `input` and `groundtruth`, which must be there, both hold pictures of CDnet's names."""
    return all(
        any(
            is_picture(path.name) and re.fullmatch(pattern, path.stem, re.IGNORECASE)
            for path in (folder / name).iterdir()
        )
        for name, pattern in NAMES.items()
    )


def read_sequence(folder: Path) -> Sequence:
    """One sequence folder. temporalROI.txt names the first and last scored frame; without it all are."""
    inputs, truths = (pictures_by_number(folder / name, pattern) for name, pattern in NAMES.items())
    if not inputs or not truths:
        raise SourceError(
            f"{folder} holds {len(inputs)} input frames and {len(truths)} ground-truth pictures of CDnet's "
            "names (in000001.jpg, gt000001.png). Both are needed; for other names: --layout folders."
        )
    scored = truths
    if (limits := _scored_range(folder)) is not None:
        first, last = limits
        scored = {number: path for number, path in truths.items() if first <= number <= last}
        if not scored.keys() & inputs.keys():
            raise SourceError(
                f"{folder}: no frame is both in input/ and scored ({first} to {last} by temporalROI.txt). "
                "Correct temporalROI.txt."
            )
    return Sequence(
        name=sequence_name(folder),
        inputs=tuple(inputs.values()),
        truths=paired(inputs, scored, folder),
        region=_region(folder),
        notes=numbering_notes(inputs, scored),
    )


def _region(folder: Path) -> Path | None:
    for name in REGIONS:
        file = folder / name
        if file.is_file():
            # CDnet's ROI.jpg is in some copies a photograph of the scene and no mask.
            picture = read_picture(file)
            grey = np.count_nonzero((picture > 32) & (picture < 223))
            if grey <= 0.02 * picture.size:
                return file
            logger.warning("%s is no mask of two values: it is not used, all pixels are scored", file)
    return None


def _scored_range(folder: Path) -> tuple[int, int] | None:
    file = folder / "temporalROI.txt"
    if not file.is_file():
        return None
    numbers = file.read_text(encoding="utf-8", errors="replace").split()
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise SourceError(f"{file} must hold two frame numbers, it holds {' '.join(numbers)[:60]!r}.")
    return int(numbers[0]), int(numbers[1])
