"""Puts posed sprites over the plate: pictures, coverage, shadows, and the flow between two times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from bench.scenes.street.people import Figure, Layer, Pose
from edgebs.tensors import Array, Frame

Shift = tuple[float, float]


Box = tuple[int, int, int, int]
"""Left, top, right, bottom in image pixels, right and bottom outside."""


class Sun(NamedTuple):
    """How the shadow of a point `h` pixels over the foot falls: `right * h` and `down * h` pixels."""

    right: float
    down: float


class Patch(NamedTuple):
    """A drawn figure: premultiplied BGRA at `box`, which may reach out of the image."""

    box: Box
    pixels: Array
    foot_row: float


def _box_of(sprite: Array, matrix: Array) -> Box:
    """The image pixels that a sprite in place can touch."""
    bottom, right = sprite.shape[0] - 1, sprite.shape[1] - 1
    (a, b, c), (d, e, f) = matrix.tolist()
    left, top = c + min(a * right, 0) + min(b * bottom, 0), f + min(d * right, 0) + min(e * bottom, 0)
    wide, tall = abs(a) * right + abs(b) * bottom, abs(d) * right + abs(e) * bottom
    return int(left), int(top), int(left + wide) + 2, int(top + tall) + 2


def _clipped(box: Box, bounds: Box) -> Box | None:
    left, top = max(box[0], bounds[0]), max(box[1], bounds[1])
    right, bottom = min(box[2], bounds[2]), min(box[3], bounds[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _shifted(layers: Sequence[Layer], shift: Shift) -> list[Layer]:
    offset = np.array([[0, 0, shift[0]], [0, 0, shift[1]]])
    return [Layer(part, matrix + offset) for part, matrix in layers]


def _warped(sprite: Array, matrix: Array, box: Box) -> Array:
    local = matrix.copy()
    local[0, 2] -= box[0]
    local[1, 2] -= box[1]
    return np.asarray(cv2.warpAffine(sprite, local, (box[2] - box[0], box[3] - box[1])))


def draw_figure(sprites: Sequence[Array], pose: Pose, shift: Shift, size: tuple[int, int]) -> Patch | None:
    """The figure's layers put over each other, or None where neither it nor its shadow reaches the image."""
    layers = _shifted(pose.layers, shift)
    boxes = [_box_of(sprites[part], matrix) for part, matrix in layers]
    box = (
        min(b[0] for b in boxes),
        min(b[1] for b in boxes),
        max(b[2] for b in boxes),
        max(b[3] for b in boxes),
    )
    tall = box[3] - box[1]
    if _clipped((box[0] - tall, box[1], box[2] + tall, box[3]), (0, 0, size[1], size[0])) is None:
        return None
    pixels = np.zeros((box[3] - box[1], box[2] - box[0], 4), np.float32)
    for (part, matrix), part_box in zip(layers, boxes, strict=True):
        over(_view(pixels, part_box, box), _warped(sprites[part], matrix, part_box))
    return Patch(box, pixels, pose.foot[1] + shift[1])


def _view(image: Array, box: Box, origin: Box) -> Array:
    return image[box[1] - origin[1] : box[3] - origin[1], box[0] - origin[0] : box[2] - origin[0]]


_KEEP = np.array([[0, 0, 0, -1, 1]] * 4, np.float32)
"""Takes BGRA to (1 - A) in all four channels: cv2 does that ten times as fast as numpy's broadcasting."""


def over(below: Array, above: Array) -> None:
    """Put premultiplied BGRA `above` over `below`, in place."""
    cv2.multiply(below, cv2.transform(above, _KEEP), dst=below)
    cv2.add(below, above, dst=below)


class Canvas:
    """One frame in the making. Still and waving things go onto the background; people and cars on a sheet of
    their own, which nearer trees and posts cut out again, so that their coverage is known exactly."""

    def __init__(self, plate: Frame, margin: int, shift: Shift, size: tuple[int, int]) -> None:
        """Take the part of the plate that the shaken camera sees."""
        self.bounds: Box = (0, 0, size[1], size[0])
        self.background = cv2.cvtColor(_camera_view(plate, margin, shift, size), cv2.COLOR_BGR2BGRA)
        self.background[..., 3] = 1
        self.sheet = np.zeros((*size, 4), np.float32)
        self.dark = np.zeros(size, np.float32)

    def add(self, figure: Figure, patch: Patch, sun: Sun, shadows: float) -> None:
        """Draw a figure in front of all that was added before."""
        if figure.is_foreground and shadows > 0:
            self.cast_shadow(patch, sun, shadows)
        box = _clipped(patch.box, self.bounds)
        if box is None:
            return
        pixels = _view(patch.pixels, box, patch.box)
        sheet = _view(self.sheet, box, self.bounds)
        if figure.is_foreground:
            over(sheet, pixels)
            return
        over(_view(self.background, box, self.bounds), pixels)
        keep = cv2.transform(pixels, _KEEP)
        cv2.multiply(sheet, keep, dst=sheet)
        dark = _view(self.dark, box, self.bounds)
        dark *= keep[..., 0]

    def cast_shadow(self, patch: Patch, sun: Sun, strength: float) -> None:
        """Lay the figure's outline on the ground, softened, and darken what is there by `strength`."""
        row = patch.foot_row - patch.box[1]
        lay = np.array([[1, -sun.right, sun.right * row], [0, -sun.down, row * (1 + sun.down)]])
        soft = max(0.012 * patch.pixels.shape[0], 0.4)
        alpha = np.ascontiguousarray(patch.pixels[..., 3])
        left, top, right, bottom = _box_of(alpha, lay)
        pad = int(3 * soft) + 1
        local = (left - pad, top - pad, right + pad, bottom + pad)
        shadow = cv2.GaussianBlur(_warped(alpha, lay, local), (0, 0), soft)
        placed = tuple(edge + patch.box[nth % 2] for nth, edge in enumerate(local))
        whole: Box = (placed[0], placed[1], placed[2], placed[3])
        box = _clipped(whole, self.bounds)
        if box is None:
            return
        dark = _view(self.dark, box, self.bounds)
        np.maximum(dark, strength * _view(shadow, box, whole), out=dark)

    def finish(self, gain: Array | None) -> tuple[Frame, Frame, Array]:
        """Image, background and mask, uint8; `gain` (H, W, 3) is the light."""
        cover = np.ascontiguousarray(self.sheet[..., 3])
        mask = np.where(cover >= 0.5, np.uint8(255), np.uint8(0))
        keep = cv2.cvtColor((1 - cover) * (1 - self.dark), cv2.COLOR_GRAY2BGR)
        background = cv2.cvtColor(self.background, cv2.COLOR_BGRA2BGR)
        image = cv2.add(cv2.multiply(background, keep), cv2.cvtColor(self.sheet, cv2.COLOR_BGRA2BGR))
        if gain is not None:
            image, background = (cv2.multiply(side, gain) for side in (image, background))
        return cv2.convertScaleAbs(image), cv2.convertScaleAbs(background), mask


def _camera_view(plate: Frame, margin: int, shift: Shift, size: tuple[int, int]) -> Array:
    height, width = size
    if margin == 0:
        return np.asarray(plate, np.float32)
    matrix = np.array([[1, 0, shift[0] - margin], [0, 1, shift[1] - margin]])
    # Cubic: linear would blur the picture more at half pixels than at whole ones.
    view = cv2.warpAffine(
        plate, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(view, np.float32)


class _Placed(NamedTuple):
    """A layer with the number that its sprite has at any time; 0 is the plate."""

    number: int
    alpha: Array
    matrix: Array
    z: float
    is_foreground: bool


def flow_between(
    figures: Sequence[Figure],
    seconds: tuple[float, float],
    shifts: tuple[Shift, Shift],
    size: tuple[int, int],
) -> tuple[Array, Array]:
    """Flow (2, H, W) float32 from the first time to the second, and visibility (H, W) bool."""
    laps = [figure.lap(seconds[0]) for figure in figures]
    laps_after = [figure.lap(seconds[1]) for figure in figures]
    first = _placed(figures, seconds[0], shifts[0], laps)
    # Where the same things would be, had nothing come in anew: only that makes a flow.
    second = _placed(figures, seconds[1], shifts[1], laps)
    moves = np.zeros((len(first) + 1, 2, 3))
    moves[0, :, 2] = np.subtract(shifts[1], shifts[0])
    later = {layer.number: layer.matrix for layer in second}
    for layer in first:
        moves[layer.number] = _move(layer.matrix, later[layer.number])
    seen = _numbers(first, size)
    flow = _displacement(seen, moves.astype(np.float32))
    seen_after = _numbers(_placed(figures, seconds[1], shifts[1], laps_after, laps), size)
    return flow, _visible(flow, seen, seen_after)


def _placed(
    figures: Sequence[Figure],
    seconds: float,
    shift: Shift,
    laps: Sequence[int],
    known: Sequence[int] | None = None,
) -> list[_Placed]:
    """All layers, the farthest first. Numbers follow the figure and the part, whatever the order of drawing;
    a figure whose lap is not the `known` one is another object and gets the number -1."""
    placed = []
    last = 0
    for figure, lap, old in zip(figures, laps, known or laps, strict=True):
        pose = figure.pose(seconds, lap)
        layers = _shifted(pose.layers, shift)
        rank = {
            nth: last + 1 + r for r, nth in enumerate(np.argsort([x.part for x in layers], kind="stable"))
        }
        for nth, (part, matrix) in enumerate(layers):
            alpha = figure.sprites[part][..., 3]
            number = rank[nth] if lap == old else -1
            placed.append(_Placed(number, alpha, matrix, pose.z, figure.is_foreground))
        last += len(layers)
    placed.sort(key=lambda layer: -layer.z)
    return placed


def _numbers(placed: Sequence[_Placed], size: tuple[int, int]) -> Array:
    """(H, W) int32: the layer that gives most of each pixel, among the foreground where the mask is set."""
    shares = {kind: np.zeros(size, np.float32) for kind in (True, False)}
    numbers = {kind: np.zeros(size, np.int32) for kind in (True, False)}
    shares[False] += 1
    cover = np.zeros(size, np.float32)
    bounds = (0, 0, size[1], size[0])
    for layer in placed:
        box = _clipped(_box_of(layer.alpha, layer.matrix), bounds)
        if box is None:
            continue
        alpha = _warped(layer.alpha, layer.matrix, box)
        for kind, share in shares.items():
            if kind or not layer.is_foreground:  # the sheet of people and cars lies over all the rest
                view = _view(share, box, bounds)
                view *= 1 - alpha
        covered = _view(cover, box, bounds)
        covered *= 1 - alpha
        if layer.is_foreground:
            covered += alpha
        share = _view(shares[layer.is_foreground], box, bounds)
        wins = alpha > share
        share[wins] = alpha[wins]
        _view(numbers[layer.is_foreground], box, bounds)[wins] = layer.number
    return np.where(cover >= 0.5, numbers[True], numbers[False])


def _move(before: Array, after: Array) -> Array:
    """(2, 3): takes a pixel of the first frame to its displacement; exactly 0 where nothing moved."""
    if np.array_equal(before[:, :2], after[:, :2]):
        return np.column_stack([np.zeros((2, 2)), after[:, 2] - before[:, 2]])
    linear = after[:, :2] @ np.linalg.inv(before[:, :2])
    offset = after[:, 2] - linear @ before[:, 2]
    return np.column_stack([linear - np.eye(2), offset])


def _displacement(seen: Array, moves: Array) -> Array:
    height, width = seen.shape
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    flat = moves.reshape(-1, 6)
    rows = [
        flat[:, 3 * axis][seen] * x + flat[:, 3 * axis + 1][seen] * y + flat[:, 3 * axis + 2][seen]
        for axis in (0, 1)
    ]
    return np.stack(rows).astype(np.float32)


def _visible(flow: Array, seen: Array, seen_after: Array) -> Array:
    height, width = seen.shape
    columns = np.rint(np.arange(width) + flow[0]).astype(np.int64)
    rows = np.rint(np.arange(height)[:, None] + flow[1]).astype(np.int64)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    there = seen_after[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    return np.asarray(inside & (there == seen))


class Light:
    """A slow drift, and a cloud whose shade crosses the street now and then. A function of time."""

    def __init__(self, rng: np.random.Generator, change: float) -> None:
        """change: share of the light that the cloud takes."""
        self.change = change
        self.drift_rate = 2 * math.pi / rng.uniform(25, 50)
        self.drift_phase = rng.uniform(0, 2 * math.pi)
        self.period = rng.uniform(12, 20)
        self.start = rng.uniform(0, self.period)
        self.length = rng.uniform(3, 6)
        self.edge = rng.uniform(0.5, 1.5)
        self.crossing = rng.uniform(-1.5, 1.5)
        self.slant = rng.uniform(-0.6, 0.6)

    def gain(self, seconds: float, size: tuple[int, int]) -> Array | None:
        """(H, W, 3) float32 to multiply the picture with, or None where the light is steady."""
        if self.change == 0:
            return None
        y, x = np.mgrid[0:1:9j, 0:1:17j].astype(np.float32)
        when = np.mod(seconds - self.start - self.crossing * x - self.slant * y, self.period)
        inside = np.minimum(when, self.length + self.edge - when) / self.edge
        shade = np.clip(inside, 0, 1)
        shade = shade * shade * (3 - 2 * shade)
        drift = 1 + 0.25 * self.change * math.sin(self.drift_rate * seconds + self.drift_phase)
        # Shade is bluer: blue loses less.
        tint = np.array([0.85, 1.0, 1.05], np.float32)
        coarse = np.float32(drift) * (1 - np.minimum(self.change * tint, 0.95) * shade[..., None])
        return np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR))


class Sensor:
    """Read and shot noise, the same for the same seed and frame."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], noise: float, seed: int) -> None:
        """noise: standard deviation at grey level 128."""
        self.noise = noise
        self.seed = seed
        self.shape = (*size, 3)
        level = np.arange(256, dtype=np.float32)
        # Half of the variance at middle grey is read noise, half grows with the light.
        self.sigma = np.asarray(noise * np.sqrt(0.5 + 0.5 * level / 128) / math.sqrt(2), np.float32)
        self.count = math.prod(self.shape)
        spare = self.count // 2 + 4099
        self.bank = rng.standard_normal(self.count + spare if noise > 0 else 1, np.float32)

    def expose(self, image: Frame, t: int) -> Frame:
        """`image` with the noise of frame `t`: two stretches of one bank added up, quick and still normal."""
        if self.noise == 0:
            return image
        last = len(self.bank) - self.count
        first, second = np.random.default_rng((self.seed, t)).integers(0, last, 2)
        grain = cv2.add(self.bank[first : first + self.count], self.bank[second : second + self.count])
        grain = grain.reshape(self.shape)
        sigma = cv2.LUT(image, self.sigma)
        return np.asarray(cv2.add(image, cv2.multiply(grain, sigma), dtype=cv2.CV_8U))
