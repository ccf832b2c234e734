"""A tiny scene of known geometry: one opaque square before a grey wall."""

from __future__ import annotations

import numpy as np

from bench.scenes.actors.people import Picture
from bench.scenes.actors.sprites import Actor, sprite_of
from bench.scenes.air.camera import Camera
from bench.scenes.compose import Composer
from bench.scenes.draw import Patch
from bench.scenes.motion import Timetable, timetable
from bench.scenes.mover import Costume, Mover
from bench.scenes.place.painter import Occluder, Plate, View
from edgebs.tensors import Array

MARGIN = 2
SIZE = (64, 96)
SIDE = 16
SPEED = 50.0
"""Pixels per second: 2 a frame at 25."""
STILL = timetable(SPEED, [(-1e5, 1e5)])


def wall() -> Plate:
    """Middle grey, without anything on it."""
    image = np.full((SIZE[0] + 2 * MARGIN, SIZE[1] + 2 * MARGIN, 4), 128, np.uint8)
    image[..., 3] = 0
    return Plate(image, View(-1000.0, 1.0), is_indoor=False)


def square(table: Timetable, left: int, bottom: int, *, tone: int = 230) -> Mover:
    """An opaque square of 16 pixels whose lower left pixel at distance 0 is (left, bottom) of the picture."""
    pixels = np.full((SIDE, SIDE, 4), 255, np.uint8)
    pixels[..., :3] = tone
    actor = Actor("thing", 16.0, 1.0, {"walk": (sprite_of(Picture(pixels, (0.0, SIDE - 1.0))),)})
    place = (float(left + MARGIN), float(bottom + MARGIN))
    return Mover(actor, Costume(np.eye(4, dtype=np.float32)), table, place, (1.0, 0.0), None, 16.0)


def post(left: int, right: int, foot: int) -> Occluder:
    """A post over the picture's whole height, in its columns left to right - 1."""
    return Occluder(
        Patch(left + MARGIN, 0, np.full((SIZE[0] + 2 * MARGIN, right - left), 255, np.uint8)), foot + MARGIN
    )


def composer(*movers: Mover, plate: Plate | None = None) -> Composer:
    """The movers before a wall, seen by a steady camera, without shadows."""
    return Composer(
        size=SIZE,
        plate=plate or wall(),
        camera=Camera(MARGIN, SIZE),
        movers=movers,
        restless=(),
        shadow=None,
        mirror=None,
        exposure_s=0.0,
    )


def box(left: int, bottom: int) -> Array:
    """The labels of a square whose lower left pixel is there."""
    labels = np.zeros(SIZE, np.uint8)
    labels[max(bottom - SIDE + 1, 0) : bottom + 1, max(left, 0) : max(left + SIDE, 0)] = 255
    return labels
