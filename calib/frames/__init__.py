"""Calibration sets: frames chosen from a video, stored with their origin.

calibration.json lists, for each sample, its source and frame and the frames that its cue looks back to.
Images that several samples need are stored once, and read when they are used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from edgebs.errors import CalibrationError, SourceError
from edgebs.tensors import Frame
from edgebs.video.picture_file import read_frame

FORMAT = 1
"""Raised by one when a set written before can no longer be read."""

FACTS = "calibration.json"
IMAGES = "images"
SHEET = "contact-sheet.jpg"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibrationSample:
    """One frame with what the cue compares it with. All images of a sample have one size."""

    frame: Frame
    """(H, W, 3) uint8 BGR, at most 512 pixels long."""
    pasts: Mapping[int, Frame]
    """Interval to the past frame, chosen by the same `History` that runs in the pipeline."""
    source: str
    """Name of the source, as in `CalibrationSet.sources`."""
    frame_number: int
    """In its source, from 0."""

    def __repr__(self) -> str:
        return f"CalibrationSample({self.source} frame {self.frame_number}, {self.frame.shape})"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSet:
    """A verified set."""

    folder: Path
    document: Mapping[str, Any]
    """calibration.json."""

    @property
    def hash(self) -> str:
        """sha256 over the images, their order and what they are for: two sets with one hash are the same."""
        return str(self.document["hash"])

    @property
    def intervals(self) -> tuple[int, ...]:
        """Frames, at `nominal_fps`, that the pasts lie back."""
        return tuple(self.document["intervals"])

    @property
    def nominal_fps(self) -> float:
        """Frames/s that the intervals mean."""
        return float(self.document["nominal_fps"])

    @property
    def sources(self) -> Sequence[Mapping[str, Any]]:
        """Name, path, fps, frames, size, sha256 and number of samples of each source."""
        return list(self.document["sources"])

    @property
    def warnings(self) -> Sequence[str]:
        """What is weak about this set, for people."""
        return list(self.document["warnings"])

    @property
    def samples(self) -> Sequence[CalibrationSample]:
        """In order of source and time; each is read from disk when it is taken."""
        return _Samples(self.folder, self.document["samples"])

    def facts(self) -> dict[str, Any]:
        """What a manifest keeps about the set."""
        return {
            "path": str(self.folder),
            "hash": self.hash,
            "frames": len(self.samples),
            "intervals": list(self.intervals),
            "nominal_fps": self.nominal_fps,
            "look_ahead": bool(self.document["look_ahead"]),
            "sources": [dict(source) for source in self.sources],
            "warnings": list(self.warnings),
        }


def load_calibration_set(folder: str | Path) -> CalibrationSet:
    """The set in `folder`. Raises CalibrationError unless it is there, of this format, and unchanged."""
    folder = Path(folder)
    document = _document(folder)
    if document.get("format") != FORMAT:
        raise CalibrationError(
            f"{folder} is a calibration set of format {document.get('format')}; this version reads {FORMAT}. "
            f"{_again(folder)}"
        )
    try:
        _verify(folder, document)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CalibrationError(f"{folder / FACTS} is damaged ({error!r}). {_again(folder)}") from error
    return CalibrationSet(folder=folder, document=document)


def set_hash(document: Mapping[str, Any]) -> str:
    """The hash that belongs to a document: over the images' hashes, the samples in order, the intervals."""
    covered = {key: document[key] for key in ("intervals", "nominal_fps", "look_ahead", "samples", "images")}
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()


def _document(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CalibrationError(
            f"{folder} is no calibration set: there is no {FACTS} in it. "
            f"Make one with: edgebs calibrate VIDEO --out {_free_name(folder)}"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CalibrationError(f"{folder / FACTS} cannot be read ({error}). {_again(folder)}") from error
    if not isinstance(document, dict):
        raise CalibrationError(f"{folder / FACTS} is damaged: not an object. {_again(folder)}")
    return document


def _free_name(folder: Path) -> Path:
    """Where `edgebs calibrate` writes without --force: `folder` itself where nothing is there."""
    return folder.with_name(f"{folder.name}-calibration") if folder.exists() else folder


def _verify(folder: Path, document: Mapping[str, Any]) -> None:
    if set_hash(document) != document["hash"]:
        raise CalibrationError(f"{folder / FACTS} was changed: its hash does not fit. {_again(folder)}")
    if not document["samples"]:
        raise CalibrationError(f"{folder / FACTS} holds no samples. {_again(folder)}")
    list(document["warnings"]), [source["name"] for source in document["sources"]]
    for sample in document["samples"]:
        for used in (sample, *sample["pasts"].values()):
            document["images"][used["image"]]
    for name, expected in document["images"].items():
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as error:
            raise CalibrationError(
                f"{folder / name} is missing or unreadable ({error.strerror}). {_again(folder)}"
            ) from error
        if found != expected:
            raise CalibrationError(
                f"{folder / name} was changed: its sha256 is {found[:12]}..., not {expected[:12]}.... "
                f"{_again(folder)}"
            )


def _again(folder: Path) -> str:
    return f"Copy the set again, or make it anew: edgebs calibrate VIDEO --out {folder} --force"


class _Samples(Sequence[CalibrationSample]):
    def __init__(self, folder: Path, entries: Sequence[Mapping[str, Any]]) -> None:
        self._folder, self._entries = folder, entries

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> CalibrationSample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[CalibrationSample]: ...
    def __getitem__(self, index: int | slice) -> CalibrationSample | Sequence[CalibrationSample]:
        if isinstance(index, slice):
            return _Samples(self._folder, self._entries[index])
        entry = self._entries[index]
        return CalibrationSample(
            frame=self._image(entry["image"]),
            pasts={int(tau): self._image(past["image"]) for tau, past in entry["pasts"].items()},
            source=str(entry["source"]),
            frame_number=int(entry["frame_number"]),
        )

    def _image(self, name: str) -> Frame:
        try:
            return read_frame(self._folder / name)
        except SourceError as cause:
            raise CalibrationError(f"{cause} {_again(self._folder)}") from cause
