"""A paved street with houses, as seen from a mast: pavements, road, crossing and grass, painted once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from bench.scenes.textures import noise
from edgebs.tensors import Array

OVERSAMPLE = 2
"""The plate is painted at this scale and averaged down, for smooth edges."""


@dataclass(frozen=True, slots=True)
class Street:
    """The camera on its mast and the street's depths, in metres; pixels are those of the image."""

    focal: float
    """Pixels per metre at one metre."""
    centre: float
    """Column of the optical axis."""
    horizon: float
    """Row of the horizon."""
    mast: float
    """Height of the camera over the ground, metres."""
    lawn: float
    """Z where the lawn ends and the near pavement begins."""
    road: tuple[float, float]
    """Z of the near and the far kerb."""
    houses: float
    """Z of the house fronts."""
    zebra: float
    """X of the pedestrian crossing's middle."""

    def scale(self, z: float) -> float:
        """Pixels per metre at depth `z`."""
        return self.focal / z

    def point(self, x: float, height: float, z: float) -> tuple[float, float]:
        """Column and row of a point `height` metres over the ground."""
        return self.centre + self.focal * x / z, self.horizon + self.focal * (self.mast - height) / z

    def moved(self, margin: int) -> Street:
        """In pixels of a plate that is `margin` larger on each side; `half_width` includes it."""
        return replace(self, centre=self.centre + margin, horizon=self.horizon + margin)

    def half_width(self, z: float) -> float:
        """Metres from the axis to the edge of the view at depth `z`."""
        return self.centre * z / self.focal


def random_street(rng: np.random.Generator, size: tuple[int, int]) -> Street:
    """A street as seen from a mast 4.5 to 6 m high, for an image of `size` (height, width)."""
    height, width = size
    near = rng.uniform(12.0, 13.0)
    far = near + rng.uniform(8.5, 10.0)
    focal = height * rng.uniform(1.1, 1.25)
    centre = (width - 1) / 2
    zebra = rng.uniform(-0.45, 0.45) * centre * near / focal
    return Street(
        focal=focal,
        centre=centre,
        horizon=height * rng.uniform(0.14, 0.22),
        mast=rng.uniform(4.6, 5.6),
        lawn=near - rng.uniform(2.6, 3.2),
        road=(near, far),
        houses=far + rng.uniform(4.0, 5.5),
        zebra=zebra,
    )


def paint_plate(rng: np.random.Generator, street: Street, size: tuple[int, int], margin: int) -> Array:
    """(H + 2 margin, W + 2 margin, 3) uint8: the street without anything that moves or stands in front."""
    height, width = (OVERSAMPLE * (side + 2 * margin) for side in size)
    big = _magnified(street, margin)
    plate = np.empty((height, width, 3), np.float32)
    foot = round(big.point(0, 0, big.houses)[1])
    _paint_sky(rng, plate[:foot])
    _paint_houses(rng, plate, big, foot)
    plate[foot:] = _ground(rng, big, (foot, height), width)
    plate = cv2.resize(plate, (width // OVERSAMPLE, height // OVERSAMPLE), interpolation=cv2.INTER_AREA)
    plate = cv2.GaussianBlur(plate, (0, 0), 0.62)
    return np.asarray(np.clip(np.rint(plate), 0, 255), np.uint8)


def _magnified(street: Street, margin: int) -> Street:
    def grown(pixel: float) -> float:
        return (pixel + margin + 0.5) * OVERSAMPLE - 0.5

    return replace(
        street,
        focal=street.focal * OVERSAMPLE,
        centre=grown(street.centre),
        horizon=grown(street.horizon),
    )


def _paint_sky(rng: np.random.Generator, sky: Array) -> None:
    height, width = sky.shape[:2]
    clouds = np.clip(noise(rng, height, width, max(width / 5, 2), 4) * 0.6 + 0.3, 0, 1)[..., None]
    fade = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    blue = np.array([225, 190, 150], np.float32) * (1 - fade) + np.array([232, 222, 208], np.float32) * fade
    sky[:] = blue * (1 - clouds) + 236 * clouds


# --- ground


def _ground(rng: np.random.Generator, street: Street, rows: tuple[int, int], width: int) -> Array:
    """The ground from the house fronts to the lower edge, (rows, width, 3)."""
    row = np.arange(*rows, dtype=np.float32)[:, None]
    z = np.float32(street.focal * street.mast) / np.maximum(row - np.float32(street.horizon), 1)  # (h, 1)
    x = (np.arange(width, dtype=np.float32)[None] - np.float32(street.centre)) * z / np.float32(street.focal)
    grain = _ground_noise(rng, x, z, 0.5)
    spots = _ground_noise(rng, x, z, 3.5)
    near, far = street.road
    slabs = _slabs(x, z, street) * (1 + 0.05 * grain + 0.05 * spots)[..., None]
    asphalt = _road(rng, x, z, street) * (1 + 0.09 * grain + 0.07 * spots)[..., None]
    green = np.array([62, 108, 94], np.float32) * rng.uniform(0.8, 1.15)
    blades = noise(rng, x.shape[0], width, 3 * OVERSAMPLE, 2)
    lawn = green * (1 + 0.14 * grain + 0.1 * spots + 0.3 * blades)[..., None]
    ground = np.where(((z > near) & (z < far))[..., None], asphalt, slabs)
    ground = np.where((z < street.lawn)[..., None], lawn, ground)
    for edge, tone in ((near, 168), (far, 160), (street.lawn, 140)):
        ground = np.where((np.abs(z - edge) < 0.09)[..., None], np.float32(tone), ground)
    gutter = np.clip(1 - (far + 0.2 - z) / 0.35, 0, 1) * (z < far) + np.clip(1 - (z - near) / 0.4, 0, 1) * (
        z > near
    )
    contact = np.clip(1 - (street.houses - z) / 1.2, 0, 1) ** 2
    return np.asarray(np.clip(ground * (1 - 0.3 * gutter - 0.4 * contact)[..., None], 0, 255))


def _ground_noise(rng: np.random.Generator, x: Array, z: Array, cell: float) -> Array:
    """Noise fixed to the ground: grains of `cell` metres, smaller with distance."""
    tile = noise(rng, 256, 256, 32, 5)
    scale = np.float32(32 / cell)
    # To and fro over the tile: a wrapped tile would show its seams.
    columns = np.abs(np.mod(x * scale, 508) - 254).astype(np.float32)
    rows = np.abs(np.mod(np.broadcast_to(z * scale, x.shape), 508) - 254).astype(np.float32)
    return np.asarray(cv2.remap(tile, columns, rows, cv2.INTER_LINEAR))


def _slabs(x: Array, z: Array, street: Street) -> Array:
    side = np.float32(0.75)
    u, v = x / side, z / side
    column, line = np.floor(u), np.floor(v)
    tone = np.mod(np.sin(column * 12.9898 + line * 78.233) * 43758.5, 1)
    footprint = z / np.float32(street.focal) / side
    joint_x = np.clip(0.03 / footprint, 0, 1) * (np.abs(u - column - 0.5) > 0.47 - footprint / 2)
    joint_z = (np.abs(v - line - 0.5) > 0.46) * np.clip(0.6 / footprint / z, 0, 1)
    light = (0.94 + 0.12 * tone) * (1 - 0.28 * np.maximum(joint_x, joint_z))
    return np.asarray(light[..., None] * np.array([150, 156, 160], np.float32))


def _road(rng: np.random.Generator, x: Array, z: Array, street: Street) -> Array:
    near, far = street.road
    middle = (near + far) / 2
    tone: Array = np.full(x.shape, rng.uniform(74, 96), np.float32)
    for lane in (near + (far - near) * 0.27, near + (far - near) * 0.73):
        tone -= 7 * np.exp(-(((np.abs(z - lane) - 0.75) / 0.35) ** 2))
    for _ in range(3):  # repairs, darker than the rest
        x0, z0 = rng.uniform(-12, 12), rng.uniform(near, far)
        tone = tone - 11 * ((np.abs(x - x0) < rng.uniform(0.5, 2)) & (np.abs(z - z0) < rng.uniform(0.3, 0.8)))
    dashes = (np.abs(z - middle) < 0.09) & (np.mod(x + rng.uniform(0, 6), 6) < 3)
    edges = (np.abs(z - near - 0.45) < 0.06) | (np.abs(z - far + 0.45) < 0.07)
    zebra = (
        (np.abs(x - street.zebra) < 1.4) & (np.mod(z - near, 1.0) < 0.5) & (z > near + 0.5) & (z < far - 0.4)
    )
    clear = np.abs(x - street.zebra) > 2.6
    worn = np.clip(0.8 + 0.35 * _ground_noise(rng, x, z, 1.0), 0.2, 1)
    paint = worn * (zebra | ((dashes | edges) & clear))
    lines = (np.abs(np.abs(x - street.zebra) - 2.5) < 0.16) & (z > near + 0.4) & (z < far - 0.4)
    paint = np.maximum(paint, worn * lines)
    tone = tone * (1 - paint) + 205 * paint
    return np.asarray(tone[..., None] * np.array([1.02, 1.0, 0.98], np.float32))


# --- houses

_WALLS = ((92, 108, 158), (150, 176, 196), (128, 150, 172), (176, 186, 190), (84, 96, 132), (140, 160, 150))


def _paint_houses(rng: np.random.Generator, plate: Array, street: Street, foot: int) -> None:
    metre = street.scale(street.houses)
    hedge = plate[max(int(foot - 3 * metre), 0) : foot]
    leaves = noise(rng, hedge.shape[0], hedge.shape[1], 0.6 * metre, 4)
    hedge[:] = np.array([44, 82, 66], np.float32) * (1 + 0.4 * leaves[..., None])
    left = -rng.uniform(0, 6) * metre
    while left < plate.shape[1]:
        right = left + rng.uniform(7, 12) * metre
        top = foot - rng.uniform(7.5, 11) * metre
        wall = plate[max(int(top), 0) : foot, max(int(left), 0) : max(int(right), 0)]
        if wall.size:
            _paint_house(rng, wall, metre, int(min(top, 0)), int(min(left, 0)))
        left = right + (rng.uniform(0.8, 2.5) * metre if rng.random() < 0.25 else 0)


def _paint_house(rng: np.random.Generator, wall: Array, metre: float, above: int, before: int) -> None:
    """Fill `wall` (a view of the plate) with one front; its corner may lie `above` and `before` the plate."""
    height, width = wall.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32) / np.float32(metre)
    colour = np.array(_WALLS[rng.integers(0, len(_WALLS))], np.float32) * rng.uniform(0.85, 1.1)
    tone = 1 + 0.05 * noise(rng, height, width, 2 * metre, 5)
    if rng.random() < 0.6:
        row = np.floor(y / 0.2)
        brick_x = x / 0.45 + 0.5 * np.mod(row, 2)
        joint = (np.mod(y, 0.2) < 0.05) | (np.mod(brick_x, 1) < 0.1)
        tint = np.mod(np.sin(np.floor(brick_x) * 12.9898 + row * 78.233) * 43758.5, 1)
        tone = tone * np.where(joint, np.float32(1.12), 0.9 + 0.18 * tint)
    wall[:] = np.clip(colour * tone[..., None], 0, 255)
    _box(wall, 0, 0, 0.12 * metre, height, colour * 0.8)
    if above == 0:
        _box(wall, 0, 0, width, 0.25 * metre, colour * 0.7)
        _box(wall, 0, 0.25 * metre, width, 0.4 * metre, colour * 1.15)
    storey = 3.0 * metre
    top = height - 3.4 * metre
    pitch = width / max(round(width / (2.3 * metre)), 1)
    frame = np.array([215, 218, 220], np.float32) * rng.uniform(0.35, 1)
    while top - 2.5 * metre > above:
        _box(wall, 0, top - 0.1 * metre, width, top, colour * 0.82)
        for column in np.arange(before % pitch if before < 0 else 0.0, width, pitch):
            _window(rng, wall, (column + pitch / 2, top - 1.35 * metre), metre, frame)
        top -= storey
    _ground_floor(rng, wall, metre, height, colour)


def _window(
    rng: np.random.Generator, wall: Array, middle: tuple[float, float], metre: float, frame: Array
) -> None:
    x, y = middle
    half, tall = 0.55 * metre, 0.8 * metre
    _box(wall, x - half * 1.16, y - tall * 1.1, x + half * 1.16, y + tall * 1.1, frame)
    glass = np.array([92, 80, 66], np.float32) * rng.uniform(0.5, 1.5)
    _box(wall, x - half, y - tall, x + half, y + tall, glass)
    _box(wall, x - half, y - tall, x + half, y - tall * 0.45, glass * 1.35)
    if rng.random() < 0.5:
        curtain = np.array([170, 180, 190], np.float32) * rng.uniform(0.6, 1)
        _box(wall, x - half, y - tall, x - half * 0.5, y + tall, curtain)
        _box(wall, x + half * 0.5, y - tall, x + half, y + tall, curtain)
    _box(wall, x - 0.05 * metre, y - tall, x + 0.05 * metre, y + tall, frame)
    _box(wall, x - half * 1.3, y + tall * 1.1, x + half * 1.3, y + tall * 1.25, frame * 0.7)


def _ground_floor(rng: np.random.Generator, wall: Array, metre: float, height: int, colour: Array) -> None:
    width = wall.shape[1]
    _box(wall, 0, height - 0.5 * metre, width, height, colour * 0.6)
    door = rng.uniform(0.2, 0.8) * width
    shop = rng.random() < 0.6
    if shop:
        sign = _paint_colour(rng)
        glass = np.array([78, 70, 60], np.float32)
        _box(wall, 0.5 * metre, height - 2.4 * metre, width - 0.5 * metre, height - 0.55 * metre, glass)
        for pane in np.arange(0.5 * metre, width, 1.9 * metre):
            _box(wall, pane, height - 2.4 * metre, pane + 0.1 * metre, height - 0.5 * metre, colour * 0.5)
            goods = _paint_colour(rng)
            low = height - 0.6 * metre
            _box(wall, pane + 0.4 * metre, low - rng.uniform(0.3, 1) * metre, pane + 1.3 * metre, low, goods)
        _box(wall, 0.2 * metre, height - 3.0 * metre, width - 0.2 * metre, height - 2.4 * metre, sign)
        for letter in np.arange(1.0 * metre, width - 1.5 * metre, 0.55 * metre):
            _box(
                wall,
                letter,
                height - 2.85 * metre,
                letter + 0.3 * metre,
                height - 2.55 * metre,
                255 - sign * 0.6,
            )
    tone = _paint_colour(rng) * 0.6
    _box(wall, door - 0.6 * metre, height - 2.3 * metre, door + 0.6 * metre, height, tone * 1.5)
    _box(wall, door - 0.48 * metre, height - 2.18 * metre, door + 0.48 * metre, height, tone)


def _paint_colour(rng: np.random.Generator) -> Array:
    grey = rng.uniform(50, 160)
    return np.asarray(np.clip(grey + rng.uniform(-40, 40, 3), 20, 220), np.float32)


def _box(image: Array, left: float, top: float, right: float, bottom: float, colour: Array) -> None:
    rows = slice(max(round(top), 0), max(round(bottom), 0))
    image[rows, max(round(left), 0) : max(round(right), 0)] = np.clip(colour, 0, 255)
