"""Puts an instant of a training scene together: plate, shadows, objects, and their labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from bench.scenes.air.camera import Camera
from bench.scenes.air.shadow import Mirror, Shadow
from bench.scenes.draw import Matrix, Patch, cut, lay, mip_for, mip_matrix, stand_matrix, then, warped
from bench.scenes.mover import Evidence, Mover, Placed
from bench.scenes.place.nature import Restless
from bench.scenes.place.painter import Plate
from edgebs.tensors import Array

BACKGROUND, SHADOW, UNKNOWN, FOREGROUND = 0, 50, 170, 255
"""CDnet's labels."""
Hider = tuple[Patch, float]
"""Coverage (h, w) uint8 in place, and the row of its foot: it hides what stands on rows above."""


class Composed(NamedTuple):
    """An instant before light and sensor."""

    canvas: Array
    """(h, w, 4) uint8: BGR, and the coverage by foreground."""
    ground: Array
    """(h, w, 4) uint8: the same without foreground."""
    labels: Array
    """(h, w) uint8."""
    placed: list[Placed]
    """Movers in the picture, the farthest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composer:
    """All that is in a scene."""

    size: tuple[int, int]
    plate: Plate
    camera: Camera
    movers: Sequence[Mover]
    restless: Sequence[Restless]
    shadow: Shadow | None
    mirror: Mirror | None
    exposure_s: float
    """Seconds that the shutter is open."""

    def at(self, seconds: float, since: float | None = None) -> Composed:
        """The scene at that time; `since` as in `Scene.frame`."""
        camera = self.camera.matrix(seconds)
        ground = self._empty(seconds, camera)
        placed = self.placed(seconds, camera)
        hiders = self._hiders(camera)
        for p in placed:
            if not p.pose.is_foreground:
                self._park(p, ground, hiders)
        canvas = ground.copy()
        standing = [p for p in placed if p.pose.is_foreground]
        shade = self._shade(canvas, standing, hiders)
        fuzzy: list[Patch] = []
        known = np.full(self.size, FOREGROUND, np.uint8)
        for p in standing:
            coverage = self._draw(p, canvas, hiders, fuzzy)
            if coverage is not None and since is not None:
                h, w = coverage.pixels.shape
                box = known[coverage.y : coverage.y + h, coverage.x : coverage.x + w]
                box[coverage.pixels > 127] = _known_as(p.mover, seconds, since)
        labels = self._labels(canvas, shade, fuzzy)
        np.copyto(labels, known, where=(labels == FOREGROUND) & (known != FOREGROUND))
        return Composed(canvas, ground, labels, placed)

    def placed(self, seconds: float, camera: Matrix) -> list[Placed]:
        """The movers that may be in the picture, the farthest first."""
        placed = [p for mover in self.movers if (p := self._placed(mover, seconds, camera)) is not None]
        return sorted(placed, key=lambda p: p.pose.foot[1])

    def _placed(self, mover: Mover, seconds: float, camera: Matrix) -> Placed | None:
        if not mover.window[0] <= seconds <= mover.window[1]:
            return None
        p = self.place(mover, seconds, camera)
        # Shadows reach farther than the object.
        reach = 2.0 * max(mover.sprite(p.pose).mips[0].shape[:2]) * p.scale
        is_near = -reach < p.foot[0] < self.size[1] + reach and -reach < p.foot[1] < self.size[0] + reach
        return p if is_near else None

    def place(self, mover: Mover, seconds: float, camera: Matrix) -> Placed:
        """Where the mover is, in the picture or not."""
        pose = mover.pose(seconds)
        sprite = mover.sprite(pose)
        scale = pose.metre / mover.actor.density
        a, b, c, d, e, f = camera
        x, y = pose.foot
        foot = (a * x + b * y + c, d * x + e * y + f)
        mirror = -1.0 if pose.is_mirrored else 1.0
        matrix = then(stand_matrix(sprite, pose.foot, (mirror * scale, scale), pose.lean), camera)
        return Placed(mover, pose, matrix, foot, scale, (pose.look, pose.phase, mip_for(scale)))

    def coverages(self, placed: Sequence[Placed], camera: Matrix) -> Iterator[tuple[Placed, Patch]]:
        """(h, w) uint8 coverage in place of each mover, in the order of drawing, without motion blur."""
        hiders = self._hiders(camera)
        for p in sorted(placed, key=lambda p: p.pose.is_foreground):
            patch = self._patch(p)
            if patch is None:
                continue
            _hide(patch, p, hiders)
            coverage = Patch(patch.x, patch.y, cv2.extractChannel(patch.pixels, 3))
            if not p.pose.is_foreground:
                hiders.append((coverage, p.pose.foot[1]))
            yield p, coverage

    def _empty(self, seconds: float, camera: Matrix) -> Array:
        """The plate as the camera sees it, (h, w, 4)."""
        plate = self.plate.image
        if self.restless:
            moved = plate.copy()
            for region in self.restless:
                region.move(plate, moved, seconds)
            plate = moved
        h, w = self.size
        if self.camera.is_steady:
            m = self.camera.margin
            return np.asarray(plate[m : m + h, m : m + w].copy())
        matrix = np.array((camera[:3], camera[3:]))
        border = cv2.BORDER_REFLECT_101
        return np.asarray(cv2.warpAffine(plate, matrix, (w, h), flags=cv2.INTER_LINEAR, borderMode=border))

    def _hiders(self, camera: Matrix) -> list[Hider]:
        """What of the plate stands in front, as the camera sees it."""
        found = []
        for occluder in self.plate.occluders:
            patch = occluder.patch
            matrix = then((1.0, 0.0, float(patch.x), 0.0, 1.0, float(patch.y)), camera)
            seen = warped(patch.pixels, matrix, self.size)
            if seen is not None:
                found.append((seen, occluder.depth))
        return found

    def _patch(self, p: Placed, margin: int = 0) -> Patch | None:
        pixels = p.mover.pixels(*p.sprite_key)
        return warped(pixels, mip_matrix(p.matrix, p.sprite_key[2]), self.size, margin)

    def _park(self, p: Placed, ground: Array, hiders: list[Hider]) -> None:
        """Draw what has not moved yet as part of the empty scene, with its shadow."""
        shade = self._darkness([p], hiders)
        if shade is not None:
            self._darken(ground, shade)
        patch = self._patch(p)
        if patch is None:
            return
        _hide(patch, p, hiders)
        coverage = cv2.extractChannel(patch.pixels, 3)
        hiders.append((Patch(patch.x, patch.y, coverage), p.pose.foot[1]))
        _lay_unseen(ground, patch, coverage)

    def _shade(self, canvas: Array, standing: list[Placed], hiders: list[Hider]) -> Array | None:
        """Draw shadows and mirror images; returns the coverage by shadows."""
        if not standing:
            return None
        shade = self._darkness(standing, hiders)
        if shade is not None:
            self._darken(canvas, shade)
        if self.mirror is not None:
            for p in standing:
                image = None if p.mover.is_floating else self.mirror.patch(p, self.size)
                if image is not None:
                    image = Patch(image.x, image.y, image.pixels.copy())
                    _hide(image, p, hiders)
                    _lay_unseen(canvas, image, cv2.extractChannel(image.pixels, 3))
        return shade

    def _darkness(self, standing: list[Placed], hiders: list[Hider]) -> Array | None:
        if self.shadow is None:
            return None
        shade = np.zeros(self.size, np.uint8)
        for p in standing:
            if p.mover.is_floating:
                continue
            for patch in self.shadow.patches(p, self.size):
                _hide(patch, p, hiders)
                h, w = patch.pixels.shape
                box = shade[patch.y : patch.y + h, patch.x : patch.x + w]
                cv2.max(box, patch.pixels, box)
        return shade

    def _darken(self, canvas: Array, shade: Array) -> None:
        assert self.shadow is not None
        x, y, w, h = cv2.boundingRect(shade)
        if w == 0:
            return
        box = canvas[y : y + h, x : x + w]
        light = cv2.LUT(shade[y : y + h, x : x + w], self.shadow.light)
        cv2.multiply(box, cv2.cvtColor(light, cv2.COLOR_GRAY2BGRA), box, 1 / 255)

    def _draw(self, p: Placed, canvas: Array, hiders: list[Hider], fuzzy: list[Patch]) -> Patch | None:
        """Draw one that is foreground; returns its coverage (h, w)."""
        smear_x, smear_y = (v * self.exposure_s for v in p.pose.velocity)
        length = math.hypot(smear_x, smear_y)
        margin = min(math.ceil(length / 2), MAX_SMEAR) + 1 if length > 1.2 else 0
        patch = self._patch(p, margin)
        if patch is None:
            return None
        if margin:
            patch = Patch(patch.x, patch.y, _smeared(patch.pixels, smear_x, smear_y))
        _hide(patch, p, hiders)
        lay(canvas, patch)
        coverage = Patch(patch.x, patch.y, cv2.extractChannel(patch.pixels, 3))
        if margin:
            fuzzy.append(coverage)
        return coverage

    def _labels(self, canvas: Array, shade: Array | None, fuzzy: list[Patch]) -> Array:
        coverage = cv2.extractChannel(canvas, 3)
        labels = cv2.threshold(coverage, 127, 255.0, cv2.THRESH_BINARY)[1]
        if shade is not None and self.shadow is not None:
            dark = cv2.threshold(shade, self.shadow.seen_from, float(SHADOW), cv2.THRESH_BINARY)[1]
            labels = cv2.max(labels, dark)
        for patch in fuzzy:
            h, w = patch.pixels.shape
            box = (slice(patch.y, patch.y + h), slice(patch.x, patch.x + w))
            partial = cv2.bitwise_and(
                cv2.inRange(patch.pixels, 38, 217), cv2.inRange(coverage[box], 38, 217)
            )  # 0.15 to 0.85
            labels[box][partial > 0] = UNKNOWN
        return np.asarray(labels)


def _known_as(mover: Mover, seconds: float, since: float) -> int:
    """The label of its pixels for an observer since then.

    A person who never moved may be one or a poster: no method can know. A car that never did is
    parked.
    """
    evidence = mover.evidence(seconds, since)
    if evidence is Evidence.CLEAR:
        return FOREGROUND
    is_parked = evidence is Evidence.NONE and mover.actor.kind not in ("person", "animal")
    return BACKGROUND if is_parked else UNKNOWN


MAX_SMEAR = 12
"""Pixels that motion blur reaches each way."""


def _hide(patch: Patch, p: Placed, hiders: list[Hider]) -> None:
    """Take from `patch`, in place, what stands before `p`."""
    for hider, depth in hiders:
        if depth > p.pose.foot[1]:
            cut(patch, hider)


def _lay_unseen(canvas: Array, patch: Patch, coverage: Array) -> None:
    """Put `patch` over `canvas` as something that is no foreground."""
    inverse = cv2.bitwise_not(coverage)
    patch.pixels[..., 3] = 0
    lay(canvas, patch, inverse)


def _smeared(pixels: Array, dx: float, dy: float) -> Array:
    """`pixels` averaged along a way of (dx, dy) pixels."""
    reach = min(math.ceil(max(abs(dx), abs(dy)) / 2), MAX_SMEAR)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    steps = 4 * reach + 1
    for nth in range(steps):
        share = nth / (steps - 1) - 0.5
        x = reach + min(max(round(share * dx), -reach), reach)
        y = reach + min(max(round(share * dy), -reach), reach)
        kernel[y, x] += 1 / steps
    return np.asarray(cv2.filter2D(pixels, -1, kernel, borderType=cv2.BORDER_CONSTANT))
