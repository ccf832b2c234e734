"""Cars from the side: outlines, paint, wheels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from bench.scenes.textures import SOFTEN, noise, sprite_from
from edgebs.tensors import Array

WHEEL = 0.33
"""Radius of a wheel in metres."""


@dataclass(frozen=True, slots=True)
class CarShape:
    """A side view, facing right: metres from the rear bumper, and over the ground."""

    outline: tuple[tuple[float, float], ...]
    windows: tuple[tuple[tuple[float, float], ...], ...]
    axles: tuple[float, float]
    doors: tuple[float, ...]

    @property
    def length(self) -> float:
        """Metres."""
        return max(x for x, _ in self.outline)

    @property
    def height(self) -> float:
        """Metres."""
        return max(y for _, y in self.outline)


_SEDAN = CarShape(
    ((0.05, 0.28), (0.0, 0.7), (0.08, 0.95), (0.7, 1.02), (1.3, 1.4), (1.6, 1.47), (2.4, 1.47), (2.65, 1.4),
     (3.3, 1.0), (4.1, 0.86), (4.35, 0.65), (4.4, 0.28)),
    (((1.0, 1.03), (1.42, 1.36), (1.95, 1.38), (1.95, 1.0)),
     ((2.03, 1.0), (2.03, 1.38), (2.58, 1.34), (3.05, 1.0))),
    (0.85, 3.5), (1.0, 1.98, 3.1),
)  # fmt: skip


_HATCH = CarShape(
    ((0.05, 0.28), (0.0, 0.9), (0.22, 1.4), (0.5, 1.52), (1.9, 1.53), (2.2, 1.44), (2.8, 1.02), (3.6, 0.88),
     (3.86, 0.62), (3.9, 0.28)),
    (((0.4, 1.02), (0.5, 1.4), (1.3, 1.43), (1.3, 1.0)),
     ((1.38, 1.0), (1.38, 1.43), (2.05, 1.4), (2.55, 1.0))),
    (0.72, 3.1), (0.75, 1.34, 2.55),
)  # fmt: skip


_VAN = CarShape(
    ((0.03, 0.32), (0.0, 1.95), (0.15, 2.1), (3.4, 2.1), (3.75, 1.95), (4.4, 1.25), (5.0, 1.08), (5.18, 0.7),
     (5.2, 0.32)),
    (((3.2, 1.25), (3.2, 1.85), (3.6, 1.85), (4.15, 1.25)),),
    (0.95, 4.2), (0.1, 2.0, 3.1, 4.2),
)  # fmt: skip


SHAPES = (_SEDAN, _HATCH, _SEDAN, _HATCH, _VAN)


_PAINT = (
    (40, 40, 44), (190, 192, 196), (110, 60, 30), (40, 36, 140), (150, 150, 148), (90, 96, 70),
    (225, 228, 230), (60, 110, 160), (80, 50, 40),
)  # fmt: skip


def paint_car(rng: np.random.Generator, shape: CarShape, density: float) -> list[Array]:
    """Body and wheel sprites; the body's sprite holds the ground under its rear bumper at `car_origin`."""
    width, height = math.ceil(shape.length * density) + 1, math.ceil((shape.height + ROOF) * density) + 1
    colour = np.array(_PAINT[rng.integers(0, len(_PAINT))], np.float64) * rng.uniform(0.85, 1.1)
    image = np.zeros((height, width, 3), np.uint8)
    alpha = np.zeros((height, width), np.uint8)

    def fill(points: Sequence[tuple[float, float]], tone: Array, lift: float = 0.0) -> None:
        corners = np.array([[x * density, height - 1 - (y + lift) * density] for x, y in points])
        fixed = np.rint(corners * 16).astype(np.int32)
        shade = tuple(float(c) for c in np.clip(tone, 0, 255))
        cv2.fillPoly(image, [fixed], shade, cv2.LINE_AA, 4)
        cv2.fillPoly(alpha, [fixed], 255.0, cv2.LINE_AA, 4)

    for step in np.linspace(ROOF, 0, max(int(ROOF * density), 2)):  # roof and bonnet, seen from above
        fill(shape.outline, colour * 1.12 + 26, float(step))
    x0, x1 = shape.axles
    fill(((x0 - 0.3, 0.1), (x0 - 0.3, 0.5), (x1 + 0.3, 0.5), (x1 + 0.3, 0.1)), np.array([16, 16, 16]))
    fill(shape.outline, colour)
    low = [(x, min(y, 0.62)) for x, y in shape.outline]
    fill(low, colour * 0.8)
    fill([(x, min(y, 0.4)) for x, y in shape.outline], np.array([34, 34, 36]) + colour * 0.1)
    glass = np.array([74, 62, 52]) * rng.uniform(0.6, 1.3)
    for window in shape.windows:
        fill(window, glass)
        (ax, ay), (bx, by) = window[0], window[1]
        fill(
            (window[1], window[2], ((window[2][0] + ax) / 2, ay + 0.12), (ax, (ay + by) / 2)),
            glass * 1.5 + 20,
        )
        del bx
    for door in shape.doors:
        fill(((door, 0.42), (door, 0.98), (door + 0.03, 0.98), (door + 0.03, 0.42)), colour * 0.55)
    front = shape.length
    fill(
        ((front - 0.28, 0.62), (front - 0.3, 0.76), (front - 0.1, 0.76), (front - 0.06, 0.62)),
        np.array([235, 245, 245]),
    )
    fill(((0.03, 0.7), (0.03, 0.88), (0.16, 0.88), (0.14, 0.7)), np.array([30, 30, 190]))
    for axle in shape.axles:
        arch = [(axle + 0.41 * math.cos(a), WHEEL + 0.41 * math.sin(a)) for a in np.linspace(0, math.pi, 12)]
        fill(arch, np.array([14, 14, 14]))
    gloss = 1 + 0.06 * noise(rng, height, width, 0.8 * density, 3)
    return [sprite_from(image * gloss[..., None], alpha / np.float32(255), SOFTEN), _paint_wheel(density)]


ROOF = 0.34
"""Metres that roof and bonnet rise over the side view, as the camera looks down on them."""


def _paint_wheel(density: float) -> Array:
    radius = WHEEL * density
    side = 2 * math.ceil(radius) + 1
    y, x = np.mgrid[:side, :side].astype(np.float32) - (side - 1) / 2
    far, angle = np.hypot(x, y) / np.float32(radius), np.arctan2(y, x)
    rim = np.clip((0.66 - far) * radius, 0, 1)
    spokes = 0.35 + 0.65 * (np.cos(5 * angle) > -0.2) * (far > 0.12)
    tone = 24 + rim * (140 * spokes + 24 * np.cos(angle - 1))
    return sprite_from(np.repeat(tone[..., None], 3, 2), np.clip((1 - far) * radius + 0.5, 0, 1), SOFTEN)
