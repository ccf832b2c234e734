"""Sequences with ground truth, read from the layouts of public data sets."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import replace
from pathlib import Path

from bench.scored import cdnet as scored_cdnet
from bench.scored import folders as scored_folders
from bench.scored import lasiesta as scored_lasiesta
from bench.scored.cdnet import read_sequence
from bench.scored.numbered import limu_sequences, wallflower_sequences
from bench.scored.sequence import (
    FOREGROUND,
    OUTSIDE,
    SHADOW,
    UNKNOWN,
    Counts,
    Sequence,
    mean_measures,
    scored_frames,
)
from edgebs.errors import SourceError
from edgebs.video.bit_depth import ValueRange
from edgebs.video.picture_folder import is_side_folder

__all__ = [
    "FOREGROUND",
    "LAYOUTS",
    "OUTSIDE",
    "SHADOW",
    "UNKNOWN",
    "Counts",
    "Sequence",
    "find_sequences",
    "log_notes",
    "mean_measures",
    "read_sequence",
    "scored_frames",
]

logger = logging.getLogger(__name__)

LAYOUTS: dict[str, Callable[[Path, Set[str]], list[Sequence]]] = {
    "cdnet": scored_cdnet.sequences_in,
    "lasiesta": scored_lasiesta.sequences_in,
    "wallflower": wallflower_sequences,
    "folders": scored_folders.sequences_in,
    "limu": limu_sequences,
}
"""Given a folder and the names of its sub-folders, the sequences that the folder holds in that layout.

The order is that of `auto`."""

AUTO = "auto"


def find_sequences(
    root: Path, layout: str = AUTO, *, value_range: ValueRange | None = None
) -> list[Sequence]:
    """Every scored sequence below `root`, at any depth, in order of their paths.

    layout: one of `LAYOUTS`, or auto to recognise each folder by what it holds. Names are the folders', or
    paths from `root` where two folders have one name; the category is the folder above, where there is one.
    value_range: of the frames of all of them, see `open_source`.
    Raises SourceError where there is no sequence, or one is incomplete; ValueError for an unknown layout.
    """
    if layout not in (AUTO, *LAYOUTS):
        raise ValueError(f"layout must be one of {', '.join((AUTO, *LAYOUTS))}, got {layout!r}")
    if not root.is_dir():
        raise SourceError(f"{root} is no folder. Name the folder that holds the scored sequences.")
    found = [
        (folder.relative_to(root), replace(sequence, value_range=value_range))
        for folder, folders in _folders_below(root)
        for sequence in _sequences_in(folder, folders, layout)
    ]
    if not found:
        raise SourceError(
            f"no scored sequence below {root}: expected folders with input/ and groundtruth/ (CDnet layout)"
            f"{_other_layouts(layout)}."
        )
    return _named([(place, _with_category(place, sequence)) for place, sequence in found])


def log_notes(sequences: Iterable[Sequence]) -> None:
    """Warn of what the notes say, where no table shows them."""
    for sequence in sequences:
        for note in sequence.notes:
            logger.warning("%s: %s", sequence.name, note)


def _sequences_in(folder: Path, folders: Set[str], layout: str) -> list[Sequence]:
    if layout != AUTO:
        return LAYOUTS[layout](folder, folders)
    refusal: SourceError | None = None
    for name, read in LAYOUTS.items():
        try:
            if found := read(folder, folders):
                return found
        except SourceError as cause:
            if name == "cdnet" and scored_cdnet.has_cdnet_names(folder):
                # Plain folders would score it too, without what temporalROI.txt and the region say.
                raise
            # The first layout that recognised the folder reports what is wrong with it.
            refusal = refusal or cause
    if refusal is not None:
        raise refusal
    return []


def _folders_below(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """Each folder with the names of its sub-folders, sorted; links are followed, but not in a circle."""
    for place, folders, _files in os.walk(root, followlinks=True):
        folder = Path(place)
        above = {folder.resolve(), *folder.resolve().parents}
        folders[:] = sorted(
            name for name in folders if not is_side_folder(name) and (folder / name).resolve() not in above
        )
        yield folder, set(folders)


def _with_category(place: Path, sequence: Sequence) -> Sequence:
    if sequence.category is not None or len(place.parts) < 2:
        return sequence
    return replace(sequence, category=place.parts[-2])


def _named(found: list[tuple[Path, Sequence]]) -> list[Sequence]:
    uses = Counter(sequence.name for _place, sequence in found)
    return [
        sequence if uses[sequence.name] == 1 else replace(sequence, name=_long_name(place, sequence))
        for place, sequence in sorted(found, key=lambda item: (item[0], item[1].name))
    ]


def _long_name(place: Path, sequence: Sequence) -> str:
    parts = place.parts if place.name == sequence.name else (*place.parts, sequence.name)
    return "/".join(parts)


def _other_layouts(layout: str) -> str:
    if layout == AUTO:
        return ", pairs Id and Id-GT (LASIESTA), hand_segmented_*.BMP (Wallflower), or GroundTruth/ (LIMU)"
    return f"; --layout {layout} looks for no other"
