"""CDnet layout: `input/in000001.jpg`, `groundtruth/gt000001.png`, and optionally ROI and temporalROI.txt."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Set
from pathlib import Path

import numpy as np

from bench.scored.masks import all_named, named, region_values, unused_notes
from bench.scored.sequence import (
    Sequence,
    numbering_notes,
    paired,
    pictures_by_number,
    scored_range,
    sequence_name,
)
from edgebs.errors import SourceError
from edgebs.video.picture_folder import PICTURES, picture_files

logger = logging.getLogger(__name__)

REGIONS = ("ROI.bmp", "ROI.png", *(f"ROI{end}" for end in PICTURES if end not in (".bmp", ".png")))
"""The first that is there and a mask; CDnet's own come as BMP and JPEG, and the JPEG may be a photograph."""
RANGE = "temporalROI.txt"
NAMES = {"input": r"in(\d+)", "groundtruth": r"gt(\d+)"}
"""What the stems of the pictures look like, by sub-folder."""


def sequences_in(folder: Path, folders: Set[str]) -> list[Sequence]:
    """The sequence that `folder` is, where its sub-folders say so. Raises SourceError if it is incomplete."""
    return [read_sequence(folder)] if all(_sub_folders(folder, folders).values()) else []


def has_cdnet_names(folder: Path) -> bool:
    """Whether `input` and `groundtruth`, which must be there, both hold pictures of CDnet's names."""
    return all(
        name is not None
        and any(re.fullmatch(NAMES[kind], path.stem, re.IGNORECASE) for path in picture_files(folder / name))
        for kind, name in _sub_folders(folder, _entries(folder)).items()
    )


def read_sequence(folder: Path) -> Sequence:
    """One sequence folder. temporalROI.txt names the first and last scored frame; without it all are.

    Names of files and folders are known in any case. Raises SourceError where two differ in case only.
    """
    entries = _entries(folder)
    inputs, truths = (
        pictures_by_number(folder / (name or kind), NAMES[kind])
        for kind, name in _sub_folders(folder, entries).items()
    )
    if not inputs or not truths:
        raise SourceError(
            f"{folder} holds {len(inputs)} input frames and {len(truths)} ground-truth pictures of CDnet's "
            "names (in000001.jpg, gt000001.png). Both are needed; for other names: --layout folders."
        )
    limits, region = named(folder, entries, RANGE), _region(folder, entries)
    scored = truths
    if limits is not None:
        first, last = scored_range(folder / limits, inputs)
        scored = {number: path for number, path in truths.items() if first <= number <= last}
        if not scored.keys() & inputs.keys():
            raise SourceError(
                f"{folder}: no frame is both in input/ and scored ({first} to {last} by {limits}). "
                f"Correct {limits}."
            )
    return Sequence(
        name=sequence_name(folder),
        inputs=tuple(inputs.values()),
        truths=paired(inputs, scored, folder),
        region=region,
        notes=(*numbering_notes(inputs, scored), *_unused(folder, entries, limits, region)),
    )


def _entries(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _sub_folders(folder: Path, entries: Collection[str]) -> dict[str, str | None]:
    """What `input` and `groundtruth` are called here."""
    return {kind: named(folder, entries, kind) for kind in NAMES}


def _region(folder: Path, entries: Collection[str]) -> Path | None:
    for name in all_named(folder, entries, REGIONS):
        # CDnet's ROI.jpg is in some copies a photograph of the scene and no mask.
        picture = region_values(folder / name)
        grey = np.count_nonzero((picture > 32) & (picture < 223))
        if grey <= 0.02 * picture.size:
            return folder / name
        logger.warning("%s is no mask of two values: it is not used, all pixels are scored", folder / name)
    return None


def _unused(
    folder: Path, entries: Collection[str], limits: str | None, region: Path | None
) -> tuple[str, ...]:
    """Notes on regions and ranges of other names. A copy of the region in another format needs no note."""
    used = {folder / name for name in all_named(folder, entries, REGIONS)} if region is not None else set()
    return unused_notes(folder, used | ({folder / limits} if limits is not None else set()))
