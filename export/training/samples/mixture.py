"""Rendered and scored samples in one stream; it pickles and imports no torch."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.scored import Sequence as ScoredSequence
from bench.scored import find_sequences, log_notes, scored_frames
from bench.scored.sequence import LABELS, OUTSIDE, UNKNOWN
from edgebs.bundle.manifest import CueSettings
from edgebs.cues import open_cue
from edgebs.cues.background import SAMPLES, WINDOW_S
from edgebs.errors import ExportError, OptionError, SinkError, SourceError
from edgebs.files import atomic_file, atomic_folder
from edgebs.image import network_frame
from edgebs.machine.console import Progress
from edgebs.tensors import Array, Frame
from edgebs.video.bit_depth import ValueRange
from export.training.stream.workers import Render, Sample

TRIES = 8
"""Crops that are looked at until one holds a pixel that counts."""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One part of a store (see `build_store`), read in place."""

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
    """Each sequence is either rendered or drawn from scored data, at random."""

    rendered: Render
    data: Render
    data_share: float
    """In [0, 1]."""

    def __call__(self, seed: int, index: int) -> list[Sample]:
        is_data = np.random.default_rng((seed, index, 0x313)).random() < self.data_share
        return (self.data if is_data else self.rendered)(seed, index)


def data_share(text: str) -> float:
    """`rendered=0.8,data=0.2`, in any order, any positive weights, as the share of data.

    Raises ExportError for any other text.
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


HELD_FRAMES = 256
"""Frames of the sequences held back that are validated on, over all of them."""
FREE_SHARE = 0.9
"""Share of the free disk that samples may take."""
CUE_REVISION = 1
"""Raise it with every change of edgebs/cues that changes a cue's values: it makes older stores stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """Which frames of which sequences."""

    root: Path
    """Folder that holds the sequences, at any depth, in one of the layouts of bench.scored."""
    share: float = 1.0
    """Of each sequence's labelled frames, evenly chosen; the paper takes 0.05."""
    fold: tuple[int, int] | None = None
    """(k, n): the sequences, sorted by name, whose number is k modulo n are held back, and validated on."""
    size: tuple[int, int] = (256, 256)
    """(H, W) at which the cue is computed: the network's, as at run time."""
    value_range: ValueRange | None = None
    """Values that become 0 and 255, see `edgebs.video.open.open_source`."""

    def __post_init__(self) -> None:
        """Raise ExportError naming the option that is out of range."""
        if not 0 < self.share <= 1:
            raise OptionError(f"--share must be above 0 and at most 1, got {self.share:g}.")
        if self.fold is not None and not (self.fold[1] >= 2 and 1 <= self.fold[0] <= self.fold[1]):
            raise OptionError(f"--fold must be like 1/3, K from 1 to N, got {self.fold[0]}/{self.fold[1]}.")


def split(options: DataOptions) -> tuple[list[ScoredSequence], list[ScoredSequence]]:
    """The sequences to train on, and those held back. Raises SourceError, ExportError."""
    found = sorted(
        find_sequences(options.root, value_range=options.value_range), key=lambda sequence: sequence.name
    )
    log_notes(found)
    if options.fold is None:
        return found, []
    k, n = options.fold
    if len(found) < n:
        raise ExportError(f"--fold {k}/{n} needs {n} sequences; below {options.root} are {len(found)}.")
    held = found[k - 1 :: n]
    return [sequence for sequence in found if sequence not in held], held


def evenly(count: int, wanted: int) -> set[int]:
    """`wanted` of the numbers 0 to count - 1, evenly spaced."""
    wanted = min(wanted, count)
    return {int((place + 0.5) * count / wanted) for place in range(wanted)}


def build_store(options: DataOptions, cue: CueSettings, out: Path, progress: Progress) -> Path:
    """The folder below `out` with the samples of `options`; computed where it is not there yet.

    It holds `train/` and, with a fold, `held/`, each as arrays that are read in place. Its name is a hash of
    what went in. progress: called with (frames read, all). Raises SourceError for data that cannot be used,
    SinkError where there is no room.
    """
    training, held = split(options)
    folder = out / f"data-{store_key(options, cue, [*training, *held])}"
    if folder.is_dir():
        return folder
    plans = {
        "train": [(s, max(1, round(options.share * s.scored_count))) for s in training],
        "held": [(s, max(1, HELD_FRAMES // max(len(held), 1))) for s in held],
    }
    _require_room(plans, options.size, cue, out)
    read = _Counter(sum(len(s.inputs) for plan in plans.values() for s, _ in plan), progress)
    with atomic_folder(folder, SinkError) as temporary:
        for name, plan in plans.items():
            if plan:
                _write_part(temporary / name, plan, options.size, cue, read)
    return folder


def store_key(options: DataOptions, cue: CueSettings, sequences: Sequence[ScoredSequence]) -> str:
    """A hash of all that decides the samples; files are known by name and size."""
    files = [
        [
            sequence.name,
            [[path.name, path.stat().st_size] for path in sequence.inputs],
            [[path.name, path.stat().st_size] if path else None for path in sequence.truths],
            sequence.region and [sequence.region.name, sequence.region.stat().st_size],
        ]
        for sequence in sequences
    ]
    computed_by = [CUE_REVISION, cv2.__version__, SAMPLES, WINDOW_S]
    facts = [files, cue.to_json(), options.share, options.fold, options.size, computed_by]
    if options.value_range is not None:
        facts.append(options.value_range)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def samples_of(
    sequence: ScoredSequence, wanted: int, size: tuple[int, int], cue: CueSettings, seen: Callable[[], None]
) -> Iterator[tuple[Frame, Array, Frame]]:
    """`wanted` of the labelled frames, evenly chosen, each with its cue and labels at network size.

    A chosen frame without a pixel that counts is replaced by the next that has one. Raises SourceError.
    """
    chosen = evenly(sequence.scored_count, wanted)
    history = open_cue(cue, size, None)
    owed = labelled = taken = 0
    try:
        for frame, truth, valid in scored_frames(sequence):
            seen()
            small = network_frame(frame, size)
            if truth is not None and valid is not None:
                owed += labelled in chosen
                labelled += 1
                labels = resized_labels(truth, valid, size)
                if owed and not np.isin(labels, (OUTSIDE, UNKNOWN)).all():
                    owed -= 1
                    taken += 1
                    output = history.update(small, None)
                    yield small, output.tensors["cue"][0].astype(np.float16), labels
                    continue
            history.remember(small, None)
    finally:
        history.close()
    if taken == 0:
        raise SourceError(
            f"{sequence.name}: no labelled frame has a pixel that counts: all are outside the region of "
            "interest or unknown. Correct the ground truth, or leave the sequence out."
        )


def resized_labels(truth: Frame, valid: Array, size: tuple[int, int]) -> Frame:
    """CDnet labels at network size: of each pixel the one that covers most of it; outside where not valid.

    truth: (H, W) uint8. valid: (H, W) bool, the pixels that are scored. size: (height, width).
    """
    outside = ~valid & (truth != UNKNOWN)
    kept = np.where(outside, OUTSIDE, truth).astype(np.uint8)
    if kept.shape == size:
        return kept
    shrinks = size[0] <= kept.shape[0] and size[1] <= kept.shape[1]
    if not shrinks:
        return np.asarray(cv2.resize(kept, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    cover = [
        cv2.resize((kept == label).astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        for label in LABELS
    ]
    most: Frame = np.asarray(LABELS, np.uint8)[np.argmax(cover, axis=0)]
    return most


class _Counter:
    """Frames read so far."""

    def __init__(self, total: int, progress: Progress) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def __call__(self) -> None:
        self.done += 1
        self.progress(self.done, self.total)


def _require_room(plans: dict[str, Any], size: tuple[int, int], cue: CueSettings, out: Path) -> None:
    frames = sum(min(wanted, s.scored_count) for plan in plans.values() for s, wanted in plan)
    needed = frames * size[0] * size[1] * (4 + 2 * cue.channels)
    out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out).free
    if needed > FREE_SHARE * free:
        raise SinkError(
            f"{frames} frames with their cue take {needed / 1e9:.1f} GB, and {out} has {free / 1e9:.1f} GB "
            "free. Take fewer with --share, or another --out."
        )


def _write_part(
    folder: Path,
    plan: Sequence[tuple[ScoredSequence, int]],
    size: tuple[int, int],
    cue: CueSettings,
    seen: Callable[[], None],
) -> None:
    folder.mkdir()
    most = sum(min(wanted, sequence.scored_count) for sequence, wanted in plan)
    shapes: dict[str, tuple[tuple[int, ...], Any]] = {
        "frame": ((most, *size, 3), np.uint8),
        "cue": ((most, cue.channels, *size), np.float16),
        "labels": ((most, *size), np.uint8),
    }
    arrays = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
        for name, (shape, dtype) in shapes.items()
    }
    ends, count = {}, 0
    for sequence, wanted in plan:
        for sample in samples_of(sequence, wanted, size, cue, seen):
            for name, value in zip(arrays, sample, strict=True):
                arrays[name][count] = value
            count += 1
        ends[sequence.name] = count
    for array in arrays.values():
        array.flush()
    with atomic_file(folder / "sequences.json", SinkError) as temporary:
        temporary.write_text(json.dumps(ends, indent=2) + "\n", encoding="utf-8")
