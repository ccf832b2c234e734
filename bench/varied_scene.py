"""Rendered scenes for training: anything that may move before any background, with exact labels.

A scene is a closed form of time: any instant, from a minute ago to six seconds ahead, can be asked
for alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from bench.varied_bank import PictureBank
from bench.varied_camera import random_camera, random_light, random_sensor
from bench.varied_cast import Director, Mover, Pose
from bench.varied_draw import (
    Matrix,
    Patch,
    cut,
    lay,
    mip_for,
    mip_matrix,
    stand_matrix,
    then,
    warped,
)
from bench.varied_mix import AHEAD_S, PAST_S, Mix
from bench.varied_nature import Wave, random_wave
from bench.varied_plate import Painter, make_plate, random_view
from edgebs.tensors import Array, Frame

__all__ = ["Mix", "PictureBank", "VariedFrame", "VariedScene"]

BACKGROUND, SHADOW, UNKNOWN, FOREGROUND = 0, 50, 170, 255
"""CDnet's labels."""


@dataclass(frozen=True, slots=True)
class VariedFrame:
    """One rendered instant. The arrays belong to the caller."""

    image: Frame
    """(h, w, 3) uint8 BGR, everything included."""
    labels: Array
    """(h, w) uint8: 0 background, 50 cast shadow, 170 unknown (a blurred boundary), 255 foreground."""
    background: Frame
    """(h, w, 3) uint8 BGR: the same instant without foreground, its shadows and noise."""


class Placed(NamedTuple):
    """A mover at one instant, in image pixels."""

    mover: Mover
    pose: Pose
    matrix: Matrix
    """From the sprite's largest size."""
    scale: float
    """Image pixels per sprite pixel."""
    sprite_key: tuple[str, int, int]


class VariedScene:
    """A scene of random kind. The same seed, size, mix and bank give the same bytes in any process."""

    def __init__(
        self, seed: int | tuple[int, ...], size: tuple[int, int], bank: PictureBank, mix: Mix | None = None
    ) -> None:
        """Choose and draw everything that does not depend on time.

        seed: one or more non-negative integers; size: (h, w), each at least 32. Raises ValueError otherwise.
        """
        self.seed = (seed,) if isinstance(seed, int) else tuple(seed)
        if not self.seed or min(self.seed) < 0:
            raise ValueError(f"the seed of a scene is one or more integers of at least 0, got {seed}")
        if min(size) < 32:
            raise ValueError(f"a scene is at least 32 pixels high and wide, got {size}")
        self.size, self.mix = size, mix or Mix()
        rng = np.random.default_rng((*self.seed, 0x5CE7E))
        conditions: set[str] = set()
        self.fps = _random_fps(rng, self.mix, conditions)
        self._choose_conditions(rng, conditions)
        self._camera, moves = random_camera(rng, size, self.mix)
        conditions |= moves
        margin = self._camera.margin
        area = (size[0] + 2 * margin, size[1] + 2 * margin)
        view = random_view(rng, area)
        self._plate = make_plate(rng, bank, area, view)
        if "thermal" in conditions:
            self._plate.image[..., :3] = _thermal(rng, self._plate.image[..., :3])
        self._waves = self._random_waves(rng, bank, conditions)
        director = Director(
            rng,
            bank,
            view,
            (margin, *size),
            self.mix,
            self.fps,
            Painter(rng, bank, area),
            self._plate.image,
            "thermal" in conditions,
        )
        self._movers = director.cast()
        conditions |= director.conditions
        self._light = random_light(rng, self.mix, conditions)
        self._sensor = random_sensor(rng, bank, self.seed, size, self.mix, conditions)
        self._shadow = _random_shadow(rng, self.mix, conditions)
        self._contact = rng.uniform(0.15, 0.6) if rng.random() < self.mix.contact else 0.0
        self._exposure = rng.uniform(0.15, 0.8) / self.fps if rng.random() < self.mix.blur else 0.0
        self._occluders = sorted(self._plate.occluders, key=lambda occluder: -occluder.depth)
        self.conditions = frozenset(conditions)

    def _choose_conditions(self, rng: np.random.Generator, conditions: set[str]) -> None:
        kind = rng.random()
        if kind < self.mix.thermal:
            conditions.add("thermal")
        elif kind < self.mix.thermal + self.mix.night:
            conditions.add("night")

    def _random_waves(self, rng: np.random.Generator, bank: PictureBank, conditions: set[str]) -> list[Wave]:
        if rng.random() >= self.mix.waving:
            return []
        wave = random_wave(rng, bank, self._plate)
        if wave is None:
            return []
        conditions.add("waving")
        return [wave]

    def frame(self, seconds: float) -> VariedFrame:
        """The instant `seconds` of the real-time part, whose start is 0; ValueError outside -60 to 6."""
        if not -PAST_S <= seconds <= AHEAD_S:
            raise ValueError(f"a scene has the seconds -60 to 6, got {seconds}")
        canvas, ground, labels = self._composed(seconds)
        h, w = self.size
        both = np.empty((2 * h, w, 3), np.uint8)
        cv2.cvtColor(canvas, cv2.COLOR_BGRA2BGR, both[:h])
        cv2.cvtColor(ground, cv2.COLOR_BGRA2BGR, both[h:])
        both = cv2.LUT(both, self._light.lut(seconds))
        image, background = self._sensor.soften(both[:h]), self._sensor.soften(both[h:])
        return VariedFrame(self._sensor.expose(image, seconds), labels, background)

    # --- composing, in image pixels

    def _composed(self, seconds: float) -> tuple[Array, Array, Array]:
        """(image, background, labels): BGRA before light and sensor."""
        camera = self._camera.matrix(seconds)
        ground = self._empty(seconds, camera)
        placed = [p for mover in self._movers if (p := self._placed(mover, seconds, camera)) is not None]
        placed.sort(key=lambda p: p.pose.foot[1])
        hiders = self._hiders(camera)
        for p in placed:
            if not p.pose.is_foreground:
                self._park(p, ground, hiders)
        canvas = ground.copy()
        shade = np.zeros(self.size, np.uint8)
        fuzzy: list[Patch] = []
        standing = [p for p in placed if p.pose.is_foreground]
        for p in standing:
            self._cast_shadow(p, shade, hiders)
        if standing:
            self._darken(canvas, shade)
        for p in standing:
            self._draw(p, canvas, hiders, fuzzy)
        return canvas, ground, self._labels(canvas, shade, fuzzy)

    def _empty(self, seconds: float, camera: Matrix) -> Array:
        """The plate as the camera sees it, (h, w, 4)."""
        plate = self._plate.image
        if self._waves:
            moved = plate.copy()
            for wave in self._waves:
                wave.move(plate, moved, seconds)
            plate = moved
        h, w = self.size
        if self._camera.is_steady:
            m = self._camera.margin
            return np.asarray(plate[m : m + h, m : m + w].copy())
        matrix = np.array((camera[:3], camera[3:]))
        return np.asarray(
            cv2.warpAffine(plate, matrix, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        )

    def _placed(self, mover: Mover, seconds: float, camera: Matrix) -> Placed | None:
        if not mover.window[0] <= seconds <= mover.window[1]:
            return None
        pose = mover.pose(seconds)
        sprite = mover.sprite(pose)
        scale = pose.metre / mover.actor.density
        radius = 1.5 * max(sprite.mips[0].shape[:2]) * scale  # shadows reach farther than the object
        x, y = pose.foot[0] - self._camera.margin, pose.foot[1] - self._camera.margin
        reach = radius + self._camera.margin
        if not (-reach < x < self.size[1] + reach and -reach < y < self.size[0] + 2 * reach):
            return None
        mirror = -1.0 if mover.heading[0] < 0 else 1.0
        matrix = then(stand_matrix(sprite, pose.foot, (mirror * scale, scale), pose.lean), camera)
        return Placed(mover, pose, matrix, scale, (pose.look, pose.phase, mip_for(scale)))

    def _hiders(self, camera: Matrix) -> list[tuple[Patch, float]]:
        """What of the plate stands in front, as the camera sees it: coverage and depth."""
        found = []
        for occluder in self._occluders:
            patch = occluder.patch
            matrix = then((1.0, 0.0, float(patch.x), 0.0, 1.0, float(patch.y)), camera)
            seen = warped(patch.pixels, matrix, self.size)
            if seen is not None:
                found.append((seen, occluder.depth))
        return found

    def _patch(self, p: Placed, margin: int = 0) -> Patch | None:
        mip = p.sprite_key[2]
        return warped(p.mover.pixels(*p.sprite_key), mip_matrix(p.matrix, mip), self.size, margin)

    def _park(self, p: Placed, ground: Array, hiders: list[tuple[Patch, float]]) -> None:
        """Draw what has not moved yet as part of the empty scene."""
        patch = self._patch(p)
        if patch is None:
            return
        for hider, depth in hiders:
            if depth > p.pose.foot[1]:
                cut(patch, hider)
        coverage = cv2.extractChannel(patch.pixels, 3)
        hiders.append((Patch(patch.x, patch.y, coverage), p.pose.foot[1]))
        inverse = cv2.bitwise_not(coverage)
        patch.pixels[..., 3] = 0
        lay(ground, patch, inverse)

    def _cast_shadow(self, p: Placed, shade: Array, hiders: list[tuple[Patch, float]]) -> None:
        """Add the darkening (255 is all light taken) that the object casts on the ground."""
        shadow = self._shadow
        if shadow is None or p.mover.is_floating:
            return
        sprite = p.mover.sprite(p.pose)
        mip = min(p.sprite_key[2] + 1, len(sprite.mips) - 1)
        alpha = cv2.extractChannel(p.mover.pixels(p.sprite_key[0], p.sprite_key[1], mip), 3)
        # Up on the object becomes along the ground; the foot stays in its place.
        v = sprite.foot[1]
        fall: Matrix = (1.0, -shadow.along, shadow.along * v, 0.0, -shadow.down, v + shadow.down * v)
        patch = warped(alpha, mip_matrix(then(fall, p.matrix), mip), self.size, shadow.soft * 2)
        if patch is None:
            return
        pixels = patch.pixels
        if shadow.soft:
            pixels = cv2.blur(pixels, (2 * shadow.soft + 1, 2 * shadow.soft + 1))
        patch = Patch(patch.x, patch.y, pixels)
        for hider, depth in hiders:
            if depth > p.pose.foot[1]:
                cut(patch, hider)
        h, w = pixels.shape
        box = shade[patch.y : patch.y + h, patch.x : patch.x + w]
        cv2.max(box, pixels, box)

    def _darken(self, canvas: Array, shade: Array) -> None:
        if self._shadow is not None and shade.any():
            light = cv2.LUT(shade, self._shadow.light)
            cv2.multiply(canvas, cv2.cvtColor(light, cv2.COLOR_GRAY2BGRA), canvas, 1 / 255)

    def _draw(self, p: Placed, canvas: Array, hiders: list[tuple[Patch, float]], fuzzy: list[Patch]) -> None:
        smear_x, smear_y = (v * self._exposure for v in p.pose.velocity)
        length = math.hypot(smear_x, smear_y)
        margin = math.ceil(length / 2) + 1 if length > 1.2 else 0
        patch = self._patch(p, margin)
        if patch is None:
            return
        if margin:
            patch = Patch(patch.x, patch.y, _smeared(patch.pixels, smear_x, smear_y))
        for hider, depth in hiders:
            if depth > p.pose.foot[1]:
                cut(patch, hider)
        lay(canvas, patch)
        if margin:
            fuzzy.append(Patch(patch.x, patch.y, cv2.extractChannel(patch.pixels, 3)))

    def _labels(self, canvas: Array, shade: Array, fuzzy: list[Patch]) -> Array:
        coverage = cv2.extractChannel(canvas, 3)
        labels = cv2.threshold(coverage, 127, 255.0, cv2.THRESH_BINARY)[1]
        if self._shadow is not None:
            dark = cv2.threshold(shade, self._shadow.seen_from, float(SHADOW), cv2.THRESH_BINARY)[1]
            labels = cv2.max(labels, dark)
        for patch in fuzzy:
            h, w = patch.pixels.shape
            box = (slice(patch.y, patch.y + h), slice(patch.x, patch.x + w))
            partial = cv2.bitwise_and(cv2.inRange(patch.pixels, 38, 217), cv2.inRange(coverage[box], 38, 217))
            labels[box][partial > 0] = UNKNOWN
        return np.asarray(labels)


@dataclass(frozen=True, slots=True)
class Shadow:
    """How objects darken the ground."""

    along: float
    """Columns per row of the object's height."""
    down: float
    """Rows towards the camera per row of the object's height; negative is away."""
    strength: float
    """Share of the light taken."""
    soft: int
    """Half width of the blur in pixels."""
    light: Array
    """(256,) uint8: light left for each coverage."""
    seen_from: float
    """Coverage above which it counts as a shadow."""


def _random_shadow(rng: np.random.Generator, mix: Mix, conditions: set[str]) -> Shadow | None:
    if "thermal" in conditions or rng.random() >= mix.shadows:
        return None
    conditions.add("shadows")
    strength = rng.uniform(0.15, 0.7)
    along = rng.uniform(0.2, 1.6) * (1 if rng.random() < 0.5 else -1)
    down = rng.uniform(-0.35, 0.45)
    soft = 0 if rng.random() < 0.5 else int(rng.integers(1, 4))
    light = np.rint(255 - np.arange(256) * strength).astype(np.uint8)
    return Shadow(along, down, strength, soft, light, min(255 * 0.08 / strength + 20, 128))


def _random_fps(rng: np.random.Generator, mix: Mix, conditions: set[str]) -> float:
    share = rng.random()
    if share < mix.slow:
        conditions.add("low frame rate")
        return float(rng.integers(6, 16))
    return 30.0 if share < mix.slow + 0.1 else 25.0


def _thermal(rng: np.random.Generator, image: Array) -> Array:
    """A picture of temperatures: grey, blurred, of little contrast."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)
    grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.8, 2.0))
    grey = cv2.convertScaleAbs(grey, alpha=rng.uniform(0.15, 0.5), beta=rng.uniform(10, 110))
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))


def _smeared(pixels: Array, dx: float, dy: float) -> Array:
    """`pixels` averaged along a way of (dx, dy) pixels."""
    reach = math.ceil(max(abs(dx), abs(dy)) / 2)
    reach = min(reach, 12)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    steps = 4 * reach + 1
    for nth in range(steps):
        share = nth / (steps - 1) - 0.5
        x = reach + min(max(round(share * dx), -reach), reach)
        y = reach + min(max(round(share * dy), -reach), reach)
        kernel[y, x] += 1 / steps
    return np.asarray(cv2.filter2D(pixels, -1, kernel, borderType=cv2.BORDER_CONSTANT))
