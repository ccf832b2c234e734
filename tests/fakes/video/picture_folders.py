"""Sources that several cameras read, and what was written of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from edgebs.tensors import Frame


def picture_folder(folder: Path, frames: Iterable[Frame]) -> Path:
    """A folder with a PNG file per frame."""
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{index}.png"), frame)
    return folder


def broken_folder(folder: Path, frames: Iterable[Frame], at: int) -> Path:
    """The same, with a picture of another size in place of frame `at`: the source ends there."""
    picture_folder(folder, frames)
    cv2.imwrite(str(folder / f"{at}.png"), np.zeros((8, 8, 3), np.uint8))
    return folder


def moving_bar(count: int, *, step: int = 1, size: tuple[int, int] = (32, 48)) -> list[Frame]:
    """A bright bar that moves over the dark."""
    frames = []
    for index in range(count):
        frame = np.zeros((*size, 3), np.uint8)
        frame[:, (index * step * 4) % size[1] :][:, :8] = 255
        frames.append(frame)
    return frames


def masks_of(folder: Path) -> list[Frame]:
    """The written masks, in order."""
    files = sorted(folder.iterdir())
    return [np.asarray(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), np.uint8) for file in files]
