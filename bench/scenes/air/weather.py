"""What lies between a training scene and its camera: rain, snow, fog, insects, the shadows of clouds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from bench.scenes.air.camera import Seed, frame_rng
from bench.scenes.bank import PictureBank
from bench.scenes.mix import Mix
from bench.scenes.motion import Sway, random_sway
from edgebs.tensors import Array


class Weather(Protocol):
    """Something that changes the whole picture."""

    def over(self, image: Array, seconds: float) -> Array:
        """`image` (h, w, 3) uint8 with it at that time; a new array or the same one, written over."""


@dataclass(frozen=True, slots=True)
class Rain:
    """Streaks that no two frames share."""

    seed: Seed
    streaks: Array
    """(2h, 2w, 3) uint8 to add."""

    def over(self, image: Array, seconds: float) -> Array:
        """Brighter where a drop fell during the exposure."""
        h, w = image.shape[:2]
        y, x = (int(v) for v in frame_rng(self.seed, seconds, 2).integers(0, (h + 1, w + 1)))
        return np.asarray(cv2.add(image, self.streaks[y : y + h, x : x + w]))


@dataclass(frozen=True, slots=True)
class Snow:
    """Flakes in two depths that fall and drift."""

    layers: tuple[tuple[Array, float, float], ...]
    """(2h, 2w, 3) uint8 to add, which repeats after h rows and w columns; columns and rows per second."""

    def over(self, image: Array, seconds: float) -> Array:
        """Brighter where a flake is."""
        h, w = image.shape[:2]
        for flakes, across, down in self.layers:
            y, x = int(-down * seconds) % h, int(-across * seconds) % w
            image = cv2.add(image, flakes[y : y + h, x : x + w])
        return image


@dataclass(frozen=True, slots=True)
class Drifting:
    """A map that moves across the picture and comes back."""

    map: Array
    """(2h, 2w) uint8."""
    way: tuple[Sway, Sway]

    def at(self, seconds: float, size: tuple[int, int]) -> Array:
        """(h, w) uint8, a view."""
        h, w = size
        y = round((0.5 + 0.5 * self.way[0].at(seconds)) * h)
        x = round((0.5 + 0.5 * self.way[1].at(seconds)) * w)
        return self.map[y : y + h, x : x + w]


@dataclass(frozen=True, slots=True)
class CloudShadow:
    """Light that passing clouds or leaves take from everything."""

    light: Drifting
    """255 is all light."""

    def over(self, image: Array, seconds: float) -> Array:
        """Darker where the shadow is."""
        light = self.light.at(seconds, (image.shape[0], image.shape[1]))
        return np.asarray(cv2.multiply(image, cv2.cvtColor(light, cv2.COLOR_GRAY2BGR), scale=1 / 255))


@dataclass(frozen=True, slots=True)
class StandingShade:
    """Light that trees and houses take: it stays, but for leaves in the wind."""

    light: Array
    """(h + 2 REACH, w + 2 REACH) uint8; 255 is all light."""
    way: tuple[Sway, Sway]
    reach: float
    """Pixels that it sways each way, at most SHADE_REACH."""

    def over(self, image: Array, seconds: float) -> Array:
        """Darker where the shade is."""
        h, w = image.shape[:2]
        y, x = (round(SHADE_REACH + self.reach * sway.at(seconds)) for sway in self.way)
        light = cv2.cvtColor(self.light[y : y + h, x : x + w], cv2.COLOR_GRAY2BGR)
        return np.asarray(cv2.multiply(image, light, scale=1 / 255))


SHADE_REACH = 4


def standing_shade(rng: np.random.Generator, bank: PictureBank, size: tuple[int, int]) -> StandingShade:
    """The shade of a tree's crown, with spots of light in it, of a house, or of both."""
    h, w = size[0] + 2 * SHADE_REACH, size[1] + 2 * SHADE_REACH
    taken = np.zeros((h, w), np.float32)
    if rng.random() < 0.75:
        y, x = rng.integers(0, 512 - 128 + 1, 2)
        part = int(rng.integers(64, 129))
        crown = cv2.resize(bank.clouds[0][y : y + part, x : x + part], (w, h))
        leaves = bank.clouds[int(rng.integers(1, 4))]
        leaves = cv2.resize(leaves[:384, :384], (w, h))
        dense = np.clip(0.5 + rng.uniform(2, 8) * (crown + rng.uniform(-0.3, 0.3)), 0, 1)
        taken = np.asarray(dense * np.clip(0.5 + rng.uniform(1, 6) * (leaves + rng.uniform(0, 0.4)), 0, 1))
    if rng.random() < 0.45:
        house = np.zeros((h, w), np.uint8)
        x0, x1 = rng.uniform(-0.2, 1.2, 2) * w
        side = 0.0 if rng.random() < 0.5 else float(w)
        corners = np.array([(side, 0), (x0, 0), (x1, h), (side, h)], np.float64)
        cv2.fillPoly(house, [np.rint(corners).astype(np.int32)], 255.0, cv2.LINE_AA)
        blur = int(rng.integers(1, 4))
        taken = np.maximum(taken, cv2.blur(house, (blur, blur)).astype(np.float32) / 255)
    light = np.rint(255 * (1 - rng.uniform(0.25, 0.7) * taken)).astype(np.uint8)
    way = (random_sway(rng, 0.1, 0.8, 3), random_sway(rng, 0.1, 0.8, 3))
    return StandingShade(light, way, rng.uniform(0.0, 3.0) if rng.random() < 0.5 else 0.0)


@dataclass(frozen=True, slots=True)
class Fog:
    """Smoke that drifts by."""

    clear: Drifting
    """255 is clear air."""
    tone: float

    def over(self, image: Array, seconds: float) -> Array:
        """Nearer to the fog's tone where it is dense."""
        clear = self.clear.at(seconds, (image.shape[0], image.shape[1]))
        thick = cv2.convertScaleAbs(cv2.bitwise_not(clear), alpha=self.tone / 255)
        image = cv2.multiply(image, cv2.cvtColor(clear, cv2.COLOR_GRAY2BGR), scale=1 / 255)
        return np.asarray(cv2.add(image, cv2.cvtColor(thick, cv2.COLOR_GRAY2BGR)))


@dataclass(frozen=True, slots=True)
class Insect:
    """A blurred spot right before the lens."""

    way: tuple[Sway, Sway]
    radius: int
    tone: float

    def over(self, image: Array, seconds: float) -> Array:
        """With the spot, if it is inside the picture."""
        h, w = image.shape[:2]
        x, y = ((0.5 + 0.9 * sway.at(seconds)) * side for sway, side in zip(self.way, (w, h), strict=True))
        reach = 2 * self.radius
        x0, y0, x1, y1 = max(int(x) - reach, 0), max(int(y) - reach, 0), int(x) + reach, int(y) + reach
        if x1 > 0 and y1 > 0 and x0 < w and y0 < h:
            box = image[y0:y1, x0:x1]
            spot = np.zeros(box.shape[:2], np.uint8)
            cv2.circle(spot, (int(x) - x0, int(y) - y0), self.radius, 200.0, -1)
            weight = cv2.blur(spot, (self.radius | 1, self.radius | 1)).astype(np.float32)[..., None] / 255
            box[:] = np.rint(box * (1 - weight) + np.float32(self.tone) * weight)
        return image


def random_weather(
    rng: np.random.Generator, bank: PictureBank, seed: Seed, size: tuple[int, int], mix: Mix, words: set[str]
) -> tuple[list[Weather], list[Weather]]:
    """What changes light on everything, and what falls or flies before the lens; adds to `words`."""
    light: list[Weather] = []
    air: list[Weather] = []
    chance = rng.random(5)
    if chance[0] < mix.clouds and "thermal" not in words:
        words.add("cloud shadows")
        light.append(
            CloudShadow(_drifting(rng, bank, size, rng.uniform(0.1, 0.6), is_hard=rng.random() < 0.4))
        )
    if chance[1] < mix.fog:
        words.add("fog")
        light.append(
            Fog(_drifting(rng, bank, size, rng.uniform(0.2, 0.7), is_hard=False), rng.uniform(120, 240))
        )
    if chance[2] < mix.rain:
        words.add("rain")
        air.append(_rain(rng, seed, size))
    if chance[3] < mix.snow:
        words.add("snow")
        air.append(_snow(rng, size))
    if chance[4] < mix.insects:
        words.add("insects")
        way = (random_sway(rng, 0.05, 1.5, 4), random_sway(rng, 0.05, 1.5, 4))
        air.append(Insect(way, int(rng.integers(2, max(4, size[0] // 10))), rng.choice([15.0, 235.0])))
    return light, air


def _drifting(
    rng: np.random.Generator, bank: PictureBank, size: tuple[int, int], depth: float, *, is_hard: bool
) -> Drifting:
    h, w = size
    part = int(rng.integers(120, 400))
    y, x = rng.integers(0, 512 - part + 1, 2)
    cloud = cv2.resize(bank.clouds[int(rng.integers(0, 3))][y : y + part, x : x + part], (2 * w, 2 * h))
    sharp = rng.uniform(4, 12) if is_hard else 1.0
    taken = np.clip(0.5 + sharp * cloud, 0, 1) * np.float32(depth)
    way = (random_sway(rng, 0.01, 0.2, 3), random_sway(rng, 0.01, 0.2, 3))
    return Drifting(np.rint(255 * (1 - taken)).astype(np.uint8), way)


def _rain(rng: np.random.Generator, seed: Seed, size: tuple[int, int]) -> Rain:
    h, w = size
    streaks = np.zeros((2 * h, 2 * w), np.uint8)
    slant, long = rng.uniform(-0.4, 0.4), rng.uniform(0.03, 0.15) * h
    for x, y, part in rng.uniform(0, 1, (int(rng.integers(60, 400)), 3)).tolist():
        a, step = (x * 2 * w, y * 2 * h), long * (0.5 + part)
        b = (int(a[0] + slant * step), int(a[1] + step))
        cv2.line(streaks, (int(a[0]), int(a[1])), b, 20.0 + 80 * part, 1, cv2.LINE_AA)
    streaks = cv2.convertScaleAbs(cv2.blur(streaks, (1, 3)), alpha=rng.uniform(0.3, 1.2))
    return Rain(seed, cv2.cvtColor(streaks, cv2.COLOR_GRAY2BGR))


def _snow(rng: np.random.Generator, size: tuple[int, int]) -> Snow:
    h, w = size
    layers = []
    for share in (0.5, 1.0):
        flakes = np.zeros((h, w), np.uint8)
        radius = share * rng.uniform(0.004, 0.018) * h
        for x, y in rng.uniform(0, 1, (int(rng.integers(8, 60)), 2)).tolist():
            place = (int(x * w * 16), int(y * h * 16))
            tone = rng.uniform(30, 180)
            cv2.circle(flakes, place, int(radius * 16) + 4, tone, -1, cv2.LINE_AA, 4)
        flakes = cv2.blur(flakes, (2, int(rng.integers(1, 5))))
        tiled = np.tile(cv2.cvtColor(flakes, cv2.COLOR_GRAY2BGR), (2, 2, 1))
        layers.append((tiled, share * rng.uniform(-0.5, 0.5) * h, share * rng.uniform(0.2, 2.0) * h))
    return Snow(tuple(layers))
