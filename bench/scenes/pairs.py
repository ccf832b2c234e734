"""Pairs of rendered frames with the exact flow between them: what flow is learnt from, and measured on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from bench.scenes.scene import Scene
from edgebs.tensors import Array, Frame

NOMINAL_FPS = 25.0
"""Frame rate that the gaps are meant for, as in the cue."""

MOMENTS = 2
"""Times of a scene at which it is compared with its past."""

LATEST_S = 5.0
"""Scenes end at 6 s."""


@dataclass(frozen=True, slots=True)
class FlowPair:
    """Two frames of a scene and what lies between them."""

    frame: Frame
    past: Frame
    flow: Array
    """(2, h, w) float32: pixels from each point of `frame` to where it is in `past`, x first."""
    visible: Array
    """(h, w) bool: the point can be seen in both."""
    gap: int
    """Frames between them at `NOMINAL_FPS`; a slower camera has no shorter one than its own."""


def flow_pairs(scene: Scene, rng: np.random.Generator, gaps: Sequence[int]) -> list[FlowPair]:
    """One pair for each gap at each of `MOMENTS` times."""
    pairs = []
    for _ in range(MOMENTS):
        now = int(rng.integers(0, int(LATEST_S * scene.fps))) / scene.fps
        frame = scene.frame(now).image
        for gap in gaps:
            then = now - max(round(gap * scene.fps / NOMINAL_FPS), 1) / scene.fps
            flow, visible = scene.flow(now, then)
            pairs.append(FlowPair(frame, scene.frame(then).image, flow, visible, gap))
    return pairs


SHAPES = (2, 8)
"""Fewest, and one more than most."""

RADIUS_PX = (4.0, 48.0)

SHIFT_PX = (0.1, 24.0)
"""Displacements, log-uniform."""

TURN, GROWTH = 0.06, 0.05
"""Standard deviations of a turn in radians and of a change of size."""

STILL = 0.4
"""Share of backgrounds that do not move, and of pairs whose light does not change."""

NOISE = (0.0, 10.0)
"""Grey levels of the sensor's noise."""


# Flying shapes teach matching: in rendered scenes most pixels stand still, and a network first learns from
# them, for a long time, that nothing moves.
def flying_pair(rng: np.random.Generator, size: tuple[int, int]) -> FlowPair:
    """Two frames of `size` (H, W); the flow from the first to the second. Its `gap` is 0: no time passes."""
    h, w = size
    first, second = _texture(rng, size), np.empty((h, w, 3), np.float32)
    moves = [np.eye(3) if rng.random() < STILL else _motion(rng, (w / 2, h / 2))]
    # What moves into the picture was outside it: mirrored, for want of anything better, and called hidden.
    cv2.warpAffine(first, moves[0][:2], (w, h), dst=second, borderMode=cv2.BORDER_REFLECT)
    owners = np.zeros((2, h, w), np.uint8)
    for number in range(1, int(rng.integers(*SHAPES)) + 1):
        centre = (float(rng.uniform(0, w)), float(rng.uniform(0, h)))
        mask, texture = _blob(rng, size, centre), _texture(rng, size)
        moves.append(_motion(rng, centre))
        for frame, owner, move in zip((first, second), owners, (np.eye(3), moves[-1]), strict=True):
            _lay(frame, owner, number, mask, texture, move)
    flow, visible = _flow(owners, moves)
    return FlowPair(_exposed(rng, first), _exposed(rng, second), flow, visible, 0)


def _texture(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """(H, W, 3) float32: noise of several sizes around a colour."""
    h, w = size
    total = np.zeros((h, w, 3), np.float32)
    slope, contrast = rng.uniform(0.3, 1.3), rng.uniform(4, 40)
    for octave in range(6):
        cell = 1 << octave
        noise = rng.standard_normal((h // cell + 2, w // cell + 2, 3), np.float32)
        noise = 0.7 * noise.mean(axis=2, keepdims=True) * math.sqrt(3) + 0.5 * noise
        total += cell ** (slope - 1) * cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC)
    return np.asarray(total * (contrast / total.std()) + rng.uniform(30, 220, 3), np.float32)


def _motion(rng: np.random.Generator, centre: tuple[float, float]) -> Array:
    """(3, 3): a shift, with a little turn and growth about `centre`."""
    x, y = centre
    shift, way = math.exp(rng.uniform(*np.log(SHIFT_PX))), rng.uniform(0, 2 * math.pi)
    turn, growth = (rng.normal(0, s) if rng.random() < 0.5 else 0.0 for s in (TURN, GROWTH))
    cos, sin = (1 + growth) * math.cos(turn), (1 + growth) * math.sin(turn)
    x1, y1 = x + shift * math.cos(way), y + shift * math.sin(way)
    return np.array([[cos, -sin, x1 - cos * x + sin * y], [sin, cos, y1 - sin * x - cos * y], [0, 0, 1]])


def _blob(rng: np.random.Generator, size: tuple[int, int], centre: tuple[float, float]) -> Array:
    """(H, W) float32 coverage of a rounded or angular outline."""
    radius = math.exp(rng.uniform(*np.log(RADIUS_PX)))
    corners = int(rng.integers(3, 14))
    angles = np.sort(rng.uniform(0, 2 * math.pi, corners))
    reach = radius * rng.uniform(0.5, 1.3, corners)
    points = np.stack([centre[0] + reach * np.cos(angles), centre[1] + reach * np.sin(angles)], axis=1)
    mask: Array = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    return np.asarray(mask / 255, np.float32)


def _lay(frame: Array, owner: Array, number: int, mask: Array, texture: Array, move: Array) -> None:
    """Put a shape, moved, over a frame, in place."""
    h, w = mask.shape
    here = cv2.warpAffine(mask, move[:2], (w, h))[..., None]
    moved = cv2.warpAffine(texture, move[:2], (w, h), borderMode=cv2.BORDER_REFLECT)
    frame += here * (moved - frame)
    owner[here[..., 0] > 0.5] = number


def _flow(owners: Array, moves: list[Array]) -> tuple[Array, Array]:
    h, w = owners.shape[1:]
    columns, rows = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    each = np.stack(moves).astype(np.float32)[owners[0]]  # (H, W, 3, 3)
    x = each[..., 0, 0] * columns + each[..., 0, 1] * rows + each[..., 0, 2]
    y = each[..., 1, 0] * columns + each[..., 1, 1] * rows + each[..., 1, 2]
    column, row = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
    visible = (column >= 0) & (column < w) & (row >= 0) & (row < h)
    seen = owners[1][np.clip(row, 0, h - 1), np.clip(column, 0, w - 1)]
    return np.stack([x - columns, y - rows]), visible & (seen == owners[0])


def _exposed(rng: np.random.Generator, frame: Array) -> Array:
    """uint8, with the light and the noise of one exposure."""
    gain = 1.0 if rng.random() < STILL else rng.uniform(0.9, 1.1)
    noise = rng.standard_normal(frame.shape, np.float32) * np.float32(rng.uniform(*NOISE))
    return np.asarray(np.clip(np.rint(frame * np.float32(gain) + noise), 0, 255), np.uint8)
