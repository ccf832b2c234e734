"""A picture of a bundle's work: frames, true masks, cue, probability and mask beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgebs.errors import SinkError
from edgebs.image import mask_from_probability
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array, Frame
from edgebs.video.picture_file import write_picture

TITLES = ("frame", "truth", "cue: long, middle, short gap", "probability", "mask")
BACKGROUND_TITLE = "background"
"""Title of a further panel, if the cue holds a background."""
HEADER = 22


@dataclass(frozen=True, slots=True)
class PictureFrame:
    """One frame of the stream that is drawn."""

    image: Frame
    captured_s: float | None
    truth: Frame | None
    """0/255 mask, if it is known."""
    is_shown: bool
    """Whether it becomes a row; the others only fill the history."""


def draw_picture(pipeline: Pipeline, frames: Iterable[PictureFrame], file: Path, *, note: str = "") -> None:
    """Write a picture with one row per shown frame. note: a line below, such as "untrained weights"."""
    pipeline.reset()
    rows = []
    for frame in frames:
        cue, probability = pipeline.trace(frame.image, frame.captured_s)
        if frame.is_shown:
            rows.append(_row(frame, cue[0], probability, pipeline))
    if not rows:
        raise SinkError(f"{file} cannot be drawn: no frame was given to show.")
    has_background = pipeline.manifest.cue.channels > len(pipeline.manifest.cue.intervals)
    titles = (*TITLES, BACKGROUND_TITLE) if has_background else TITLES
    width = rows[0].shape[1]
    picture = np.vstack([_titles(titles, width), *rows, _line(note, width)])
    write_picture(file, picture)


def _row(frame: PictureFrame, cue: Array, probability: Array, pipeline: Pipeline) -> Frame:
    height, width = frame.image.shape[:2]
    manifest = pipeline.manifest
    mask = mask_from_probability(probability, (height, width), manifest.threshold)
    truth = np.zeros((height, width), np.uint8) if frame.truth is None else frame.truth
    gaps = len(manifest.cue.intervals)
    shown_cue = cv2.resize(_bgr_of_cue(cue[:gaps], manifest.cue.max_magnitude), (width, height))
    grey = cv2.resize((probability * 255).astype(np.uint8), (width, height))
    panels = [frame.image, _bgr(truth), shown_cue, cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS), _bgr(mask)]
    if len(cue) > gaps:
        background = np.ascontiguousarray(cue[gaps : gaps + 3].transpose(1, 2, 0))
        panels.append(cv2.resize(background, (width, height)))
    return np.hstack(panels).astype(np.uint8, copy=False)


def _bgr_of_cue(cue: Array, max_magnitude: float) -> Frame:
    """(K, h, w) magnitudes in px as a colour picture: the first gap blue, the last one red."""
    # The square root shows a slow walker beside a car.
    scaled = np.sqrt(np.clip(cue / max_magnitude, 0, 1))
    channels = [scaled[min(index, len(scaled) - 1)] for index in range(3)]
    return (np.stack(channels, axis=-1) * 255).astype(np.uint8)


def _bgr(grey: Frame) -> Frame:
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def _titles(titles: Sequence[str], width: int) -> Frame:
    header = _line("", width)
    for index, title in enumerate(titles):
        cv2.putText(
            header, title, (index * width // len(titles) + 4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255,) * 3
        )
    return header


def _line(text: str, width: int) -> Frame:
    line = np.zeros((HEADER, width, 3), np.uint8)
    cv2.putText(line, text, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255,) * 3)
    return line
