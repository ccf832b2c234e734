"""What stands in an empty scene: parked cars, furniture, statues; and what hides those who pass behind."""

from __future__ import annotations

import cv2
import numpy as np

from bench.scenes.draw import Patch
from bench.scenes.place.painter import Occluder, Painter, Plate
from edgebs.tensors import Array


def add_clutter(p: Painter, plate: Plate) -> None:
    """Parked cars, boxes, furniture, shelves, statues and posters: they never move, and are no foreground."""
    feet = np.sort(p.rng.uniform(0.3, 1.05, int(p.rng.integers(0, 7)))).tolist()
    for foot in feet:
        y, x = foot * p.h, p.rng.uniform(-0.05, 1.05) * p.w
        metre = plate.view.metre(y) * p.rng.uniform(0.8, 1.25)
        metre = min(metre, 0.6 * p.h)
        kind = p.rng.random()
        if kind < 0.3 and not plate.is_indoor:
            metre = min(metre, 0.3 * p.h)
            p.image = _contact(p, x, y, 2.0 * metre)
            p.stamp(p.one("vehicle"), (x, y), metre)
        elif kind < 0.55:
            p.stamp(p.one("thing"), (x, y), metre * p.rng.uniform(0.8, 2.5))
        elif kind < 0.6:  # a statue: a person's outline in one grey
            metre = min(metre, 0.3 * p.h)
            before = p.image.copy()
            p.stamp(p.one("person"), (x, y), metre, "stand")
            p.image = cv2.addWeighted(p.image, 0.6, cv2.blur(before, (5, 5)), 0.4, p.rng.uniform(-20, 20))
        elif kind < 0.75:
            _shelf(p, x, y, metre)
        else:
            p.box(x, y - p.rng.uniform(0.3, 1.5) * metre, p.rng.uniform(0.3, 2) * metre, 1.2 * metre)


def _contact(p: Painter, x: float, y: float, reach: float) -> Array:
    shade = np.full((p.h, p.w), 255, np.uint8)
    size = (max(int(reach), 1), max(int(0.12 * reach), 1))
    cv2.ellipse(shade, (int(x), int(y)), size, 0, 0, 360, float(p.rng.uniform(90, 200)), -1)
    shade = cv2.blur(shade, (5, 5))
    return np.asarray(cv2.multiply(p.image, cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR), scale=1 / 255))


def _shelf(p: Painter, x: float, y: float, metre: float) -> None:
    wide, high = p.rng.uniform(0.6, 2) * metre, p.rng.uniform(0.6, 2) * metre
    p.box(x, y - high, wide, high, p.tone(20, 120))
    rows, columns = int(p.rng.integers(2, 5)), int(p.rng.integers(2, 7))
    for row in range(rows):
        for column in range(columns):
            x0, y0 = x + (column + 0.1) * wide / columns, y - high + (row + 0.2) * high / rows
            corner = (int(x0 + 0.8 * wide / columns), int(y0 + 0.7 * high / rows))
            cv2.rectangle(p.image, (int(x0), int(y0)), corner, p.tone(), -1)


def add_posts(p: Painter, plate: Plate) -> None:
    """Poles, trunks, fences, hedges and counters in front: they hide who passes behind."""
    if not p.chance(0.5):
        return
    for _ in range(int(p.rng.integers(1, 4))):
        y, x = p.rng.uniform(0.5, 1.15) * p.h, p.rng.uniform(0, p.w)
        metre = min(plate.view.metre(y), 0.9 * p.h)
        kind = p.rng.random()
        mask: Patch | None
        if kind < 0.55:
            thick = float(np.clip(p.rng.uniform(0.08, 0.45) * metre, 1.2, 0.2 * p.w))
            top = y - p.rng.uniform(1.5, 6.0) * metre
            lean = p.rng.uniform(-0.05, 0.05) * (y - top)
            mask = p.area(
                [(x, y), (x + thick, y), (x + thick + lean, top), (x + lean, top)], p.tone(20, 190), 0.5
            )
        elif kind < 0.7:
            mask = _fence(p, y, metre)
        else:
            wide, high = p.rng.uniform(0.5, 3.0) * metre, p.rng.uniform(0.4, 1.2) * metre
            mask = p.box(x, y - high, wide, high)
        if mask is not None and min(mask.pixels.shape) > 0:
            plate.occluders.append(Occluder(mask, y))


def _fence(p: Painter, y: float, metre: float) -> Patch | None:
    high, pitch = p.rng.uniform(0.6, 1.3) * metre, max(p.rng.uniform(0.1, 0.5) * metre, 4.0)
    thick, tone = max(0.12 * pitch, 1.0), p.tone(20, 220)
    x0, x1 = sorted(p.rng.uniform(-0.2, 1.2, 2).tolist())
    whole = np.zeros((p.h, p.w), np.uint8)
    bars = [((x, y), (x, y - high)) for x in np.arange(x0 * p.w, x1 * p.w, pitch).tolist()]
    bars += [((x0 * p.w, row), (x1 * p.w, row)) for row in (y - high, y - 0.2 * high)]
    for a, b in bars:
        bar = p.line(a, b, thick, tone)
        if bar is not None:
            h, w = bar.pixels.shape
            box = whole[bar.y : bar.y + h, bar.x : bar.x + w]
            cv2.max(box, bar.pixels, box)
    return Patch(0, 0, whole) if whole.any() else None
