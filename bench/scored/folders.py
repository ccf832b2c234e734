"""Plain pairs of folders: frames in one, masks of the same names in the other, and nothing else known.

Frames lie in `input`, `images` or `frames`, masks in `groundtruth`, `ground_truth`, `gt`, `mask` or `masks`
beside it, in any case. A mask belongs to the frame of the same stem, or, where no two stems agree, to the
frame whose name ends in the same number. Masks are 0 background and 255 foreground; CDnet's other labels keep
their meaning.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from bench.scored.masks import all_named, unused_notes
from bench.scored.sequence import (
    Sequence,
    numbering_notes,
    paired,
    pictures_by_number,
    sequence_name,
    with_notes,
)
from edgebs.errors import SourceError
from edgebs.video.picture_folder import picture_files, require_one_kind

INPUT_FOLDERS = ("input", "images", "frames")
TRUTH_FOLDERS = ("groundtruth", "ground_truth", "gt", "mask", "masks")


def sequences_in(folder: Path, folders: Set[str]) -> list[Sequence]:
    """The sequence that `folder` is, where it has a sub-folder of each kind."""
    inputs = list(all_named(folder, folders, INPUT_FOLDERS))
    truths = list(all_named(folder, folders, TRUTH_FOLDERS))
    if not inputs or not truths:
        return []
    sequence = read_sequence(folder, folder / inputs[0], folder / truths[0])
    others = tuple(
        f"{name}/ is not used: {taken}/ is taken" for taken, *names in (inputs, truths) for name in names
    )
    return [with_notes(sequence, (*others, *unused_notes(folder, ())))]


def read_sequence(folder: Path, input_folder: Path, truth_folder: Path) -> Sequence:
    """The frames in order of their names, those with a mask scored. Raises SourceError where none has one."""
    inputs, truths = _by_stem(input_folder), _by_stem(truth_folder)
    if not inputs or not truths:
        raise SourceError(
            f"{folder}: {input_folder.name}/ holds {len(inputs)} pictures and {truth_folder.name}/ "
            f"{len(truths)}. Both are needed; check the folder and --layout."
        )
    if not inputs.keys() & truths.keys():
        return _read_by_number(folder, input_folder, truth_folder)
    missing = len(truths.keys() - inputs.keys())
    return Sequence(
        name=sequence_name(folder),
        inputs=tuple(inputs.values()),
        truths=tuple(truths.get(stem) for stem in inputs),
        layout="folders",
        notes=(f"{missing} ground-truth pictures have no frame and are not scored",) if missing else (),
    )


def _read_by_number(folder: Path, input_folder: Path, truth_folder: Path) -> Sequence:
    inputs, truths = pictures_by_number(input_folder), pictures_by_number(truth_folder)
    return Sequence(
        name=sequence_name(folder),
        inputs=tuple(inputs.values()),
        truths=paired(inputs, truths, folder),
        layout="folders",
        notes=numbering_notes(inputs, truths),
    )


def _by_stem(folder: Path) -> dict[str, Path]:
    # Shorter names first: frame9 comes before frame10, and names of one length sort as text.
    paths = sorted(picture_files(folder), key=lambda path: (len(path.stem), path.stem))
    require_one_kind(paths)
    return {path.stem: path for path in paths}
