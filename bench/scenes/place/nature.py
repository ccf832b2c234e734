"""What moves in an empty scene and is no foreground: leaves, water, cloth, fountains, screens, escalators."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from bench.scenes.air.camera import Seed, frame_rng
from bench.scenes.bank import PictureBank
from bench.scenes.motion import Sway, random_sway
from bench.scenes.place.painter import Painter, Plate
from edgebs.tensors import Array


class Restless(Protocol):
    """A region of the plate that never stays the same."""

    @property
    def x(self) -> int:
        """First column."""

    @property
    def y(self) -> int:
        """First row."""

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns."""

    def taken(self, seconds: float) -> Array | None:
        """(2, h, w) float32: from how far (x first) each pixel is taken; None if from no place at all."""

    def move(self, plate: Array, moved: Array, seconds: float) -> None:
        """Write the region at that time into `moved` (H, W, 4); `plate` is the plate at rest."""


@dataclass(frozen=True, slots=True)
class Wave:
    """A region of the plate whose points swing round their places."""

    x: int
    y: int
    at: tuple[Array, Array]
    """Plate columns and rows of the region's pixels at rest, (h, w) float32 each."""
    swing: tuple[Array, Array]
    """Two (h, w) float32 fields of displacement, a quarter of a period apart."""
    rate: float
    """Radians per second."""
    gust: Sway
    slope: float
    """Vertical displacement per horizontal."""
    glitter: float
    """Grey levels by which a pixel of displacement brightens: water."""

    @property
    def extent(self) -> tuple[int, int]:
        h, w = self.at[0].shape
        return h, w

    def taken(self, seconds: float) -> Array:
        """(2, h, w) float32."""
        by = self.displacement(seconds)
        return np.stack([by, by * np.float32(self.slope)])

    def displacement(self, seconds: float) -> Array:
        """(h, w) float32: from how many columns to the right each pixel is taken."""
        strength = 0.6 + 0.4 * self.gust.at(seconds)
        turn = self.rate * seconds + 2.0 * self.gust.at(seconds * 0.7)
        return np.asarray(
            cv2.addWeighted(
                self.swing[0], strength * math.cos(turn), self.swing[1], strength * math.sin(turn), 0.0
            )
        )

    def move(self, plate: Array, moved: Array, seconds: float) -> None:
        """Write the region, taken from `plate`, into `moved`."""
        by = self.displacement(seconds)
        columns = cv2.add(self.at[0], by)
        rows = cv2.scaleAdd(by, self.slope, self.at[1])
        h, w = by.shape
        moved[self.y : self.y + h, self.x : self.x + w] = cv2.remap(
            plate, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        if self.glitter:
            add_grey(moved[self.y : self.y + h, self.x : self.x + w], by * np.float32(self.glitter))


def random_wave(rng: np.random.Generator, bank: PictureBank, painter: Painter, plate: Plate) -> Wave | None:
    """Wind in one of the plate's soft regions, in a flag or curtain, or in a region of any shape."""
    mask, is_cloth = _windy(rng, painter, plate)
    return _wave(rng, bank, plate, mask, is_cloth=is_cloth, glittering=0.25)


def random_water(rng: np.random.Generator, bank: PictureBank, plate: Plate) -> Wave | None:
    """Ripples on the water of a shore, which mostly glitter; None where there is none."""
    if not plate.soft:
        return None
    return _wave(rng, bank, plate, plate.soft[0].copy(), is_cloth=False, glittering=0.8)


def _wave(
    rng: np.random.Generator,
    bank: PictureBank,
    plate: Plate,
    mask: Array,
    *,
    is_cloth: bool,
    glittering: float,
) -> Wave | None:
    """mask: (H, W) uint8 of what moves, changed here. glittering: the chance that it does."""
    for occluder in plate.occluders:  # what stands in front does not wave
        patch = occluder.patch
        h, w = patch.pixels.shape
        box = mask[patch.y : patch.y + h, patch.x : patch.x + w]
        cv2.subtract(box, patch.pixels, box)
    x, y, w, h = cv2.boundingRect(mask)
    if min(w, h) < 4:
        return None
    side = max(plate.image.shape[:2])
    reach = float(np.exp(rng.uniform(math.log(0.5), math.log(6.0)))) * side / 144
    sway = cv2.blur(mask[y : y + h, x : x + w], (5, 5)).astype(np.float32) * np.float32(reach / 255)
    mx, my = np.meshgrid(np.arange(x, x + w, dtype=np.float32), np.arange(y, y + h, dtype=np.float32))
    if is_cloth:  # folds that run along
        angle = (mx * np.float32(rng.uniform(-1, 1)) + my * np.float32(rng.uniform(-1, 1))) * np.float32(
            18 / side
        )
    else:
        angle = _cloud(rng, bank, h, w) * np.float32(rng.uniform(1.0, 6.0))
    rate = 2 * math.pi * float(np.exp(rng.uniform(math.log(0.2), math.log(3.0))))
    glitter = rng.uniform(3, 15) / max(reach, 1.0) if rng.random() < glittering else 0.0
    return Wave(
        x, y, (mx, my), (sway * np.cos(angle), sway * np.sin(angle)), rate, random_sway(rng, 0.08, 0.6),
        rng.uniform(-0.6, 0.6), glitter,
    )  # fmt: skip


def _windy(rng: np.random.Generator, painter: Painter, plate: Plate) -> tuple[Array, bool]:
    """(H, W) uint8 of what moves, and whether it is a piece of cloth, which is painted here."""
    height, width = plate.image.shape[:2]
    if plate.soft and rng.random() < 0.8:
        return plate.soft[int(rng.integers(0, len(plate.soft)))].copy(), False
    mask = np.zeros((height, width), np.uint8)
    if rng.random() < 0.4:
        x, y, w, h = _random_box(rng, plate, 0.08, 0.5)
        plate.image[y : y + h, x : x + w, :3] = painter.surface(h, w, painter.tone(), rng.uniform(0.5, 1.5))
        mask[max(y - 2, 0) : y + h + 2, max(x - 2, 0) : x + w + 2] = 255
        return mask, True
    middle = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
    axes = (int(rng.uniform(0.1, 0.5) * width) + 2, int(rng.uniform(0.1, 0.5) * height) + 2)
    cv2.ellipse(mask, middle, axes, rng.uniform(0, 180), 0, 360, 255.0, -1)
    return mask, False


def _cloud(rng: np.random.Generator, bank: PictureBank, h: int, w: int) -> Array:
    """(h, w) float32 of smooth noise."""
    rows, columns = min(h, 512), min(w, 512)
    v, u = rng.integers(0, 513 - rows), rng.integers(0, 513 - columns)
    cloud = bank.clouds[int(rng.integers(0, 3))][v : v + rows, u : u + columns]
    return np.asarray(cloud if (rows, columns) == (h, w) else cv2.resize(cloud, (w, h)))


@dataclass(frozen=True, slots=True)
class Spray:
    """Water that breaks up: brightness that is new in each frame, inside a region."""

    x: int
    y: int
    weight: Array
    """(h, w) float32, grey levels."""
    cloud: Array
    """Smooth noise, larger than the region by SPRAY_SLACK."""
    seed: Seed

    @property
    def extent(self) -> tuple[int, int]:
        h, w = self.weight.shape
        return h, w

    def taken(self, seconds: float) -> None:
        """None: nothing here was elsewhere before."""

    def move(self, plate: Array, moved: Array, seconds: float) -> None:  # noqa: ARG002 - one signature
        """Brighten and darken the region of `moved`."""
        h, w = self.weight.shape
        y, x = (int(v) for v in frame_rng(self.seed, seconds, 3).integers(0, SPRAY_SLACK + 1, 2))
        more = cv2.multiply(self.cloud[y : y + h, x : x + w], self.weight)
        add_grey(moved[self.y : self.y + h, self.x : self.x + w], more)


SPRAY_SLACK = 32


@dataclass(frozen=True, slots=True)
class Surf:
    """Foam that comes in and goes out: white bands along a shore, each to its own beat."""

    x: int
    y: int
    foam: Array
    """(h + SURF_REACH, w) float32, grey levels."""
    sweep: Sway
    swell: Sway
    strength: float
    """Share of the foam that comes and goes."""

    @property
    def extent(self) -> tuple[int, int]:
        return self.foam.shape[0] - SURF_REACH, self.foam.shape[1]

    def taken(self, seconds: float) -> None:
        """None: foam forms and goes."""

    def move(self, plate: Array, moved: Array, seconds: float) -> None:  # noqa: ARG002 - one signature
        """Brighten the region of `moved`."""
        h, w = self.extent
        y = round((0.5 + 0.5 * self.sweep.at(seconds)) * SURF_REACH)
        share = 1 - self.strength * (0.5 + 0.5 * self.swell.at(seconds))
        more = np.asarray(self.foam[y : y + h] * np.float32(share))
        add_grey(moved[self.y : self.y + h, self.x : self.x + w], more)


SURF_REACH = 12


def random_surf(rng: np.random.Generator, bank: PictureBank, plate: Plate) -> Surf | None:
    """Surf over the upper or lower part of the plate's water; None where there is none."""
    if not plate.soft:
        return None
    x, y, w, h = cv2.boundingRect(plate.soft[0])
    if min(w, h) < 8:
        return None
    rows = max(int(h * rng.uniform(0.2, 0.9)), 6)
    top = y if rng.random() < 0.5 else y + h - rows
    part = int(rng.integers(120, 400))
    v, u = rng.integers(0, 512 - part + 1, 2)
    cloud = bank.clouds[int(rng.integers(1, 4))][v : v + max(part // 5, 16), u : u + part]
    cloud = cv2.resize(cloud, (w, rows + SURF_REACH))
    foam = np.clip(cloud - rng.uniform(0.0, 0.5), 0, 0.5) * np.float32(rng.uniform(80, 320))
    edge = cv2.blur(plate.soft[0][top : top + rows, x : x + w], (5, 5)).astype(np.float32) / 255
    foam[:rows] *= edge
    sweep, swell = random_sway(rng, 0.05, 0.5, 3), random_sway(rng, 0.05, 0.6, 3)
    return Surf(x, top, foam.astype(np.float32), sweep, swell, rng.uniform(0.3, 1.0))


@dataclass(frozen=True, slots=True)
class Screen:
    """A region that shows one of several pictures, or a lamp that flickers."""

    x: int
    y: int
    pictures: tuple[Array, ...]
    """(h, w, 4) uint8, as they replace the plate there."""
    hold_s: float
    seed: Seed

    @property
    def extent(self) -> tuple[int, int]:
        return self.pictures[0].shape[0], self.pictures[0].shape[1]

    def taken(self, seconds: float) -> None:
        """None: nothing here was elsewhere before."""

    def move(self, plate: Array, moved: Array, seconds: float) -> None:  # noqa: ARG002 - one signature
        """Show the picture of the moment."""
        nth = math.floor((seconds + 100.0) / self.hold_s)
        shown = np.random.default_rng((*self.seed, 4, nth)).integers(0, len(self.pictures))
        picture = self.pictures[int(shown)]
        h, w = picture.shape[:2]
        moved[self.y : self.y + h, self.x : self.x + w] = picture


@dataclass(frozen=True, slots=True)
class Belt:
    """A pattern that runs through its region and repeats."""

    x: int
    y: int
    strip: Array
    """(h + period + 2, w, 4) uint8, the same after `period` rows."""
    period: int
    speed: float
    """Rows per second."""

    @property
    def extent(self) -> tuple[int, int]:
        return self.strip.shape[0] - self.period - 2, self.strip.shape[1]

    def taken(self, seconds: float) -> Array:
        """(2, h, w) float32, larger for each repetition."""
        taken = np.zeros((2, *self.extent), np.float32)
        taken[1] = self.speed * seconds
        return taken

    def move(self, plate: Array, moved: Array, seconds: float) -> None:  # noqa: ARG002 - one signature
        """Show the strip where it is now."""
        h, w = self.strip.shape[0] - self.period - 2, self.strip.shape[1]
        matrix = np.array([[1.0, 0, 0], [0, 1, self.speed * seconds % self.period]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved[self.y : self.y + h, self.x : self.x + w] = cv2.warpAffine(
            self.strip, matrix, (w, h), flags=flags
        )


def add_grey(box: Array, more: Array) -> None:
    """Add `more` (h, w) float32 grey levels to the colours of `box` (h, w, 4), in place."""
    nothing = np.zeros_like(more)
    cv2.add(box, cv2.merge([more, more, more, nothing]), box, dtype=cv2.CV_8U)


def random_spray(rng: np.random.Generator, bank: PictureBank, plate: Plate, seed: Seed) -> Spray:
    """A fountain somewhere."""
    x, y, w, h = _random_box(rng, plate, 0.12, 0.5)
    mask = np.zeros((h, w), np.uint8)
    cv2.ellipse(mask, (w // 2, h // 2), (w // 2, h // 2), 0, 0, 360, rng.uniform(20, 110), -1)
    weight = cv2.blur(mask, (7, 7)).astype(np.float32)
    rows, columns = h + SPRAY_SLACK, w + SPRAY_SLACK
    cloud = bank.clouds[int(rng.integers(1, 4))]
    part = (min(rows, 512), min(columns, 512))
    v, u = rng.integers(0, 513 - part[0]), rng.integers(0, 513 - part[1])
    return Spray(x, y, weight, cv2.resize(cloud[v : v + part[0], u : u + part[1]], (columns, rows)), seed)


def random_screen(rng: np.random.Generator, painter: Painter, plate: Plate, seed: Seed) -> Screen:
    """A lamp that lights its surroundings unsteadily, or a screen."""
    x, y, w, h = _random_box(rng, plate, 0.08, 0.4)
    there = plate.image[y : y + h, x : x + w]
    pictures = []
    if rng.random() < 0.5:  # a lamp: the same surroundings, more or less bright
        glow = np.zeros((h, w), np.uint8)
        cv2.ellipse(glow, (w // 2, h // 2), (w // 3 + 1, h // 3 + 1), 0, 0, 360, 255.0, -1)
        profile = cv2.blur(glow, (w // 3 | 1, h // 3 | 1)).astype(np.float32)
        for _ in range(4):
            lit = there.copy()
            add_grey(lit, profile * np.float32(rng.uniform(-0.3, 0.3)))
            pictures.append(lit)
        hold = float(np.exp(rng.uniform(math.log(0.03), math.log(2.0))))
    else:
        for _ in range(4):
            colour = painter.photo(h, w) if rng.random() < 0.5 else painter.surface(h, w, painter.tone(), 1.2)
            pictures.append(np.dstack([colour, np.zeros((h, w), np.uint8)]))
        hold = float(np.exp(rng.uniform(math.log(0.04), math.log(5.0))))
    return Screen(x, y, tuple(pictures), hold, seed)


def random_belt(rng: np.random.Generator, painter: Painter, plate: Plate) -> Belt:
    """An escalator's steps."""
    x, y, w, h = _random_box(rng, plate, 0.1, 0.45)
    period = int(rng.integers(3, max(4, h // 2) + 1))
    step = painter.surface(period, w, painter.tone(), rng.uniform(0.3, 1.2))
    step[: max(period // 4, 1)] = step[: max(period // 4, 1)] // 2
    strip = np.tile(step, (-(-(h + period + 2) // period), 1, 1))[: h + period + 2]
    speed = rng.choice([-1.0, 1.0]) * float(np.exp(rng.uniform(math.log(3), math.log(60))))
    return Belt(x, y, np.dstack([strip, np.zeros(strip.shape[:2], np.uint8)]), period, speed)


def _random_box(rng: np.random.Generator, plate: Plate, low: float, high: float) -> tuple[int, int, int, int]:
    """(x, y, w, h) of a region inside the plate; sides are shares of the plate's."""
    height, width = plate.image.shape[:2]
    w, h = max(int(rng.uniform(low, high) * width), 4), max(int(rng.uniform(low, high) * height), 4)
    return int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1)), w, h
