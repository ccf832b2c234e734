"""Laying small premultiplied pictures over a large one, inside their own boxes only."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from bench.scenes.actors.sprites import MIPS, Sprite
from edgebs.tensors import Array

Matrix = tuple[float, float, float, float, float, float]
"""The two rows of an affine map, x' = a x + b y + c, y' = d x + e y + f."""


class Patch(NamedTuple):
    """A piece of a picture in place."""

    x: int
    y: int
    pixels: Array
    """(h, w, 4) uint8 premultiplied BGRA, or (h, w) uint8."""


def then(first: Matrix, second: Matrix) -> Matrix:
    """The map that does `first` and then `second`."""
    a, b, c, d, e, f = first
    p, q, r, s, t, u = second
    return (
        p * a + q * d, p * b + q * e, p * c + q * f + r,
        s * a + t * d, s * b + t * e, s * c + t * f + u,
    )  # fmt: skip


def mip_for(scale: float) -> int:
    """The size whose pixels are nearest above those of the image at `scale` image pixels per sprite pixel."""
    return max(0, min(MIPS - 1, math.floor(-math.log2(max(scale, 1e-6)))))


def mip_matrix(matrix: Matrix, mip: int) -> Matrix:
    """`matrix`, given for the largest size, for size number `mip`."""
    factor = float(1 << mip)
    shift = 0.5 * factor - 0.5
    a, b, c, d, e, f = matrix
    return (
        a * factor,
        b * factor,
        c + (a + b) * shift,
        d * factor,
        e * factor,
        f + (d + e) * shift,
    )


def warped(pixels: Array, matrix: Matrix, size: tuple[int, int], margin: int = 0) -> Patch | None:
    """What of `pixels` under `matrix` lies in an image of `size` (h, w); `margin`: clear pixels round it."""
    h, w = pixels.shape[:2]
    a, b, c, d, e, f = matrix
    reach_x = (a * (w - 1), b * (h - 1))
    reach_y = (d * (w - 1), e * (h - 1))
    x0 = math.floor(c + min(reach_x[0], 0.0) + min(reach_x[1], 0.0)) - margin
    x1 = math.ceil(c + max(reach_x[0], 0.0) + max(reach_x[1], 0.0)) + 1 + margin
    y0 = math.floor(f + min(reach_y[0], 0.0) + min(reach_y[1], 0.0)) - margin
    y1 = math.ceil(f + max(reach_y[0], 0.0) + max(reach_y[1], 0.0)) + 1 + margin
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, size[1]), min(y1, size[0])
    if x1 <= x0 or y1 <= y0:
        return None
    inside = np.array(((a, b, c - x0), (d, e, f - y0)))
    return Patch(x0, y0, cv2.warpAffine(pixels, inside, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR))


def _four(weight: Array) -> Array:
    """(h, w, 4): the same weight for every channel, coverage included."""
    return np.asarray(cv2.merge([weight, weight, weight, weight]))


def lay(canvas: Array, patch: Patch, inverse: Array | None = None) -> None:
    """Put `patch` over `canvas` (H, W, 4): all four channels become canvas x (1 - alpha) + patch.

    inverse: 255 - alpha of what hides the canvas, where that is not the patch's own last channel.
    """
    h, w = patch.pixels.shape[:2]
    box = canvas[patch.y : patch.y + h, patch.x : patch.x + w]
    if inverse is None:
        inverse = cv2.bitwise_not(cv2.extractChannel(patch.pixels, 3))
    cv2.multiply(box, _four(inverse), box, 1 / 255)
    cv2.add(box, patch.pixels, box)


def cut(patch: Patch, mask: Patch) -> None:
    """Take from `patch`, in place, what lies behind the one-channel `mask`: colours and coverage."""
    ph, pw = patch.pixels.shape[:2]
    mh, mw = mask.pixels.shape[:2]
    x0, x1 = max(patch.x, mask.x), min(patch.x + pw, mask.x + mw)
    y0, y1 = max(patch.y, mask.y), min(patch.y + ph, mask.y + mh)
    if x1 <= x0 or y1 <= y0:
        return
    box = patch.pixels[y0 - patch.y : y1 - patch.y, x0 - patch.x : x1 - patch.x]
    clear = cv2.bitwise_not(mask.pixels[y0 - mask.y : y1 - mask.y, x0 - mask.x : x1 - mask.x])
    cv2.multiply(box, clear if box.ndim == 2 else _four(clear), box, 1 / 255)


def stand_matrix(
    sprite: Sprite, foot: tuple[float, float], scale: tuple[float, float], lean: float = 0.0
) -> Matrix:
    """The map that stands a sprite's largest size on `foot`; scale (x, y); lean: columns per row upwards."""
    sx, sy = scale
    u, v = sprite.foot
    return sx, -lean * sy, foot[0] - sx * u + lean * sy * v, 0.0, sy, foot[1] - sy * v
