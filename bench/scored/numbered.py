"""Layouts of numbered pictures: Wallflower, and LIMU.

Wallflower has `b00000.bmp` onwards, and one `hand_segmented_01850.BMP` for the frame of that number. The data
set's page (research.microsoft.com, Wallflower test images) says: one folder a scene, pictures in BMP, one
hand-segmented evaluation picture, and `script.txt` in words. The names are as public readers of it expect
them (plstcharles/litiv). All frames up to the evaluated one are run, as in the paper's protocol; those after
it are left out.

LIMU has a folder of pictures with a sub-folder `GroundTruth` that holds masks of some of the frames. The data
set's page (limu.ait.kyushu-u.ac.jp/dataset/en/) could not be read from here, so this is an assumption, and
the files are read by what they say: the sub-folder is called GroundTruth, ground_truth or gt in any case; the
last number in a file's name is its frame; masks are 0 background and 255 foreground.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from pathlib import Path

from bench.scored.masks import first_named, looks_like_limits, unused_notes
from bench.scored.sequence import (
    Sequence,
    binary_labels,
    numbering_notes,
    paired,
    pictures_by_number,
    sequence_name,
    with_notes,
)
from edgebs.video.picture_folder import picture_files

TRUTH_FOLDERS = ("groundtruth", "ground_truth", "gt")
TRUTH = r"hand_segmented_(\d+)"
"""The stem of a ground-truth picture."""


def wallflower_sequences(folder: Path, folders: Set[str]) -> list[Sequence]:  # noqa: ARG001
    """The sequence that `folder` is, where it holds a hand-segmented picture with a number."""
    if not pictures_by_number(folder, TRUTH):
        return []
    sequence = _wallflower(folder)
    return [with_notes(sequence, unused_notes(folder, set(sequence.inputs)))]


def _wallflower(folder: Path) -> Sequence:
    """The frames up to the last one that is scored."""
    truths = pictures_by_number(folder, TRUTH)
    frames = pictures_by_number(folder, r"b(\d+)")
    inputs = {number: path for number, path in frames.items() if number <= max(truths)}
    return _sequence("wallflower", folder, inputs, truths, folder)


def limu_sequences(folder: Path, folders: Set[str]) -> list[Sequence]:
    """The sequence that `folder` is, where it holds numbered pictures beside a folder of ground truth."""
    truths = first_named(folder, folders, TRUTH_FOLDERS)
    if truths is None or not any(re.search(r"\d", path.stem) for path in picture_files(folder)):
        return []
    sequence = _limu(folder, folder / truths)
    return [with_notes(sequence, unused_notes(folder, set(sequence.inputs)))]


def _limu(folder: Path, truth_folder: Path) -> Sequence:
    """The frames of `folder`, of which those with a mask in `truth_folder` are scored."""
    numbered, truths = pictures_by_number(folder), pictures_by_number(truth_folder)
    frames = {number: path for number, path in numbered.items() if not looks_like_limits(path.name)}
    inputs = frames or numbered
    return _sequence("limu", folder, inputs, truths, truth_folder)


def _sequence(
    layout: str, folder: Path, inputs: Mapping[int, Path], truths: Mapping[int, Path], truth_folder: Path
) -> Sequence:
    """Numbered pictures, of which those with a truth of the same number are scored."""
    return Sequence(
        name=sequence_name(folder),
        inputs=tuple(inputs.values()),
        truths=paired(inputs, truths, truth_folder),
        layout=layout,
        labels=binary_labels,
        notes=numbering_notes(inputs, truths),
    )
