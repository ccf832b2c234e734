"""What a thing of the rendered street is: a handful of textured sprites, posed as a closed form of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from edgebs.tensors import Array

Point = tuple[float, float]


class Layer(NamedTuple):
    """One sprite in place: `matrix` (2, 3) takes sprite pixels to image pixels, before camera shake."""

    part: int
    """Index of the sprite among its figure's."""
    matrix: Array


class Pose(NamedTuple):
    """A figure at one time, its layers from back to front."""

    layers: Sequence[Layer]
    z: float
    """Depth in metres; nearer figures hide farther ones."""
    foot: Point
    """Column and row of the point where it meets the ground."""


class Figure(Protocol):
    """Anything drawn over the plate."""

    @property
    def kind(self) -> str:
        """`person`, `car` (foreground), or what else it is."""
        ...

    @property
    def is_foreground(self) -> bool:
        """True for what a mask must hold."""
        ...

    @property
    def sprites(self) -> Sequence[Array]:
        """The textures of its parts."""
        ...

    def lap(self, seconds: float) -> int:
        """How often it has left the street and come in again: a new lap is a new object."""
        ...

    def speed(self, seconds: float) -> float:
        """Metres per second."""
        ...

    def pose(self, seconds: float, lap: int) -> Pose:
        """Where its parts are, if it had gone on in lap `lap`."""
        ...


def segment_matrix(a: Point, b: Point, start: float, column: float, rows: float, widen: float) -> Array:
    """The affine map that lays a sprite's axis from image point `a` to `b`.

    The axis runs down column `column` from row `start` over `rows` rows; `widen` is image pixels per sprite
    pixel across it.
    """
    ex, ey = (b[0] - a[0]) / rows, (b[1] - a[1]) / rows
    norm = math.hypot(ex, ey) or 1e-9
    ax, ay = ey / norm * widen, -ex / norm * widen
    return np.array(
        [[ax, ex, a[0] - ax * column - ex * start], [ay, ey, a[1] - ay * column - ey * start]], np.float64
    )
