"""Where the points of one instant of a training scene are at another: exact optical flow.

Objects move as their sprites do, rigidly: limbs that swing are called hidden, not followed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from bench.scenes.compose import Composer
from bench.scenes.draw import Matrix, mip_matrix, then, warped
from bench.scenes.mover import Placed
from edgebs.tensors import Array

SETTLED = 0.25
"""Pixels by which the search for a point of a waving region may be off."""
SAME_COLOUR = 24
"""Grey levels by which one point of an object may differ between two of its pictures."""


@dataclass(frozen=True, slots=True)
class Surfaces:
    """What each pixel of one instant shows."""

    owner: Array
    """(h, w) int32: index among the composer's movers, or -1 for the empty scene."""
    placed: dict[int, Placed]
    camera: Matrix
    content: Array | None
    """(2, H, W) float32: from how far (x first) each plate pixel is taken; None where nothing waves."""
    erratic: Array
    """(H, W) bool: plate pixels whose content has no place at other times: fountains, screens."""


def surfaces(composer: Composer, seconds: float) -> Surfaces:
    """What each pixel shows at that time."""
    camera = composer.camera.matrix(seconds)
    placed = composer.placed(seconds, camera)
    index = {id(mover): nth for nth, mover in enumerate(composer.movers)}
    owner = np.full(composer.size, -1, np.int32)
    for p, patch in composer.coverages(placed, camera):
        h, w = patch.pixels.shape
        owner[patch.y : patch.y + h, patch.x : patch.x + w][patch.pixels > 127] = index[id(p.mover)]
    content, erratic = _content(composer, seconds)
    return Surfaces(owner, {index[id(p.mover)]: p for p in placed}, camera, content, erratic)


def _content(composer: Composer, seconds: float) -> tuple[Array | None, Array]:
    h, w = composer.plate.image.shape[:2]
    erratic = np.zeros((h, w), np.bool_)
    if not composer.restless:
        return None, erratic
    content = np.zeros((2, h, w), np.float32)
    for region in composer.restless:
        rows, columns = region.extent
        down, across = slice(region.y, region.y + rows), slice(region.x, region.x + columns)
        taken = region.taken(seconds)
        erratic[down, across] = taken is None
        if taken is not None:
            content[:, down, across] = taken
    return content, erratic


def flow_between(composer: Composer, first: float, second: float) -> tuple[Array, Array]:
    """Flow, (2, h, w) float32 pixels, x first, from one time to another in seconds; and (h, w) bool.

    The second array is true where the point is inside the picture at the second time and nothing hides it.
    """
    before, after = surfaces(composer, first), surfaces(composer, second)
    h, w = composer.size
    columns, rows = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    there_x, there_y, visible = _ground(before, after, columns, rows)
    for nth in np.unique(before.owner[before.owner >= 0]).tolist():
        mine = before.owner == nth
        seen = nth in after.placed
        p1 = composer.place(composer.movers[nth], second, after.camera)
        p0 = before.placed[nth]
        a, b, c, d, e, f = then(_inverse(_body(p0)), _body(p1))
        there_x[mine] = (a * columns + b * rows + c)[mine]
        there_y[mine] = (d * columns + e * rows + f)[mine]
        visible[mine] = seen and _keeps_looks(p0, p1, composer.size)[mine]
    at_x, at_y = np.rint(there_x), np.rint(there_y)
    inside = (at_x >= 0) & (at_x < w) & (at_y >= 0) & (at_y < h)
    column, row = np.clip(at_x, 0, w - 1).astype(np.intp), np.clip(at_y, 0, h - 1).astype(np.intp)
    visible &= inside & (after.owner[row, column] == before.owner)
    return np.stack([there_x - columns, there_y - rows]).astype(np.float32), visible


def _ground(before: Surfaces, after: Surfaces, columns: Array, rows: Array) -> tuple[Array, Array, Array]:
    """Columns and rows of the empty scene's points at the second time, and whether they are still shown."""
    a, b, c, d, e, f = _inverse(before.camera)
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    visible = np.ones(columns.shape, np.bool_)
    if before.content is not None and after.content is not None:
        x, y, visible = _carried(before, after, x.astype(np.float32), y.astype(np.float32))
    a, b, c, d, e, f = after.camera
    return a * x + b * y + c, d * x + e * y + f, visible


def _carried(before: Surfaces, after: Surfaces, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Plate points that are now where the content of (x, y) has gone."""
    assert before.content is not None
    assert after.content is not None
    from_x = x + _sampled(before.content[0], x, y)
    from_y = y + _sampled(before.content[1], x, y)
    to_x, to_y = x, y
    for _ in range(12):
        to_x, to_y = (
            from_x - _sampled(after.content[0], to_x, to_y),
            from_y - _sampled(after.content[1], to_x, to_y),
        )
    off = np.maximum(
        np.abs(to_x + _sampled(after.content[0], to_x, to_y) - from_x),
        np.abs(to_y + _sampled(after.content[1], to_x, to_y) - from_y),
    )
    erratic = _sampled(before.erratic.astype(np.float32), x, y) > 0
    erratic |= _sampled(after.erratic.astype(np.float32), to_x, to_y) > 0
    return to_x, to_y, (off < SETTLED) & ~erratic


def _sampled(field: Array, x: Array, y: Array) -> Array:
    border = cv2.BORDER_REPLICATE
    x, y = np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.float32)
    return np.asarray(cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=border))


def _body(p: Placed) -> Matrix:
    """From sprite pixels relative to the foot, the same in all pictures of an object, to image pixels."""
    u, v = p.mover.sprite(p.pose).foot
    return then((1.0, 0.0, u, 0.0, 1.0, v), p.matrix)


def _inverse(matrix: Matrix) -> Matrix:
    a, b, c, d, e, f = matrix
    det = a * e - b * d
    return (
        e / det, -b / det, (b * f - c * e) / det,
        -d / det, a / det, (c * d - a * f) / det,
    )  # fmt: skip


def _keeps_looks(p0: Placed, p1: Placed, size: tuple[int, int]) -> Array:
    """(h, w) bool: where both pictures, laid on the first pose, show the same."""
    if p0.sprite_key[:2] == p1.sprite_key[:2] and p0.pose.is_mirrored == p1.pose.is_mirrored:
        return np.ones(size, np.bool_)
    shown = []
    for p in (p0, p1):
        u, v = p.mover.sprite(p.pose).foot
        mip = p0.sprite_key[2]
        # Turned round, the right hand is where the left one was: nothing is matched but what looks alike.
        matrix = then((1.0, 0.0, -u, 0.0, 1.0, -v), _body(p0))
        patch = warped(p.mover.pixels(p.sprite_key[0], p.sprite_key[1], mip), mip_matrix(matrix, mip), size)
        whole = np.zeros((*size, 4), np.uint8)
        if patch is not None:
            h, w = patch.pixels.shape[:2]
            whole[patch.y : patch.y + h, patch.x : patch.x + w] = patch.pixels
        shown.append(whole)
    return np.asarray(cv2.absdiff(shown[0], shown[1]).max(axis=2) <= SAME_COLOUR)
