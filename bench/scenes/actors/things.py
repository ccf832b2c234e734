"""Vehicles, animals and things as small pictures, for the scenes that train."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from bench.scenes.actors.cars import ROOF, SHAPES, WHEEL, CarShape, paint_car
from bench.scenes.actors.people import Picture, cropped
from bench.scenes.textures import noise
from edgebs.tensors import Array

Point = tuple[float, float]

_BUS = CarShape(
    ((0.05, 0.35), (0.0, 2.9), (0.2, 3.05), (9.8, 3.05), (10.0, 2.8), (10.05, 0.35)),
    tuple(((x, 1.5), (x, 2.6), (x + 1.25, 2.6), (x + 1.25, 1.5)) for x in np.arange(0.5, 9.5, 1.5).tolist()),
    (2.4, 7.7),
    (1.2, 5.2, 8.9),
)
_TRUCK = CarShape(
    (
        (0.05, 0.5),
        (0.0, 3.2),
        (5.6, 3.2),
        (5.65, 1.0),
        (5.8, 1.0),
        (5.85, 2.5),
        (6.9, 2.5),
        (7.35, 1.5),
        (7.5, 0.4),
    ),
    (((6.1, 1.5), (6.1, 2.3), (6.75, 2.3), (7.15, 1.5)),),
    (1.3, 6.5),
    (5.7, 7.2),
)
VEHICLES = (*SHAPES, _BUS, _TRUCK)
CAR_DENSITY = 36.0
"""Sprite pixels per metre of a car; buses and trucks are drawn at half of it."""


class _Pad:
    """A canvas in metres, x to the right and y up from the ground."""

    def __init__(self, width: float, height: float, density: float) -> None:
        self.density, self.rim = density, 4
        shape = (math.ceil(height * density) + 2 * self.rim, math.ceil(width * density) + 2 * self.rim)
        self.colour, self.alpha = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
        self.ground = shape[0] - 1 - self.rim

    def _fixed(self, points: Sequence[Point]) -> Array:
        rows = [(self.rim + x * self.density, self.ground - y * self.density) for x, y in points]
        return np.asarray(np.rint(np.array(rows) * 16).astype(np.int32))

    def fill(self, points: Sequence[Point], tone: Sequence[float] | Array) -> None:
        shade = tuple(float(np.clip(c, 0, 255)) for c in tone)
        # A dark rim round the colour would show where alpha is partial: colour reaches one pixel farther.
        cv2.polylines(self.colour, [self._fixed(points)], True, shade, 2, cv2.LINE_8, 4)
        cv2.fillPoly(self.colour, [self._fixed(points)], shade, cv2.LINE_8, 4)
        cv2.fillPoly(self.alpha, [self._fixed(points)], 255.0, cv2.LINE_AA, 4)

    def oval(self, x: float, y: float, rx: float, ry: float, tone: Sequence[float] | Array) -> None:
        angles = np.linspace(0, 2 * math.pi, 24, endpoint=False).tolist()
        self.fill([(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles], tone)

    def bar(self, a: Point, b: Point, thick: float, tone: Sequence[float] | Array) -> None:
        dx, dy = b[0] - a[0], b[1] - a[1]
        norm = math.hypot(dx, dy) or 1.0
        nx, ny = -dy / norm * thick / 2, dx / norm * thick / 2
        self.fill(
            [(a[0] + nx, a[1] + ny), (b[0] + nx, b[1] + ny), (b[0] - nx, b[1] - ny), (a[0] - nx, a[1] - ny)],
            tone,
        )

    def picture(self, rng: np.random.Generator, foot_x: float, rough: float = 0.08) -> Picture:
        grain = 1 + rough * noise(rng, *self.alpha.shape, max(self.alpha.shape) / 4, 4)
        light = 1 + 0.15 * np.linspace(1, -1, self.alpha.shape[0], dtype=np.float32)[:, None]
        alpha = cv2.GaussianBlur(self.alpha, (3, 3), 0.6).astype(np.float32)
        colour = np.clip(self.colour * (grain * light)[..., None], 0, 255) * (alpha[..., None] / 255)
        return cropped(np.dstack([colour, alpha]), (self.rim + foot_x * self.density, float(self.ground)))


def draw_vehicle(rng: np.random.Generator, nth: int) -> tuple[Picture, float]:
    """A vehicle from the side, facing right, or (one in four) from the front; and its pixels per metre."""
    if nth % 4 == 3:
        return _vehicle_front(rng), CAR_DENSITY
    shape = VEHICLES[int(rng.integers(0, len(VEHICLES)))]
    density = CAR_DENSITY if shape.length < 5.5 else CAR_DENSITY / 2
    body, wheel = paint_car(rng, shape, density)
    canvas = np.zeros_like(body)
    canvas[...] = body
    ground = body.shape[0] - 1 - 3
    for axle in shape.axles:
        hub = (wheel.shape[0] - 1) / 2
        matrix = np.array([[1, 0, 3 + axle * density - hub], [0, 1, ground - WHEEL * density - hub]])
        layer = cv2.warpAffine(wheel, matrix, (canvas.shape[1], canvas.shape[0]), flags=cv2.INTER_LINEAR)
        canvas = canvas * (1 - layer[..., 3:]) + layer
    canvas[..., 3] *= 255
    squeeze = rng.uniform(0.55, 1.0) if rng.random() < 0.5 else 1.0  # seen at an angle
    canvas = cv2.resize(canvas, None, fx=squeeze, fy=1.0, interpolation=cv2.INTER_AREA)
    return cropped(canvas, ((3 + shape.length / 2 * density) * squeeze, float(ground))), density


def _vehicle_front(rng: np.random.Generator) -> Picture:
    wide, high = rng.uniform(1.6, 2.4), rng.uniform(1.3, 3.0)
    pad = _Pad(wide + 0.2, high + ROOF, CAR_DENSITY)
    paint = np.clip(rng.uniform(20, 230) + rng.uniform(-50, 50, 3), 8, 245)
    dark = np.array([20.0, 20, 20])
    for x in (0.25, wide - 0.15):
        pad.bar((x, 0.0), (x, 0.5), 0.25, dark)
    waist, shoulder = 0.55 * high, rng.uniform(0.08, 0.22)
    pad.fill(
        [
            (0.1, 0.22),
            (0.08, waist),
            (0.1 + shoulder, high),
            (wide - shoulder, high),
            (wide + 0.02, waist),
            (wide, 0.22),
        ],
        paint,
    )
    pad.fill([(0.1, 0.22), (0.09, 0.5), (wide, 0.5), (wide, 0.22)], paint * 0.6)
    glass = np.array([80.0, 68, 56]) * rng.uniform(0.5, 1.6)
    pad.fill(
        [
            (0.2, waist),
            (0.16 + shoulder, high - 0.12),
            (wide - shoulder - 0.06, high - 0.12),
            (wide - 0.1, waist),
        ],
        glass,
    )
    lamp = (235.0, 245, 245) if rng.random() < 0.6 else (40.0, 40, 190)
    for x in (0.3, wide - 0.2):
        pad.oval(x, 0.66, 0.15, 0.09, lamp)
    pad.fill(
        [(wide / 2 - 0.25, 0.35), (wide / 2 - 0.25, 0.48), (wide / 2 + 0.3, 0.48), (wide / 2 + 0.3, 0.35)],
        (210.0, 215, 215),
    )
    return pad.picture(rng, wide / 2 + 0.05, 0.06)


def draw_boat(rng: np.random.Generator) -> tuple[Picture, float, float]:
    """A boat from the side, facing right; its pixels per metre, and its height in metres."""
    long = float(np.exp(rng.uniform(math.log(3.0), math.log(18.0))))
    board = long * rng.uniform(0.06, 0.14)
    has_sail, has_cabin = rng.random() < 0.3, rng.random() < 0.7
    height = long * rng.uniform(0.9, 1.3) if has_sail else board + long * rng.uniform(0.1, 0.3)
    density = 240.0 / max(long, height)
    pad = _Pad(long + 0.2, height, density)
    hull = np.clip(rng.uniform(20, 240) + rng.uniform(-40, 40, 3), 8, 250)
    bow, stern = rng.uniform(0.05, 0.2) * long, rng.uniform(0.0, 0.06) * long
    pad.fill([(stern, 0.0), (0.0, board), (long, board * 1.15), (long - bow, 0.0)], hull)
    pad.bar((0.0, board), (long, board * 1.1), 0.12 * board, np.clip(hull * rng.uniform(0.3, 1.7), 5, 250))
    if has_cabin or not has_sail:
        _draw_cabin(rng, pad, long, board, min(height, board + 0.3 * long))
    if has_sail:
        mast = long * rng.uniform(0.45, 0.65)
        cloth = np.clip(rng.uniform(120, 245) + rng.uniform(-20, 20, 3), 8, 250)
        pad.bar((mast, board), (mast, height), 0.012 * long, hull * 0.5)
        pad.fill([(mast, board * 1.4), (mast, height * 0.97), (0.06 * long, board * 1.6)], cloth)
        if rng.random() < 0.6:
            pad.fill([(mast, board * 1.4), (mast, height * 0.85), (long * 0.96, board * 1.3)], cloth * 0.92)
    return pad.picture(rng, long / 2, 0.1), density, height


def _draw_cabin(rng: np.random.Generator, pad: _Pad, long: float, board: float, top: float) -> None:
    left, wide = rng.uniform(0.1, 0.4) * long, rng.uniform(0.25, 0.5) * long
    tone = np.clip(rng.uniform(60, 245) + rng.uniform(-30, 30, 3), 8, 250)
    pad.fill([(left, board), (left + 0.04 * long, top), (left + 0.9 * wide, top), (left + wide, board)], tone)
    count, high = int(rng.integers(2, 7)), top - board
    for nth in range(count):
        x = left + wide * (0.12 + 0.76 * nth / count)
        w = 0.5 * wide / count
        panes = [(x, board + 0.45 * high), (x, board + 0.8 * high)]
        pad.fill([*panes, (x + w, board + 0.8 * high), (x + w, board + 0.45 * high)], (60.0, 52, 44))


def draw_bicycle(rng: np.random.Generator, phases: int) -> tuple[list[Picture], float]:
    """A cyclist from the side, pedalling through `phases` pictures; and the pixels per metre."""
    density = 60.0
    coat, legs, skin, frame = (
        np.clip(rng.uniform(20, 220) + rng.uniform(-60, 60, 3), 8, 240) for _ in range(4)
    )
    skin = np.array([110.0, 145, 195]) * rng.uniform(0.5, 1.15)
    state = rng.bit_generator.state
    pictures = []
    for turn in np.linspace(0, 2 * math.pi, phases, endpoint=False).tolist():
        rng.bit_generator.state = state  # the same grain in all phases
        pad = _Pad(1.9, 1.9, density)
        for x in (0.4, 1.4):
            for a in np.linspace(0, 2 * math.pi, 20).tolist():
                pad.bar(
                    (x + 0.33 * math.cos(a), 0.35 + 0.33 * math.sin(a)),
                    (x + 0.33 * math.cos(a + 0.34), 0.35 + 0.33 * math.sin(a + 0.34)),
                    0.05,
                    (24.0, 24, 24),
                )
        crank = (0.85, 0.33)
        for side, shade in ((math.pi, 0.6), (0.0, 1.0)):
            pedal = (crank[0] + 0.17 * math.cos(side - turn), crank[1] + 0.17 * math.sin(side - turn))
            knee = ((0.62 + pedal[0]) / 2 + 0.27, (1.0 + pedal[1]) / 2 + 0.12)
            pad.bar((0.62, 1.0), knee, 0.16, legs * shade)
            pad.bar(knee, pedal, 0.12, legs * shade)
            pad.bar(pedal, (pedal[0] + 0.18, pedal[1]), 0.07, (30.0, 30, 30))
            if shade < 1:
                for a, b in (
                    ((0.4, 0.35), (0.65, 0.9)),
                    ((0.65, 0.85), (1.25, 0.85)),
                    (crank, (1.25, 0.85)),
                    ((0.4, 0.35), crank),
                    ((1.25, 1.05), (1.4, 0.35)),
                ):
                    pad.bar(a, b, 0.05, frame)
        pad.bar((0.64, 1.0), (0.9, 1.45), 0.28, coat)
        pad.bar((0.92, 1.42), (1.25, 1.08), 0.1, coat * 0.8)
        pad.oval(1.0, 1.68, 0.11, 0.13, skin)
        pad.oval(0.98, 1.74, 0.12, 0.09, coat * 0.4)
        pictures.append(pad.picture(rng, 0.9))
    return pictures, density


def draw_animal(rng: np.random.Generator, phases: int) -> tuple[list[Picture], float, float]:
    """A dog, cat or bird through `phases` pictures; the pixels per metre, and its height in metres."""
    fur = np.clip(rng.uniform(15, 230) + rng.uniform(-1, 1) * np.array([30.0, 10, -30]), 8, 240)
    is_bird = rng.random() < 0.35
    long, leg, thick = (
        (0.4, 0.1, 0.2)
        if is_bird
        else (rng.uniform(0.45, 1.0), rng.uniform(0.2, 0.42), rng.uniform(0.18, 0.32))
    )
    height = leg + thick + 0.25 + (0.35 if is_bird else 0.0)
    density = 72.0 / height
    state = rng.bit_generator.state
    pictures = []
    for turn in np.linspace(0, 2 * math.pi, phases, endpoint=False).tolist():
        rng.bit_generator.state = state
        pad = _Pad(long + 0.8, height, density)
        back = leg + thick / 2
        if is_bird:
            up = 0.4 * math.sin(turn)
            pad.oval(0.5, back + 0.1, 0.22, 0.08, fur)
            pad.oval(0.72, back + 0.16, 0.07, 0.06, fur * 0.8)
            pad.fill(
                [
                    (0.4, back + 0.12),
                    (0.35, back + 0.12 + up),
                    (0.52, back + 0.1 + 0.8 * up),
                    (0.62, back + 0.12),
                ],
                fur * 0.75,
            )
            pad.fill([(0.32, back + 0.12), (0.12, back + 0.16), (0.14, back + 0.06)], fur * 0.7)
        else:
            for x, at, shade in (
                (0.35, 0.0, 0.6),
                (0.3 + long, math.pi, 0.6),
                (0.4, math.pi, 1.0),
                (0.25 + long, 0.0, 1.0),
            ):
                swing = 0.5 * leg * math.sin(turn + at)
                pad.bar((x, back), (x + swing, 0.02), 0.09, fur * shade)
            pad.oval(0.32 + long / 2, back, long / 2 + 0.08, thick / 2, fur)
            pad.bar((0.3, back + 0.05), (0.08, back + 0.2), 0.06, fur)
            pad.bar((0.3 + long, back), (0.42 + long, leg + thick + 0.08), 0.16, fur)
            pad.oval(0.47 + long, leg + thick + 0.1, 0.13, 0.09, fur * 0.9)
        pictures.append(pad.picture(rng, 0.3 + long / 2, 0.2))
    return pictures, density, height


def draw_thing(rng: np.random.Generator, nth: int) -> tuple[Picture, float, float]:
    """A suitcase, bag, box, ball, trolley or chair; its pixels per metre, and its height in metres."""
    kind = nth % 6
    height = float(rng.uniform(0.35, 0.9))
    wide = height * rng.uniform(0.5, 1.5) if kind != 0 else height * rng.uniform(0.5, 0.75)
    density = 72.0 / max(height, wide)
    pad = _Pad(wide + 0.1, height * 1.3, density)
    tone = np.clip(rng.uniform(15, 220) + rng.uniform(-70, 70, 3), 8, 240)
    if kind in (0, 1, 2):
        low = 0.06 if kind == 0 else 0.0
        pad.fill([(0.02, low), (0.0, height), (wide, height), (wide - 0.02, low)], tone)
        if kind < 2:
            middle, rise = wide / 2, (1.28 if kind == 0 else 1.15) * height
            for a, b in (
                ((middle - 0.1, height), (middle - 0.1, rise)),
                ((middle + 0.1, height), (middle + 0.1, rise)),
                ((middle - 0.1, rise), (middle + 0.1, rise)),
            ):
                pad.bar(a, b, 0.04, tone * 0.4)
        for share in rng.uniform(0.15, 0.85, 3).tolist():
            pad.bar(
                (0.02, height * share),
                (wide - 0.02, height * share),
                0.02 + 0.05 * rng.random(),
                np.clip(tone + rng.uniform(-60, 60, 3), 5, 250),
            )
    elif kind == 3:
        pad.oval(wide / 2, height / 2, wide / 2, height / 2, tone)
        pad.oval(wide / 2, height / 2, wide / 5, height / 2.2, tone * 0.6)
    elif kind == 4:
        pad.fill(
            [(0.05, 0.35 * height), (0.0, 0.8 * height), (wide, 0.9 * height), (wide * 0.9, 0.35 * height)],
            tone,
        )
        pad.bar((0.05, 0.2 * height), (0.9 * wide, 0.2 * height), 0.04, tone * 0.5)
        pad.bar((0.1 * wide, 0.0), (0.12 * wide, 0.4 * height), 0.04, tone * 0.5)
        pad.bar((0.85 * wide, 0.0), (0.95 * wide, height), 0.04, tone * 0.5)
    else:
        pad.bar((0.05, 0.0), (0.08, 1.2 * height), 0.06, tone * 0.7)
        pad.bar((wide - 0.05, 0.0), (wide - 0.05, 0.55 * height), 0.06, tone * 0.7)
        pad.bar((0.05, 0.52 * height), (wide, 0.52 * height), 0.1, tone)
    return pad.picture(rng, wide / 2, 0.12), density, height
