"""Textures for empty scenes: asphalt, brick, boards, paving, grass, leaves, cloth, stripes."""

from __future__ import annotations

import numpy as np

from bench.scenes.textures import noise
from edgebs.tensors import Array

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
