"""Procedural textures: noise, cloth, foliage, bark. Arrays are float32 BGR in 0..255; sprites carry alpha.

A sprite is (h, w, 4) float32: BGR in 0..255 multiplied by alpha, and alpha in 0..1, with a transparent rim.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgebs.tensors import Array

SPRITE_SCALE = 1.5
"""Sprite pixels per image pixel where the object is nearest: room for turning and for sub-pixel motion."""

SOFTEN = 0.45 * SPRITE_SCALE
"""Blur of a sprite in its own pixels: what a lens does, and what keeps resampling from flickering."""

RIM = 3
"""Transparent pixels round a sprite, so that sampling never meets its edge."""


def noise(rng: np.random.Generator, height: int, width: int, cell: float, octaves: int = 4) -> Array:
    """(height, width) float32 of smooth noise, about -1..1; `cell` is the largest grain in pixels."""
    total = np.zeros((height, width), np.float32)
    weight, weights = 1.0, 0.0
    for _ in range(octaves):
        rows, columns = int(height / cell) + 3, int(width / cell) + 3
        grid = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
        # One matrix for all octaves' cells: pixels / cell, with a random start inside the first cell.
        start_x, start_y = rng.uniform(0, 1, 2)
        matrix = np.array([[1 / cell, 0, start_x], [0, 1 / cell, start_y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        total += weight * cv2.warpAffine(
            grid, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT
        )
        weights += weight
        weight *= 0.6
        cell /= 2
        if cell < 1:
            break
    return np.asarray(total * np.float32(1.6 / weights))


def sprite_from(colour: Array, alpha: Array, soften: float) -> Array:
    """A sprite of BGR `colour` under `alpha` (0..1), blurred by `soften` pixels as by a lens."""
    sprite = np.dstack([colour * alpha[..., None], alpha]).astype(np.float32)
    rim = (RIM, RIM, RIM, RIM)
    sprite = cv2.copyMakeBorder(sprite, *rim, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    return np.asarray(cv2.GaussianBlur(sprite, (0, 0), soften)) if soften > 0 else np.asarray(sprite)


def cloth(rng: np.random.Generator, height: int, width: int, colour: Array, density: float) -> Array:
    """(height, width, 3) of fabric: plain, striped, checked or printed, folded; `density` in px per metre."""
    y, x = np.mgrid[:height, :width].astype(np.float32) / np.float32(density)
    other = np.clip(colour + rng.uniform(-90, 90, 3), 15, 240)
    pattern = np.zeros((height, width), np.float32)
    kind = rng.integers(0, 5)
    pitch = rng.uniform(0.09, 0.2)
    if kind in (1, 2):
        pattern = (np.sin(y * (2 * np.pi / pitch)) > 0.1).astype(np.float32)
    if kind in (2, 3):
        pattern = (pattern + (np.sin(x * (2 * np.pi / pitch)) > 0.1)) / 2
    if kind == 4:
        pattern = (noise(rng, height, width, 0.12 * density, 2) > 0.3).astype(np.float32)
    folds = 1 + 0.14 * noise(rng, height, width, 0.18 * density, 3)
    base = colour + (other - colour) * pattern[..., None]
    return np.clip(base * folds[..., None], 0, 255)


def capsule(
    rng: np.random.Generator,
    length: float,
    radii: tuple[float, float],
    colour: Array,
    density: float,
    plain: bool = False,
) -> Array:
    """A limb as a sprite: a round-ended, tapering bar of `length` metres along y, lit from the left.

    radii: metres at the top and at the bottom; density: sprite pixels per metre.
    """
    wide = max(radii) * density
    height, width = int(np.ceil(length * density + 2 * wide)) + 1, 2 * int(np.ceil(wide)) + 1
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x -= (width - 1) / 2
    along = np.clip((y - wide) / max(length * density, 1e-6), 0, 1)
    beyond = y - wide - along * length * density
    radius = (radii[0] + (radii[1] - radii[0]) * along) * density
    alpha = np.clip(radius - np.hypot(x, beyond) + 0.5, 0, 1)
    across = x / np.maximum(radius, 0.5)
    light = 1.06 - 0.14 * across - 0.3 * across**2
    surface = (
        np.broadcast_to(colour, (height, width, 3)) if plain else cloth(rng, height, width, colour, density)
    )
    return sprite_from(np.clip(surface * light[..., None], 0, 255), alpha, SOFTEN)


def foliage(rng: np.random.Generator, size: int, colour: Array, soften: float) -> Array:
    """A clump of leaves, `size` pixels wide, ragged at the edge, light above and dark below."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / np.float32(size) * 2 - 1
    ragged = noise(rng, size, size, size / 3, 3)
    leaves = noise(rng, size, size, max(size / 11, 2.4), 2)
    edge = 0.74 - np.hypot(x, y) + 0.2 * ragged + 0.2 * leaves
    alpha = np.clip(edge * size * 0.22, 0, 1)
    light = 1.0 - 0.25 * y - 0.12 * x + 0.2 * ragged + 0.42 * leaves
    glint = np.maximum(leaves - 0.25, 0)[..., None] * np.array([16, 48, 56], np.float32)
    surface = colour * light[..., None] + glint
    return sprite_from(np.clip(surface, 4, 250), alpha, 0.8 * soften)


def bark(rng: np.random.Generator, height: int, width: int, taper: float, soften: float) -> Array:
    """A tree trunk: `taper` is the width at the top relative to the foot."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    centre = (width - 1) / 2
    half = centre * (taper + (1 - taper) * (y / height) ** 1.5)
    across = (x - centre) / np.maximum(half, 0.5)
    alpha = np.clip(half - np.abs(x - centre) + 0.5, 0, 1)
    grain = cv2.resize(noise(rng, max(height // 4, 2), width, max(width / 4, 2), 3), (width, height))
    light = (1.0 - 0.25 * across - 0.35 * across**2) * (1 + 0.3 * grain)
    colour = np.array([62, 80, 98], np.float32)
    return sprite_from(np.clip(colour * light[..., None], 0, 255), alpha, soften)


TILE = 256
"""Side of a texture in pixels."""

KINDS = 8


def texture_tile(rng: np.random.Generator, nth: int) -> Array:
    """A texture without colour of its own: asphalt, brick, boards, paving, grass, leaves, cloth, stripes."""
    base = 128 + 14 * noise(rng, TILE, TILE, 90, 6)
    y, x = np.mgrid[:TILE, :TILE].astype(np.float32)
    kind = nth % KINDS
    if kind == 0:
        base += 10 * rng.standard_normal((TILE, TILE), dtype=np.float32)
    elif kind == 1:
        row, pitch = float(rng.integers(8, 20)), float(rng.integers(18, 48))
        brick = np.floor(y / row)
        base += np.sin(12.9 * brick + 78.2 * np.floor((x + brick % 2 * pitch / 2) / pitch)) * 18
        base[((y % row) < 2) | (((x + brick % 2 * pitch / 2) % pitch) < 2)] += 40 * rng.choice([-1, 1])
    elif kind == 2:
        board = float(rng.integers(10, 40))
        base += 22 * noise(rng, TILE // 16, TILE, 6, 3).repeat(16, 0) + 18 * np.sin(7.1 * np.floor(x / board))
        base[(x % board) < 1.5] -= 45
    elif kind == 3:
        side = float(rng.integers(14, 64))
        base += 12 * np.sin(12.9 * np.floor(x / side) + 4.1 * np.floor(y / side))
        base[((x % side) < 2) | ((y % side) < 2)] += 30 * rng.choice([-1, 1])
    elif kind in (4, 5):
        base += (26 if kind == 4 else 38) * noise(rng, TILE, TILE, 5 if kind == 4 else 22, 4)
    elif kind == 6:
        pitch = float(rng.uniform(5, 30))
        base += 28 * np.sin((x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)) * (6.28 / pitch))
    tint = np.stack([base + 9 * noise(rng, TILE, TILE, 60, 3) for _ in range(3)], axis=-1)
    return np.asarray(np.clip(tint, 0, 255).astype(np.uint8))
