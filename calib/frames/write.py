"""The second pass: stores the chosen frames, the ones they look back to, and a page that shows them."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from calib.frames import FACTS, IMAGES, SHEET, set_hash
from calib.frames.survey import Candidate, Survey
from edgebs.errors import CalibrationError
from edgebs.files.cache import file_digest
from edgebs.image import network_frame
from edgebs.tensors import Frame
from edgebs.text import json_text
from edgebs.video.open import open_source
from edgebs.video.picture_folder import picture_files

CELL = (120, 160)
"""(height, width) of a thumbnail, pixels."""

LABEL = 16
TITLE = 24
MARGIN = 4
INK = (225, 225, 225)
PAPER = 30


def thumbnail(frame: Frame) -> Frame:
    """(120, 160, 3) uint8: the whole frame, letterboxed."""
    scale = min(CELL[0] / frame.shape[0], CELL[1] / frame.shape[1])
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    cell = np.full((*CELL, 3), PAPER, np.uint8)
    top, left = (CELL[0] - height) // 2, (CELL[1] - width) // 2
    cell[top : top + height, left : left + width] = network_frame(frame, (height, width))
    return cell


def contact_sheet(thumbnails: Sequence[Frame], labels: Sequence[str], title: Sequence[str]) -> Frame:
    """The page: title lines, then the thumbnails with their labels in reading order. BGR."""
    columns = max(4, math.ceil(math.sqrt(len(thumbnails) * 1.2)))
    rows = math.ceil(len(thumbnails) / columns)
    step_y, step_x = CELL[0] + LABEL + MARGIN, CELL[1] + MARGIN
    top = MARGIN + TITLE * len(title)
    page = np.full((top + rows * step_y, MARGIN + columns * step_x, 3), PAPER, np.uint8)
    for line, text in enumerate(title):
        _write(page, text, (MARGIN + 2, TITLE * line + 18), 0.5)
    for place, (cell, label) in enumerate(zip(thumbnails, labels, strict=True)):
        y, x = top + place // columns * step_y, MARGIN + place % columns * step_x
        page[y : y + CELL[0], x : x + CELL[1]] = cell
        _write(page, label, (x + 2, y + CELL[0] + 12), 0.38)
    return page


def _write(page: Frame, text: str, origin: tuple[int, int], scale: float) -> None:
    plain = text.encode("ascii", "replace").decode()  # OpenCV's font has no other letters
    cv2.putText(page, plain, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)


MAX_SIDE = 512
"""Longest side of a stored image: twice what the networks see, so that the area average at network size wipes
out what JPEG does; 1200 images (300 samples with three pasts) then take 30 to 100 MB instead of gigabytes."""

JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
"""Colour at full resolution: halved, as is usual in JPEG, it would be coarser than the networks see it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is taken from one source."""

    name: str
    """Unique in the set; part of the image names."""
    survey: Survey
    picks: Sequence[Candidate]
    """In order of time."""


def write_set(
    folder: Path, plans: Sequence[Plan], header: Mapping[str, Any], progress: Callable[[int], None]
) -> None:
    """Fill `folder`. progress: called with the number of frames read of the present source."""
    (folder / IMAGES).mkdir()
    images: dict[str, str] = {}
    thumbnails: dict[str, Frame] = {}
    samples = [_sample(plan.name, pick) for plan in plans for pick in plan.picks]
    shown = {sample["image"] for sample in samples}
    for plan in plans:
        for number, image in _extracted(plan, progress):
            file = _file(plan.name, number)
            images[file] = _stored(folder / file, image)
            if file in shown:
                thumbnails[file] = thumbnail(image)
    sources = [_source(plan) for plan in plans]
    document = {**header, "sources": sources, "samples": samples, "images": images}
    document["hash"] = set_hash(document)
    cells = [thumbnails[sample["image"]] for sample in samples]
    labels = [f"{one['source'][:8]} {one['frame_number']}  {one['moving']:.1%}" for one in samples]
    page = contact_sheet(cells, labels, _title(document))
    _stored(folder / SHEET, page)
    (folder / FACTS).write_text(json_text(document, indent=1), encoding="utf-8")


def _file(name: str, number: int) -> str:
    return f"{IMAGES}/{name}_{number:06d}.jpg"


def _sample(name: str, pick: Candidate) -> dict[str, Any]:
    return {
        "source": name,
        "frame_number": pick.number,
        "captured_s": pick.captured_s,
        "moving": round(pick.moving, 4),
        "image": _file(name, pick.number),
        "pasts": {
            str(tau): {"frame_number": number, "image": _file(name, number)}
            for tau, number in pick.pasts.items()
        },
        "futures": {},  # of the format
    }


def _extracted(plan: Plan, progress: Callable[[int], None]) -> Iterator[tuple[int, Frame]]:
    """The frames that any pick needs, at most 512 pixels long."""
    wanted = {number for pick in plan.picks for number in (pick.number, *pick.pasts.values())}
    if not wanted:
        return
    with open_source(plan.survey.path, value_range=plan.survey.value_range) as source:
        for frame in source:
            if frame.index in wanted:
                yield frame.index, _bounded(frame.image)
            progress(frame.index + 1)
            if frame.index == max(wanted):
                return
    raise CalibrationError(
        f"{plan.survey.path} changed while it was read: frame {max(wanted)} is gone. Try again when its "
        "recording has ended."
    )


def _bounded(image: Frame) -> Frame:
    scale = min(1.0, MAX_SIDE / max(image.shape))
    return network_frame(
        image, (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    )


def _stored(file: Path, image: Frame) -> str:
    """sha256 of the JPEG written. Through memory, because cv2.imwrite does not say why it failed."""
    _, encoded = cv2.imencode(".jpg", image, JPEG)
    content = encoded.tobytes()
    file.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _source(plan: Plan) -> dict[str, Any]:
    seen = plan.survey
    return {
        "name": plan.name,
        "file": seen.path.name,
        "fps": seen.fps,
        "frames": seen.frames,
        "size": list(seen.size),
        "samples": len(plan.picks),
        "sha256": _sha256(seen.path),
        **({} if seen.value_range is None else {"value_range": list(seen.value_range)}),
    }


def _sha256(path: Path) -> str:
    """Of a file; of a folder, over the names and contents of its pictures."""
    if path.is_file():
        return file_digest(path).hex()
    whole = hashlib.sha256()
    for picture in sorted(picture_files(path)):
        content = picture.read_bytes() if picture.is_file() else b""
        whole.update(os.fsencode(picture.name) + b"\0" + hashlib.sha256(content).digest())
    return whole.hexdigest()


def _title(document: Mapping[str, Any]) -> list[str]:
    title = [
        f"{len(document['samples'])} samples, cue looks back {document['intervals']} frames at "
        f"{document['nominal_fps']:g}/s; below each: source, frame, share that moves. "
        f"Hash {document['hash'][:12]}"
    ]
    title += [
        f"{source['name']}: {source['samples']} of {source['frames']} frames, "
        f"{source['size'][1]}x{source['size'][0]}"
        for source in document["sources"]
    ]
    return title + [f"Warning: {text}" for text in document["warnings"]]
