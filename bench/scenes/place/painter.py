"""The pencil for empty scenes: textured areas, lines, photographs, sprites; and what a plate is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from bench.scenes.actors.sprites import Actor
from bench.scenes.bank import PictureBank
from bench.scenes.draw import Patch, lay, mip_for, mip_matrix, stand_matrix, warped
from bench.scenes.textures import TILE
from edgebs.tensors import Array

Point = tuple[float, float]
Tone = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class View:
    """A level ground seen from above: how large a metre is where."""

    horizon: float
    """Row, may be far above the picture."""
    grade: float
    """Pixels per metre for each row below the horizon."""

    def metre(self, row: float) -> float:
        """Pixels per metre for what stands on `row`."""
        return self.grade * max(row - self.horizon, 2.0)


@dataclass(frozen=True, slots=True)
class Occluder:
    """Something of the plate that hides what passes behind it."""

    patch: Patch
    """(h, w) uint8 coverage in place."""
    depth: float
    """Row of its foot: hides what stands on rows above."""


@dataclass(slots=True)
class Plate:
    """An empty scene and what can be asked of it."""

    image: Array
    """(H, W, 4) uint8, the last channel 0."""
    view: View
    is_indoor: bool
    occluders: list[Occluder] = field(default_factory=list)
    soft: list[Array] = field(default_factory=list)
    """(H, W) uint8 regions of leaves, grass, water or cloth that wind may move."""
    lamps: list[tuple[float, float, float]] = field(default_factory=list)
    """Column, row and radius of light sources."""


class Painter:
    """Draws on a plate. All coordinates are pixels of the plate."""

    def __init__(self, rng: np.random.Generator, bank: PictureBank, size: tuple[int, int]) -> None:
        self.rng, self.bank = rng, bank
        self.h, self.w = size
        self.image = np.zeros((self.h, self.w, 3), np.uint8)
        self.saturation = rng.uniform(0.0, 1.0) ** 2.5

    def tone(self, low: float = 30, high: float = 215, colour: float = 1.0) -> Tone:
        """A random tone, about as colourful as the scene."""
        grey = self.rng.uniform(low, high)
        tint = self.rng.uniform(-60, 60, 3) * self.saturation * colour
        b, g, r = np.clip(grey + tint - tint.mean(), 3, 252).tolist()
        return b, g, r

    def texture(self, h: int, w: int) -> Array:
        """(h, w, 3) uint8 from a random texture around middle grey, at a random place, turn and size."""
        tiles = self.bank.tiles
        tile = tiles[int(self.rng.integers(0, len(tiles)))]
        zoom = float(np.exp(self.rng.uniform(-0.8, 0.5)))
        rows, columns = min(TILE, max(4, int(h / zoom))), min(TILE, max(4, int(w / zoom)))
        y, x = self.rng.integers(0, TILE - rows + 1), self.rng.integers(0, TILE - columns + 1)
        piece = tile[y : y + rows, x : x + columns]
        if self.rng.random() < 0.5:
            piece = piece[:, ::-1]
        return np.asarray(cv2.resize(piece, (w, h), interpolation=cv2.INTER_LINEAR))

    def surface(self, h: int, w: int, tone: Tone, contrast: float) -> Array:
        """(h, w, 3) uint8 of a texture in the given tone."""
        return self.toned(self.texture(h, w), tone, contrast)

    @staticmethod
    def toned(texture: Array, tone: Tone, contrast: float) -> Array:
        """A texture around middle grey, moved to the given tone."""
        levels = (np.arange(256, dtype=np.float32)[:, None] - 128) * contrast + np.array(tone, np.float32)
        return np.asarray(cv2.LUT(texture, np.clip(levels, 0, 255).astype(np.uint8)[:, None, :]))

    def area(
        self, points: Sequence[Point], tone: Tone | None = None, contrast: float | None = None
    ) -> Patch | None:
        """Fill a polygon with a texture; returns its coverage."""
        mask = self.polygon(points)
        if mask is not None:
            contrast = float(self.rng.uniform(0.1, 1.0)) if contrast is None else contrast
            h, w = mask.pixels.shape
            self.put(self.surface(h, w, tone or self.tone(), contrast), mask)
        return mask

    def polygon(self, points: Sequence[Point]) -> Patch | None:
        """The coverage of a polygon inside the plate."""
        corners = np.array(points, np.float64)
        x0, y0 = (max(math.floor(v) - 1, 0) for v in corners.min(axis=0).tolist())
        x1, y1 = (
            min(math.ceil(v) + 2, side)
            for v, side in zip(corners.max(axis=0).tolist(), (self.w, self.h), strict=True)
        )
        if x1 <= x0 or y1 <= y0:
            return None
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [np.rint((corners - (x0, y0)) * 16).astype(np.int32)], 255.0, cv2.LINE_AA, 4)
        return Patch(x0, y0, mask)

    def put(self, colour: Array, mask: Patch) -> None:
        """Lay `colour` over the image where `mask` covers it."""
        h, w = mask.pixels.shape
        box = self.image[mask.y : mask.y + h, mask.x : mask.x + w]
        weight = cv2.cvtColor(mask.pixels, cv2.COLOR_GRAY2BGR)
        kept = cv2.multiply(box, cv2.bitwise_not(weight), scale=1 / 255)
        cv2.add(kept, cv2.multiply(colour, weight, scale=1 / 255), box)

    def box(
        self, x: float, y: float, w: float, h: float, tone: Tone | None = None, contrast: float | None = None
    ) -> Patch | None:
        """Fill an upright rectangle with a texture."""
        return self.area([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], tone, contrast)

    def line(self, a: Point, b: Point, thick: float, tone: Tone) -> Patch | None:
        """A bar from a to b."""
        dx, dy = b[0] - a[0], b[1] - a[1]
        norm = math.hypot(dx, dy) or 1.0
        nx, ny = -dy / norm * thick / 2, dx / norm * thick / 2
        corners = [
            (a[0] + nx, a[1] + ny),
            (b[0] + nx, b[1] + ny),
            (b[0] - nx, b[1] - ny),
            (a[0] - nx, a[1] - ny),
        ]
        mask = self.polygon(corners)
        if mask is not None:
            self.put(np.full((*mask.pixels.shape, 3), tone, np.float32).astype(np.uint8), mask)
        return mask

    def photo(self, h: int, w: int) -> Array:
        """(h, w, 3) uint8: a random part of a random photograph, or a texture without photographs."""
        photos = self.bank.photos
        if not photos:
            return self.surface(h, w, self.tone(), 1.5)
        whole = photos[int(self.rng.integers(0, len(photos)))]
        ph, pw = whole.shape[:2]
        part = self.rng.uniform(0.25, 1.0) * min(ph / h, pw / w)
        rows, columns = max(int(h * part), 2), max(int(w * part), 2)
        y, x = self.rng.integers(0, ph - rows + 1), self.rng.integers(0, pw - columns + 1)
        piece = whole[y : y + rows, x : x + columns]
        if self.rng.random() < 0.5:
            piece = piece[:, ::-1]
        return np.asarray(
            cv2.resize(piece, (w, h), interpolation=cv2.INTER_AREA if part > 1 else cv2.INTER_LINEAR)
        )

    def stamp(self, actor: Actor, foot: Point, metre: float, pose: str = "walk") -> None:
        """Draw one of the bank's sprites into the plate."""
        sprite = actor.poses[pose][int(self.rng.integers(0, len(actor.poses[pose])))]
        scale = metre / actor.density
        mirror = -1.0 if self.rng.random() < 0.5 else 1.0
        mip = mip_for(scale)
        matrix = mip_matrix(stand_matrix(sprite, foot, (mirror * scale, scale)), mip)
        patch = warped(sprite.mips[mip], matrix, (self.h, self.w))
        if patch is not None:
            four = cv2.cvtColor(self.image, cv2.COLOR_BGR2BGRA)
            lay(four, patch)
            self.image = cv2.cvtColor(four, cv2.COLOR_BGRA2BGR)

    def chance(self, share: float) -> bool:
        """True in `share` of the cases."""
        return bool(self.rng.random() < share)

    def one(self, kind: str) -> Actor:
        """A random actor of the bank."""
        actors = self.bank.actors[kind]
        return actors[int(self.rng.integers(0, len(actors)))]
