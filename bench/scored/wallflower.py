"""Wallflower layout: `b00000.bmp` onwards, and one `hand_segmented_01850.BMP` for the frame of that number.

The data set's page (research.microsoft.com, Wallflower test images) says: one folder a scene, pictures in
BMP, one hand-segmented evaluation picture, and `script.txt` in words. The names are as public readers of it
expect them (plstcharles/litiv). All frames up to the evaluated one are run, as in the paper's protocol; those
after it are left out.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from bench.scored.masks import unused_notes
from bench.scored.sequence import (
    Sequence,
    binary_labels,
    numbering_notes,
    paired,
    pictures_by_number,
    sequence_name,
    with_notes,
)

TRUTH = r"hand_segmented_(\d+)"
"""The stem of a ground-truth picture."""


def sequences_in(folder: Path, folders: Set[str]) -> list[Sequence]:  # noqa: ARG001
    """The sequence that `folder` is, where it holds a hand-segmented picture with a number."""
    if not pictures_by_number(folder, TRUTH):
        return []
    sequence = read_sequence(folder)
    return [with_notes(sequence, unused_notes(folder, set(sequence.inputs)))]


def read_sequence(folder: Path) -> Sequence:
    """The frames up to the last one that is scored."""
    truths = pictures_by_number(folder, TRUTH)
    frames = pictures_by_number(folder, r"b(\d+)")
    inputs = {number: path for number, path in frames.items() if number <= max(truths)}
    return Sequence(
        name=sequence_name(folder),
        inputs=tuple(inputs.values()),
        truths=paired(inputs, truths, folder),
        layout="wallflower",
        labels=binary_labels,
        notes=numbering_notes(inputs, truths),
    )
