"""People as small pictures: a skeleton in clothes, walking, standing and sitting."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from bench.scenes.actors.skeleton import (
    BAG,
    FOOT,
    FOREARM,
    HAIR,
    HEAD,
    SHIN,
    THIGH,
    TORSO,
    UPPER_ARM,
    Joint,
    segment_matrix,
    skeleton,
)
from bench.scenes.textures import RIM, capsule
from edgebs.tensors import Array

DENSITY = 64.0
"""Sprite pixels per metre of a person."""
WALK_PHASES = 12
COAT = 20
"""Part number of a coat or skirt; the other numbers are those of bench.scenes.actors.skeleton."""

Bone = tuple[int, Joint, Joint]

_RADII = {
    THIGH: (0.050, 0.036), SHIN: (0.034, 0.025), FOOT: (0.025, 0.021), UPPER_ARM: (0.032, 0.027),
    FOREARM: (0.026, 0.020), TORSO: (0.092, 0.078), HEAD: (0.050, 0.043), HAIR: (0.053, 0.050),
    BAG: (0.055, 0.060), COAT: (0.080, 0.110),
}  # fmt: skip
_PAIRED = (THIGH, SHIN, FOOT, UPPER_ARM, FOREARM)
_SKIN = np.array([(128, 160, 210), (100, 138, 190), (62, 92, 142), (44, 62, 96), (140, 175, 222)], np.float32)


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawn sprite: premultiplied BGRA, and the pixel that stands on the ground."""

    pixels: Array
    """(h, w, 4) uint8, colours multiplied by alpha."""
    foot: tuple[float, float]
    """Column and row."""


@dataclass(frozen=True, slots=True)
class _Body:
    height: float
    """Metres."""
    stout: float
    pitch: float
    """How far the camera looks down, radians."""
    sprites: dict[int, Array]
    has_bag: bool


def draw_person(rng: np.random.Generator) -> dict[str, list[Picture]]:
    """One person in all poses: `walk` and `front` cycles, `stand` (four ways), `sit` (two ways)."""
    body = _dressed(rng)
    side = (math.cos(angle := rng.uniform(-0.5, 0.5)), math.sin(angle))
    ahead = -1.0 if rng.random() < 0.6 else 1.0  # towards the camera, or away from it
    front = (0.15, ahead * 0.98)
    vigour = 1.45 if rng.random() < 0.15 else rng.uniform(0.75, 1.05)
    turns = [2 * math.pi * n / WALK_PHASES for n in range(WALK_PHASES)]
    return {
        "walk": [_picture(body, _walking(body, turn, vigour, side), side) for turn in turns],
        "front": [_picture(body, _walking(body, turn, vigour, front), front) for turn in turns],
        "stand": [
            _picture(body, _walking(body, turn, v, (c, s)), (c, s))
            for turn, v, c, s in (
                (0.0, 0.0, *front), (0.6, 0.2, 0.7, -0.7), (2.0, 0.12, *side), (4.0, 0.2, *front),
            )
        ],
        "sit": [_picture(body, list(_sitting(body, turn, heading)), heading) for turn, heading in
                ((0.4, side), (2.2, (0.6, -0.8)))],
    }  # fmt: skip


def _dressed(rng: np.random.Generator) -> _Body:
    height = rng.uniform(1.0, 1.4) if rng.random() < 0.15 else rng.uniform(1.55, 1.92)
    skin = _SKIN[rng.integers(0, len(_SKIN))] * np.float32(rng.uniform(0.8, 1.15))
    trousers, shirt, other = (_cloth_colour(rng) for _ in range(3))
    bare_legs, bare_arms, is_hooded = rng.random(3) < (0.15, 0.35, 0.2)
    colours = {
        THIGH: trousers, SHIN: skin if bare_legs else trousers, FOOT: other * 0.6, UPPER_ARM: shirt,
        FOREARM: skin if bare_arms else shirt, TORSO: shirt, HEAD: skin,
        HAIR: shirt if is_hooded else _cloth_colour(rng) * 0.5, BAG: other,
    }  # fmt: skip
    if rng.random() < 0.35:
        colours[COAT] = shirt if rng.random() < 0.6 else trousers
    bones = {part: math.dist(a, b) for part, a, b in skeleton(height, 0, 0, 0, (1.0, 0.0), True)}
    sprites = {}
    for part, colour in colours.items():
        radii = (_RADII[part][0] * height, _RADII[part][1] * height)
        length = 0.24 * height if part == COAT else bones[part]
        plain = part not in (TORSO, BAG, THIGH, COAT)
        sprites[part] = capsule(rng, length, radii, np.clip(colour, 8, 245), DENSITY, plain=plain)
        if part in _PAIRED:
            sprites[part + 1] = sprites[part] * np.array([0.66, 0.66, 0.66, 1], np.float32)
    return _Body(height, rng.uniform(0.88, 1.3), rng.uniform(0.0, 0.75), sprites, bool(rng.random() < 0.35))


def _cloth_colour(rng: np.random.Generator) -> Array:
    grey = rng.uniform(15, 225)
    colourful = rng.uniform(-70, 70, 3) if rng.random() < 0.5 else rng.uniform(-12, 12, 3)
    return np.asarray(np.clip(grey + colourful, 10, 240), np.float32)


def _walking(body: _Body, turn: float, vigour: float, heading: tuple[float, float]) -> list[Bone]:
    bones = skeleton(body.height, turn, vigour, 0.0, heading, body.has_bag)
    if COAT not in body.sprites:
        return bones
    torso = next(nth for nth, bone in enumerate(bones) if bone[0] == TORSO)
    waist = bones[torso][2]
    hem = (waist[0] - 0.01, waist[1] - 0.2 * body.height, waist[2])
    return [*bones[: torso + 1], (COAT, waist, hem), *bones[torso + 1 :]]


def _sitting(body: _Body, turn: float, heading: tuple[float, float]) -> Iterator[Bone]:
    """The standing skeleton lowered on to a seat, thighs forward, shins down."""
    bones = skeleton(body.height, turn, 0.3, 0.0, heading, body.has_bag)
    hip = next(a for part, a, _ in bones if part == THIGH)
    seat = 0.25 * body.height
    drop = hip[1] - seat
    for part, a, b in bones:
        base = part - 1 if part - 1 in _PAIRED and part not in _PAIRED else part
        if base not in (THIGH, SHIN, FOOT):
            yield part, (a[0], a[1] - drop, a[2]), (b[0], b[1] - drop, b[2])
            continue
        knee = 0.235 * body.height
        if base == THIGH:
            yield part, (0.0, seat, a[2]), (knee, seat + 0.02, a[2])
        elif base == SHIN:
            yield part, (knee, seat + 0.02, a[2]), (knee - 0.02, 0.03, a[2])
        else:
            yield part, (knee - 0.02, 0.03, a[2]), (knee + 0.09 * body.height, 0.02, a[2])


def _picture(body: _Body, bones: list[Bone], heading: tuple[float, float]) -> Picture:
    reach = math.ceil((0.34 * body.height + 0.1) * DENSITY)
    top = math.ceil((1.09 * body.height + 0.1) * DENSITY)
    canvas = np.zeros((top + math.ceil(0.16 * DENSITY) + 8, 2 * reach, 4), np.float32)
    size = (canvas.shape[1], canvas.shape[0])
    foot = (float(reach), float(top))
    upright, lean = math.cos(body.pitch), math.sin(body.pitch)

    def pixel(joint: Joint) -> tuple[float, float]:
        forward, up, left = joint
        right, away = forward * heading[0] - left * heading[1], forward * heading[1] + left * heading[0]
        return foot[0] + right * DENSITY, foot[1] - (up * upright + away * lean) * DENSITY

    for part, a, b in bones:
        sprite = body.sprites[part]
        base = part if part in _RADII else part - 1
        widen = body.stout * (0.78 + 0.5 * abs(heading[1])) if part in (TORSO, COAT) else 1.0
        start = max(_RADII[base]) * body.height * DENSITY + RIM
        rows = max(sprite.shape[0] - 1 - 2 * start, 1.0)
        matrix = segment_matrix(pixel(a), pixel(b), start, (sprite.shape[1] - 1) / 2, rows, widen)
        layer = cv2.warpAffine(sprite, matrix, size, flags=cv2.INTER_LINEAR)
        canvas = canvas * (1 - layer[..., 3:]) + layer
    canvas[..., 3] *= 255
    return cropped(canvas, foot)


def cropped(canvas: Array, foot: tuple[float, float]) -> Picture:
    """The picture's own box of a premultiplied (h, w, 4) canvas in 0..255, with a clear rim of two pixels."""
    pixels = np.rint(np.clip(canvas, 0, 255)).astype(np.uint8)
    x, y, w, h = cv2.boundingRect((pixels[..., 3] > 2).astype(np.uint8))
    x0, y0 = max(x - 2, 0), max(y - 2, 0)
    box = pixels[y0 : y + h + 2, x0 : x + w + 2]
    return Picture(np.ascontiguousarray(box), (foot[0] - x0, foot[1] - y0))
