"""One sequence with ground truth, whatever layout it came from: frames, CDnet labels, scored pixels."""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from bench.scored.masks import mask_values, region_values
from edgebs.errors import SourceError
from edgebs.tensors import Array, Frame
from edgebs.video.bit_depth import EightBits, ValueRange
from edgebs.video.picture_file import read_picture
from edgebs.video.picture_folder import picture_files

FOREGROUND, SHADOW, OUTSIDE, UNKNOWN = 255, 50, 85, 170
"""CDnet's labels; 0 is static background, and a shadow counts as background (docs/networks.md section 6)."""


LABELS = (0, SHADOW, OUTSIDE, UNKNOWN, FOREGROUND)


logger = logging.getLogger(__name__)


Labels = Callable[[Path], Frame]
"""Reads one ground-truth picture as (H, W) uint8 CDnet labels; raises SourceError outside its convention."""


def labels_from_values(path: Path, values: Mapping[int, int], convention: str) -> Frame:
    """A ground-truth mask with each of its values replaced by the label that `values` gives it.

    path: as `mask_values` reads it. Raises SourceError, naming file, value and pixel count, for a value that
    `values` does not have.
    """
    picture = mask_values(path)
    counts = np.bincount(picture.ravel(), minlength=256)
    strange = [value for value in np.flatnonzero(counts).tolist() if value not in values]
    if strange:
        raise SourceError(
            f"{path}: {sum(int(counts[value]) for value in strange)} pixels hold values outside the "
            f"convention: {', '.join(map(str, strange[:5]))}{', …' if len(strange) > 5 else ''} "
            f"({int(counts[strange[0]])} pixels of {strange[0]}). {convention} "
            "Store ground truth without loss (PNG, BMP), or choose another --layout."
        )
    table = np.zeros(256, np.uint8)
    for value, label in values.items():
        table[value] = label
    return table[picture]


def cdnet_labels(path: Path) -> Frame:
    """Ground truth whose values are CDnet's labels."""
    return labels_from_values(
        path,
        {label: label for label in LABELS},
        "CDnet's are 0 background, 50 shadow, 85 outside, 170 unknown, 255 foreground.",
    )


def binary_labels(path: Path) -> Frame:
    """Ground truth of two values: 0 background, 255 foreground."""
    return labels_from_values(
        path, {0: 0, 255: FOREGROUND}, "Two values are expected: 0 background, 255 foreground."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """One scored sequence on disk."""

    name: str
    inputs: tuple[Path, ...]
    """Frames in order."""
    truths: tuple[Path | None, ...]
    """The ground truth of each frame; None where it is not scored."""
    region: Path | None = None
    """Picture whose non-zero pixels are scored; None for all."""
    category: str | None = None
    """What kind of scene the data set files it under; None where it has no kinds."""
    layout: str = "cdnet"
    """One of bench.scored.LAYOUTS."""
    labels: Labels = field(default=cdnet_labels, repr=False)
    """Reads a ground-truth picture as CDnet labels."""
    value_range: ValueRange | None = None
    """Values of the frames that become 0 and 255, see `edgebs.video.open.open_source`."""
    notes: tuple[str, ...] = ()
    """What a reader of the score should know: gaps in the frame numbers, ground truth without a frame,
    regions that are not used."""

    @property
    def scored_count(self) -> int:
        """How many frames are scored."""
        return sum(truth is not None for truth in self.truths)


def scored_frames(sequence: Sequence) -> Iterator[tuple[Frame, Frame | None, Array | None]]:
    """Each frame, its ground truth and its scored pixels (both None outside the scored range).

    Frames are (H, W, 3) uint8 BGR, truths (H, W) uint8 CDnet labels, scored pixels (H, W) bool.
    Raises SourceError for an unreadable picture, sizes that differ, labels outside the convention, and a
    region of interest without a pixel.
    """
    region = scored_region(sequence)
    size: tuple[int, int] | None = None
    depth = EightBits(sequence.value_range)
    for index, path in enumerate(sequence.inputs):
        frame = _read(path, depth)
        if index == 0 and depth.note:
            logger.warning("%s", depth.note)
        if size is not None and frame.shape[:2] != size:
            raise SourceError(
                f"{path} is {frame.shape[:2]}, the frames before it {size} (height, width). "
                "One sequence has one size: split it, or resize the frame."
            )
        size = (frame.shape[0], frame.shape[1])
        yield frame, *_truth_of(sequence, index, frame, region)


def scored_frame(
    sequence: Sequence, index: int, region: Array | None
) -> tuple[Frame, Frame | None, Array | None]:
    """One frame by its position, as `scored_frames` gives it. region: of `scored_region`."""
    frame = frame_at(sequence, index)
    return frame, *_truth_of(sequence, index, frame, region)


def frame_at(sequence: Sequence, index: int) -> Frame:
    """One frame by its position, (H, W, 3) uint8 BGR, by the mapping that the first frame settles."""
    depth = EightBits(sequence.value_range)
    path = sequence.inputs[index]
    picture = read_picture(path)
    if picture.values.dtype != np.uint8 and sequence.value_range is None:
        _read(sequence.inputs[0], depth)
    return depth.frame(picture.values, str(path), picture.own_range)


def _read(path: Path, depth: EightBits) -> Frame:
    picture = read_picture(path)
    return depth.frame(picture.values, str(path), picture.own_range)


def _truth_of(
    sequence: Sequence, index: int, frame: Frame, region: Array | None
) -> tuple[Frame | None, Array | None]:
    path = sequence.truths[index]
    if path is None:
        return None, None
    truth = sequence.labels(path)
    _require_same_size(path, truth, frame, region)
    return truth, scored_pixels(truth, region)


def scored_pixels(truth: Frame, region: Array | None) -> Array:
    """(H, W) bool: neither outside, nor unknown, and in the region of interest."""
    valid: Array = (truth != OUTSIDE) & (truth != UNKNOWN)
    return valid if region is None else valid & region


def scored_region(sequence: Sequence) -> Array | None:
    """The region of interest as (H, W) bool, or None for all pixels. Raises SourceError if it is empty."""
    if sequence.region is None:
        return None
    region: Array = region_values(sequence.region) > 127
    if not region.any():
        raise SourceError(
            f"{sequence.region} has no pixel above 127: the region of interest is empty and nothing would be "
            "scored. Draw it in white, or remove the file to score all pixels."
        )
    return region


def _require_same_size(path: Path, truth: Frame, frame: Frame, region: Array | None) -> None:
    if truth.shape != frame.shape[:2] or (region is not None and region.shape != truth.shape):
        raise SourceError(
            f"{path} is {truth.shape}, its frame {frame.shape[:2]}"
            f"{'' if region is None else f', its ROI {region.shape}'} (height, width): "
            "they must agree. Put the ground truth of these very frames there."
        )


def sequence_name(folder: Path) -> str:
    """The folder's own name, as it is written, also where a link leads elsewhere."""
    return folder.name or folder.resolve().name


def pictures_by_number(folder: Path, pattern: str = r".*?(\d+)") -> dict[int, Path]:
    """Pictures of `folder` by the number that the first group of `pattern` finds in their stem, sorted.

    The default takes the last number of the stem. Raises SourceError where two pictures have one number.
    """
    found: dict[int, Path] = {}
    for path in sorted(picture_files(folder)):
        match = re.fullmatch(pattern, path.stem, re.IGNORECASE)
        if match is None:
            continue
        number = int(match.group(1))
        if number in found:
            raise SourceError(
                f"{folder}: {found[number].name} and {path.name} are both number {number}. Remove one."
            )
        found[number] = path
    return dict(sorted(found.items()))


def with_notes(sequence: Sequence, notes: tuple[str, ...]) -> Sequence:
    """The sequence with further notes."""
    return replace(sequence, notes=(*sequence.notes, *notes)) if notes else sequence


def paired(inputs: Mapping[int, Path], truths: Mapping[int, Path], where: Path) -> tuple[Path | None, ...]:
    """The ground truth of each input by frame number. Raises SourceError where no frame has one."""
    if not inputs or not truths:
        raise SourceError(
            f"{where} holds {len(inputs)} input frames and {len(truths)} ground-truth pictures. "
            "Both are needed; check the folder and --layout."
        )
    if not inputs.keys() & truths.keys():
        raise SourceError(
            f"{where}: no frame has ground truth: frames {min(inputs)} to {max(inputs)}, ground truth "
            f"{min(truths)} to {max(truths)}. Check the numbers in the file names."
        )
    return tuple(truths.get(number) for number in inputs)


def numbering_notes(inputs: Mapping[int, Path], truths: Mapping[int, Path]) -> tuple[str, ...]:
    """What is odd about the frame numbers, in sentences: gaps, and ground truth without a frame."""
    numbers = list(inputs)
    gaps = [(a, b) for a, b in pairwise(numbers) if b != a + 1]
    steps = {b - a for a, b in pairwise(numbers)}
    notes = []
    if gaps and len(steps) == 1:
        notes.append(f"every {steps.pop()}th frame only: the cue sees motion that much faster")
    elif gaps:
        notes.append(f"{len(gaps)} gaps in the frame numbers, the first from {gaps[0][0]} to {gaps[0][1]}")
    if missing := len(truths.keys() - inputs.keys()):
        notes.append(f"{missing} ground-truth pictures have no frame and are not scored")
    return tuple(notes)


ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # UTF-32 begins as UTF-16 does, and comes first.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""By byte order mark: Notepad on Windows writes one."""


_FORM = "must hold two frame numbers, the first and the last scored one, like 300 1099"


def scored_range(file: Path, frames: Collection[int]) -> tuple[int, int]:
    """First and last scored frame, as numbers of file names; between them white space, commas or semicolons.

    frames: the numbers of the frames that are there. Raises SourceError for anything but two numbers, for a
    last one before the first, and for numbers that count from 0 where the files count from 1.
    """
    text = _text(file)
    words = [word for word in re.split(r"[\s,;]+", text) if word]
    if len(words) != 2 or not all(re.fullmatch(r"[0-9]{1,9}", word) for word in words):
        raise SourceError(f"{file} {_FORM}; it holds {' '.join(words)[:60]!r}.")
    first, last = (int(word) for word in words)
    if last < first:
        raise SourceError(f"{file} {_FORM}; it holds {first} {last}, the other way round.")
    if first == 0 and frames and min(frames) == 1:
        raise SourceError(
            f"{file} holds {first} {last} and counts from 0; the frames are numbered {min(frames)} to "
            f"{max(frames)}. Count as the file names do."
        )
    return first, last


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as cause:
        raise SourceError(f"{file} cannot be read: {cause.strerror}. Check its permissions.") from cause
    encoding = next((name for mark, name in ENCODINGS if content.startswith(mark)), "utf-8")
    return content.decode(encoding, errors="replace")


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
