"""All pictures of a set on one page, so that a person sees in ten seconds what it covers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from edgebs.image import network_frame
from edgebs.tensors import Frame

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
