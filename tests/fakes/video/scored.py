"""Scored sequences of a few pixels, in every layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SIZE = (6, 8)


def write_picture(path: Path, level: int, size: tuple[int, int] = SIZE) -> Path:
    """A frame of one grey level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), level, np.uint8))
    return path


def write_mask(path: Path, *, rows: int = 2, size: tuple[int, int] = SIZE, value: int = 255) -> Path:
    """A mask whose first `rows` rows are `value`, the others 0."""
    mask = np.zeros(size, np.uint8)
    mask[:rows] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask)
    return path


def write_cdnet(folder: Path, *, frames: int = 4, levels: tuple[int, ...] = (), rows: int = 2) -> Path:
    """CDnet layout. levels: grey level of each frame; default its number."""
    for number in range(1, frames + 1):
        level = levels[number - 1] if levels else number
        write_picture(folder / f"input/in{number:06d}.png", level)
        write_mask(folder / f"groundtruth/gt{number:06d}.png", rows=rows)
    return folder
