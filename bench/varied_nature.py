"""What moves in an empty scene and is no foreground: leaves, grass, water and cloth in the wind."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from bench.motion import Sway, random_sway
from bench.varied_bank import PictureBank
from bench.varied_plate import Plate
from edgebs.tensors import Array


@dataclass(frozen=True, slots=True)
class Wave:
    """A region of the plate whose points swing round their places."""

    x: int
    y: int
    at: tuple[Array, Array]
    """Plate columns and rows of the region's pixels at rest, (h, w) float32 each."""
    swing: tuple[Array, Array]
    """Two (h, w) float32 fields of displacement, a quarter of a period apart."""
    rate: float
    """Radians per second."""
    gust: Sway
    slope: float
    """Vertical displacement per horizontal."""

    def displacement(self, seconds: float) -> Array:
        """(h, w) float32: from how many columns to the right each pixel is taken."""
        strength = 0.6 + 0.4 * self.gust.at(seconds)
        turn = self.rate * seconds + 2.0 * self.gust.at(seconds * 0.7)
        return np.asarray(
            cv2.addWeighted(
                self.swing[0], strength * math.cos(turn), self.swing[1], strength * math.sin(turn), 0.0
            )
        )

    def move(self, plate: Array, moved: Array, seconds: float) -> None:
        """Write the region, taken from `plate`, into `moved`."""
        by = self.displacement(seconds)
        columns = cv2.add(self.at[0], by)
        rows = cv2.scaleAdd(by, self.slope, self.at[1])
        h, w = by.shape
        moved[self.y : self.y + h, self.x : self.x + w] = cv2.remap(
            plate, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )


def random_wave(rng: np.random.Generator, bank: PictureBank, plate: Plate) -> Wave | None:
    """Wind in one of the plate's soft regions, or in a region of any shape."""
    height, width = plate.image.shape[:2]
    if plate.soft and rng.random() < 0.8:
        mask = plate.soft[int(rng.integers(0, len(plate.soft)))]
    else:
        mask = np.zeros((height, width), np.uint8)
        middle = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        axes = (int(rng.uniform(0.1, 0.5) * width) + 2, int(rng.uniform(0.1, 0.5) * height) + 2)
        cv2.ellipse(mask, middle, axes, rng.uniform(0, 180), 0, 360, 255.0, -1)
    fixed = mask.copy()
    for occluder in plate.occluders:  # what stands in front does not wave
        patch = occluder.patch
        h, w = patch.pixels.shape
        box = fixed[patch.y : patch.y + h, patch.x : patch.x + w]
        cv2.subtract(box, patch.pixels, box)
    x, y, w, h = cv2.boundingRect(fixed)
    if min(w, h) < 4:
        return None
    part = cv2.blur(fixed[y : y + h, x : x + w], (5, 5)).astype(np.float32) * np.float32(1 / 255)
    reach = float(np.exp(rng.uniform(math.log(0.4), math.log(5.0)))) * max(height, width) / 144
    rows, columns = (min(side, 512) for side in (h, w))
    v, u = rng.integers(0, 512 - rows + 1), rng.integers(0, 512 - columns + 1)
    cloud = bank.clouds[int(rng.integers(0, 3))][v : v + rows, u : u + columns]
    if (rows, columns) != (h, w):
        cloud = cv2.resize(cloud, (w, h))
    angle = cloud * np.float32(rng.uniform(1.0, 6.0))
    sway = part * np.float32(reach)
    mx, my = np.meshgrid(np.arange(x, x + w, dtype=np.float32), np.arange(y, y + h, dtype=np.float32))
    return Wave(
        x, y, (mx, my), (sway * np.cos(angle), sway * np.sin(angle)),
        2 * math.pi * float(np.exp(rng.uniform(math.log(0.2), math.log(3.0)))), random_sway(rng, 0.08, 0.6),
        rng.uniform(-0.6, 0.6),
    )  # fmt: skip
