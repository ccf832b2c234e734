"""LASIESTA layout: a folder `I_SI_01` of pictures beside a folder `I_SI_01-GT` of coloured ground truth.

The colours are those of the data set's own page (gti.ssr.upm.es/data/LASIESTA): black background; red,
green and yellow the first, second and third moving object; white a moving object that remains still; grey
(128, 128, 128) undecided. The page writes the folder's name `Id_GT`, public readers `Id-GT`: both are taken.
Files are numbered without leading zeros (`I_SI_01-GT_1.png`): the last number of a name is the frame's.

A moving object that remains still counts as foreground here, as an abandoned object does in CDnet. The
category is the Id without its number: `I_SI`.
"""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path

import cv2
import numpy as np

from bench.scored.masks import mask_colours, named, unused_notes
from bench.scored.sequence import (
    FOREGROUND,
    UNKNOWN,
    Sequence,
    numbering_notes,
    paired,
    pictures_by_number,
    with_notes,
)
from edgebs.errors import SourceError
from edgebs.tensors import Frame

SUFFIXES = ("-GT", "_GT")

COLOURS = {
    0x000000: 0,
    0xFF0000: FOREGROUND,
    0x00FF00: FOREGROUND,
    0x0000FF: FOREGROUND,
    0xFFFF00: FOREGROUND,
    0xFFFFFF: FOREGROUND,
    0x808080: UNKNOWN,
}
"""Label by 0xRRGGBB. Blue is not on the page; it is taken for a fourth object."""


def sequences_in(folder: Path, folders: Set[str]) -> list[Sequence]:
    """Every pair of sub-folders `Id` and `Id-GT` of `folder`."""
    pairs = [
        (inputs, name)
        for suffix in SUFFIXES
        for name in sorted(folders)
        if name.casefold().endswith(suffix.casefold())
        and (inputs := _frames_of(folder, folders, name[: -len(suffix)])) is not None
    ]
    notes = unused_notes(folder, ()) if pairs else ()
    return [
        with_notes(
            read_sequence(folder / inputs, folder / truths), (*notes, *unused_notes(folder / inputs, ()))
        )
        for inputs, truths in pairs
    ]


def _frames_of(folder: Path, folders: Set[str], name: str) -> str | None:
    """The folder of frames called `name`: of that very name, or else in another case."""
    return name if name in folders else named(folder, folders, name)


def read_sequence(folder: Path, truth_folder: Path) -> Sequence:
    """The frames of `folder`, every one of which has its ground truth in `truth_folder`."""
    inputs, truths = pictures_by_number(folder), pictures_by_number(truth_folder)
    return Sequence(
        name=folder.name,
        category=re.sub(r"[_-]?\d+$", "", folder.name) or None,
        inputs=tuple(inputs.values()),
        truths=paired(inputs, truths, truth_folder),
        layout="lasiesta",
        labels=colour_labels,
        notes=numbering_notes(inputs, truths),
    )


def colour_labels(path: Path) -> Frame:
    """CDnet labels of a ground-truth picture in LASIESTA's colours. Raises SourceError for another colour."""
    blue, green, red = cv2.split(mask_colours(path).astype(np.uint32))
    colours = red << 16 | green << 8 | blue
    labels = np.zeros(colours.shape, np.uint8)
    is_known = np.zeros(colours.shape, bool)
    for colour, label in COLOURS.items():
        here = colours == colour
        labels[here] = label
        is_known |= here
    if not is_known.all():
        strange = colours[~is_known]
        raise SourceError(
            f"{path}: {strange.size} pixels hold colours outside the convention, the first "
            f"#{int(strange[0]):06x} (red, green, blue). LASIESTA's are black, red, green, yellow, white and "
            "grey 128. Store ground truth without loss, or choose another --layout."
        )
    return labels
