"""What objects do to the ground around them and is no foreground: shadows, mirror images, light."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from bench.scenes.draw import Matrix, Patch, mip_for, mip_matrix, then, warped
from bench.scenes.mix import Mix
from bench.scenes.mover import Placed
from edgebs.tensors import Array

DISC = 32
"""Side of the soft disc in pixels."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """How objects darken the ground."""

    along: float
    """Columns per row of the object's height."""
    down: float
    """Rows towards the camera per row of the object's height; negative is away."""
    soft: int
    """Half width of the blur in pixels."""
    is_cast: bool
    """Whether there is one source of light; else there is only the dark below the object."""
    contact: float
    """Darkness below the object, 0 to 1 of the shadow's own."""
    light: Array
    """(256,) uint8: light left for each coverage."""
    seen_from: float
    """Coverage above which it counts as a shadow: less than 8 % of the light is not seen."""

    def patches(self, placed: Placed, size: tuple[int, int]) -> list[Patch]:
        """Coverage (h, w) uint8 in place of what the object darkens."""
        found = []
        if self.is_cast:
            found.append(self._cast(placed, size))
        if self.contact:
            found.append(self._below(placed, size))
        return [patch for patch in found if patch is not None]

    def _cast(self, p: Placed, size: tuple[int, int]) -> Patch | None:
        sprite = p.mover.sprite(p.pose)
        mip = min(p.sprite_key[2] + 1, len(sprite.mips) - 1)
        alpha = cv2.extractChannel(sprite.mips[mip], 3)
        # Up on the object becomes along the ground; the foot stays in its place.
        v = sprite.foot[1]
        side = -1.0 if p.pose.is_mirrored else 1.0
        fall: Matrix = (1.0, -side * self.along, side * self.along * v, 0.0, -self.down, v + self.down * v)
        patch = warped(alpha, mip_matrix(then(fall, p.matrix), mip), size, self.soft * 2)
        if patch is None or not self.soft:
            return patch
        return Patch(patch.x, patch.y, cv2.blur(patch.pixels, (2 * self.soft + 1, 2 * self.soft + 1)))

    def _below(self, p: Placed, size: tuple[int, int]) -> Patch | None:
        sprite = p.mover.sprite(p.pose)
        wide = sprite.mips[0].shape[1] * p.scale * 0.62
        patch = spot(p.foot, (wide, 0.28 * wide), size)
        if patch is None or self.contact == 1.0:
            return patch
        return Patch(patch.x, patch.y, cv2.convertScaleAbs(patch.pixels, alpha=self.contact))


def random_shadow(rng: np.random.Generator, mix: Mix, words: set[str]) -> Shadow | None:
    """The shadows of a scene, if it has any; adds to `words`."""
    is_cast, is_dark_below = rng.random() < mix.shadows, rng.random() < mix.contact
    strength = rng.uniform(0.15, 0.7)
    along = rng.uniform(0.1, 1.6) * (1 if rng.random() < 0.5 else -1)
    down = rng.uniform(-0.35, 0.45)
    soft = 0 if rng.random() < 0.5 else int(rng.integers(1, 4))
    contact = rng.uniform(0.4, 1.0) if is_dark_below else 0.0
    if "thermal" in words or not (is_cast or is_dark_below):
        return None
    words.add("shadows" if is_cast else "contact shadows")
    light = np.rint(255 - np.arange(256) * strength).astype(np.uint8)
    return Shadow(along, down, soft, is_cast, contact, light, min(255 * 0.08 / strength + 20, 128))


def hard_shadow(rng: np.random.Generator, is_cast_far: bool) -> Shadow:
    """That of a low sun without clouds. is_cast_far: longer than the objects are high."""
    strength = rng.uniform(0.35, 0.75)
    along = rng.uniform(0.8, 2.6) if is_cast_far else rng.uniform(0.2, 1.2)
    along *= 1 if rng.random() < 0.5 else -1
    light = np.rint(255 - np.arange(256) * strength).astype(np.uint8)
    down, soft, contact = rng.uniform(-0.35, 0.45), int(rng.integers(0, 2)), rng.uniform(0.5, 1.0)
    return Shadow(along, down, soft, True, contact, light, min(255 * 0.08 / strength + 20, 128))


@dataclass(frozen=True, slots=True)
class Mirror:
    """A wet floor, or a pane of glass beside the way, that shows objects once more."""

    strength: float
    """Share of the mirror image."""
    pane: tuple[int, int, int, int] | None = None
    """(x, y, w, h) in image pixels of the glass; None is the floor."""
    fades: float = 0.0
    """Share of the object's height below its foot at which the floor's mirror image has gone; 0: nowhere."""
    soft: int = 0
    """Half width in pixels of the blur of a rough floor."""

    def patch(self, p: Placed, size: tuple[int, int]) -> Patch | None:
        """The dimmed mirror image in place, (h, w, 4) uint8; its last channel is its own coverage."""
        look, phase, mip = p.sprite_key
        fx, fy = p.foot
        if self.pane is None:
            flip: Matrix = (1.0, 0.0, 0.0, 0.0, -1.0, 2 * fy)
        else:
            x, y, w, h = self.pane
            flip = (-0.8, 0.0, x + w / 2 + 0.8 * fx, 0.0, 0.8, 0.1 * (y + h) + 0.1 * fy)
        patch = warped(p.mover.pixels(look, phase, mip), mip_matrix(then(p.matrix, flip), mip), size)
        if patch is None:
            return None
        if self.pane is not None:
            patch = _inside(patch, self.pane)
            if patch is None:
                return None
        pixels = cv2.convertScaleAbs(patch.pixels, alpha=self.strength)
        if self.soft:
            pixels = cv2.blur(pixels, (2 * self.soft + 1, 2 * self.soft + 1))
        if self.fades and self.pane is None:
            reach = max(self.fades * p.pose.metre * p.mover.actor.height, 1.0)
            below = patch.y + np.arange(pixels.shape[0], dtype=np.float32) - np.float32(fy)
            left = np.clip(1 - below / np.float32(reach), 0, 1)[:, None, None]
            pixels = np.rint(pixels * left).astype(np.uint8)
        return Patch(patch.x, patch.y, pixels)


def glossy_floor(rng: np.random.Generator) -> Mirror:
    """A polished floor: a faint image that fades away from the foot."""
    return Mirror(rng.uniform(0.08, 0.45), None, rng.uniform(0.3, 1.2), int(rng.integers(0, 4)))


def random_mirror(
    rng: np.random.Generator, size: tuple[int, int], mix: Mix, words: set[str]
) -> Mirror | None:
    """A mirror in some scenes; adds to `words`."""
    if rng.random() >= mix.reflections or "thermal" in words:
        return None
    words.add("reflections")
    h, w = size
    if rng.random() < 0.65:
        return Mirror(rng.uniform(0.1, 0.4))
    pw, ph = int(rng.uniform(0.2, 0.7) * w), int(rng.uniform(0.2, 0.7) * h)
    pane = (int(rng.integers(0, w - pw + 1)), int(rng.integers(0, h - ph + 1)), pw, ph)
    return Mirror(rng.uniform(0.1, 0.35), pane)


def _inside(patch: Patch, pane: tuple[int, int, int, int]) -> Patch | None:
    x, y, w, h = pane
    ph, pw = patch.pixels.shape[:2]
    x0, y0, x1, y1 = max(patch.x, x), max(patch.y, y), min(patch.x + pw, x + w), min(patch.y + ph, y + h)
    if x1 <= x0 or y1 <= y0:
        return None
    return Patch(x0, y0, patch.pixels[y0 - patch.y : y1 - patch.y, x0 - patch.x : x1 - patch.x])


@dataclass(frozen=True, slots=True)
class Lamps:
    """Light that is added to the darkness: street lamps, and the headlights of vehicles and cyclists."""

    fixed: Array | None
    """(H, W, 3) uint8 of the plate's own lamps."""
    beam: float
    """Grey levels in the middle of a headlight's beam."""

    def moving(self, placed: list[Placed], size: tuple[int, int]) -> Array | None:
        """(h, w) uint8 to add for the headlights, or None without any."""
        glow = None
        for p in placed:
            if p.mover.actor.kind not in ("vehicle", "bicycle") or not p.pose.is_foreground:
                continue
            glow = np.zeros(size, np.uint8) if glow is None else glow
            self._light_up(p, glow)
        return glow

    def _light_up(self, p: Placed, glow: Array) -> None:
        sprite = p.mover.sprite(p.pose)
        ahead = (-1.0 if p.pose.is_mirrored else 1.0) * sprite.foot[0] * p.scale * 0.92
        metre = p.pose.metre
        lamps = [(p.foot[0] + ahead, 1.0)]
        if p.pose.look == "front":
            lamps = [(p.foot[0] - 0.35 * abs(ahead), 1.0), (p.foot[0] + 0.35 * abs(ahead), 1.0)]
        size = (glow.shape[0], glow.shape[1])
        shift = math.copysign(2.2, ahead) if p.pose.look != "front" else 0.0
        for x, share in lamps:
            for patch, strength in (
                (spot((x, p.foot[1] - 0.66 * metre), (1.1 * metre, 1.1 * metre), size), 255.0 * share),
                (
                    spot((x + shift * metre, p.foot[1] + 0.1 * metre), (4.5 * metre, 0.9 * metre), size),
                    self.beam,
                ),
            ):
                if patch is not None:
                    h, w = patch.pixels.shape
                    box = glow[patch.y : patch.y + h, patch.x : patch.x + w]
                    cv2.add(box, cv2.convertScaleAbs(patch.pixels, alpha=strength / 255), box)


def random_lamps(
    rng: np.random.Generator, area: tuple[int, int], lamps: list[tuple[float, float, float]]
) -> Lamps:
    """Lamps of a night scene: those of the plate, and some more."""
    h, w = area
    more = [
        (rng.uniform(0, w), rng.uniform(0, 0.6) * h, float(np.exp(rng.uniform(-4.5, -1.2))) * h)
        for _ in range(int(rng.integers(0, 6)))
    ]
    fixed = np.zeros((h, w, 3), np.uint8)
    for x, y, radius in lamps + more:
        tone = np.clip(rng.uniform(90, 255) * (1 + rng.uniform(-0.25, 0.25, 3)), 0, 255)
        for reach, share in ((radius, 1.0), (5 * radius, 0.25)):
            patch = spot((x, y), (2 * reach, 2 * reach), area)
            if patch is not None:
                ph, pw = patch.pixels.shape
                box = fixed[patch.y : patch.y + ph, patch.x : patch.x + pw]
                lit = patch.pixels[..., None] * (tone * share / 255).astype(np.float32)
                cv2.add(box, lit.astype(np.uint8), box)
    return Lamps(fixed if lamps or more else None, rng.uniform(20, 160))


def spot(middle: tuple[float, float], size: tuple[float, float], image: tuple[int, int]) -> Patch | None:
    """A soft disc of (w, h) pixels round `middle`, (h, w) uint8, in an image of the given (h, w)."""
    sx, sy = max(size[0], 1.0) / DISC, max(size[1], 1.0) / DISC
    half = (DISC - 1) / 2
    whole: Matrix = (sx, 0.0, middle[0] - sx * half, 0.0, sy, middle[1] - sy * half)
    mip = min(mip_for(min(sx, sy)), 3)
    return warped(_discs()[mip], mip_matrix(whole, mip), image)


@lru_cache(maxsize=1)
def _discs() -> tuple[Array, ...]:
    far = np.hypot(*np.mgrid[-1.0 : 1.0 : DISC * 1j, -1.0 : 1.0 : DISC * 1j])
    discs = [np.rint(255 * np.clip(1 - far, 0, 1) ** 0.8).astype(np.uint8)]
    for _ in range(3):
        discs.append(cv2.resize(discs[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return tuple(discs)
