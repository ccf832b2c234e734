"""What stands at the rendered street and hides what passes behind: trees in the wind, posts, bins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from bench.scenes.street.backdrop import Street
from bench.scenes.street.motion import Sway, Track, random_sway
from bench.scenes.street.people import Layer, Pose
from bench.scenes.textures import RIM, SOFTEN, SPRITE_SCALE, bark, foliage, noise, sprite_from
from edgebs.tensors import Array


class Rooted:
    """What stays where it stands."""

    __slots__ = ()

    def lap(self, seconds: float) -> int:  # noqa: ARG002 - the Figure protocol
        """Always 0: it never leaves."""
        return 0

    def speed(self, seconds: float) -> float:  # noqa: ARG002 - the Figure protocol
        """Always 0: waving is not travelling."""
        return 0.0


@dataclass(frozen=True, slots=True)
class Prop(Rooted):
    """A thing that never moves: one sprite on the ground."""

    kind: str
    z: float
    """Depth, metres."""
    layers: Sequence[Layer]
    foot: tuple[float, float]
    sprites: Sequence[Array]
    is_foreground: bool = False

    def pose(self, seconds: float, lap: int) -> Pose:  # noqa: ARG002 - the Figure protocol
        """Always the same."""
        return Pose(self.layers, self.z, self.foot)


@dataclass(frozen=True, slots=True)
class Clump:
    """A clump of leaves on its twig."""

    sprite: int
    x: float
    """Pixels right of the crown's middle."""
    y: float
    """Pixels below the crown's middle."""
    scale: float
    """Image pixels per sprite pixel."""
    angle: float
    """Radians at rest."""
    sway_x: Sway
    sway_y: Sway
    turn: Sway


@dataclass(frozen=True, slots=True)
class Tree(Rooted):
    """The crown of a tree: clumps of leaves that each sway, all leaning together in the gusts."""

    z: float
    crown: tuple[float, float]
    """Column and row of the crown's middle."""
    foot: tuple[float, float]
    reach: float
    """Pixels that a clump moves at most by itself; gusts add as much at the top."""
    gust: Sway
    clumps: Sequence[Clump]
    sprites: Sequence[Array]
    kind: str = "tree"
    is_foreground: bool = False

    def pose(self, seconds: float, lap: int) -> Pose:  # noqa: ARG002 - the Figure protocol
        """One layer per clump."""
        gust = self.gust.at(seconds) * self.reach
        rise = self.foot[1] - self.crown[1]
        layers = []
        for clump in self.clumps:
            lean = gust * (rise - clump.y) / rise
            x = self.crown[0] + clump.x + lean + self.reach * clump.sway_x.at(seconds)
            y = self.crown[1] + clump.y + 0.6 * self.reach * clump.sway_y.at(seconds)
            angle = clump.angle + 0.02 * min(self.reach, 4.0) * clump.turn.at(seconds)
            c, s = math.cos(angle) * clump.scale, math.sin(angle) * clump.scale
            hub = (self.sprites[clump.sprite].shape[0] - 1) / 2
            layers.append(
                Layer(clump.sprite, np.array([[c, -s, x - hub * (c - s)], [s, c, y - hub * (s + c)]]))
            )
        return Pose(layers, self.z, self.foot)


def grow_tree(rng: np.random.Generator, street: Street, x: float, z: float, wind: float) -> tuple[Prop, Tree]:
    """Trunk and crown of a tree at (x, z) metres; at `wind` 1 the leaves of a near tree move about 0.1 m."""
    metre = street.scale(z)
    foot = street.point(x, 0, z)
    bare, radius = rng.uniform(2.3, 2.9), rng.uniform(1.4, 1.9)
    thick = rng.uniform(0.26, 0.38) * metre
    trunk = _stand(
        "trunk",
        bark(
            rng,
            math.ceil((bare + 0.9) * metre * SPRITE_SCALE),
            max(round(thick * SPRITE_SCALE), 2),
            0.6,
            SOFTEN,
        ),
        (foot[0], foot[1]),
        z,
    )
    colour = np.array([42, 96, 74], np.float32) * rng.uniform(0.75, 1.2) + rng.uniform(-14, 14, 3)
    width = max(math.ceil(1.7 * metre * SPRITE_SCALE), 6)
    sprites = [foliage(rng, width, colour * tone, SOFTEN) for tone in (0.72, 0.9, 1.05, 1.2)]
    clumps = []
    count = 18
    for nth in range(count):
        turn, far = nth * 2.4, radius * math.sqrt((nth + 0.5) / count)  # sunflower spiral: evenly filled
        up = -far * math.sin(turn) * 0.85
        lit = int(np.clip(1.5 - 1.6 * up / radius + rng.uniform(-0.9, 0.9), 0, 3))
        clumps.append(
            Clump(
                sprite=lit,
                x=far * math.cos(turn) * metre,
                y=up * metre,
                scale=rng.uniform(0.8, 1.15) / SPRITE_SCALE,
                angle=rng.uniform(-0.7, 0.7),
                sway_x=random_sway(rng, 0.35, 1.8),
                sway_y=random_sway(rng, 0.4, 1.8),
                turn=random_sway(rng, 0.3, 1.5),
            )
        )
    clumps.sort(key=lambda clump: clump.sprite)
    crown = (foot[0], foot[1] - (bare + radius * 0.9) * metre)
    reach = 0.05 * metre * wind
    return trunk, Tree(z, crown, foot, reach, random_sway(rng, 0.12, 0.5), tuple(clumps), sprites)


def _stand(kind: str, sprite: Array, foot: tuple[float, float], z: float) -> Prop:
    """A prop whose sprite's lower middle stands on `foot`."""
    step = 1 / SPRITE_SCALE
    base, middle = sprite.shape[0] - 1 - RIM, (sprite.shape[1] - 1) / 2
    matrix = np.array([[step, 0, foot[0] - step * middle], [0, step, foot[1] - step * base]])
    return Prop(kind, z, [Layer(0, matrix)], foot, [sprite])


def lamp_post(street: Street, x: float, z: float) -> Prop:
    """A lamp on a post, 5 m high."""
    density = street.scale(z) * SPRITE_SCALE
    image, alpha = _canvas(1.8, 5.1, density)
    tone = (58.0, 60.0, 56.0)
    _bar(image, alpha, density, (0.83, 0), (0.97, 5.0), tone)
    _bar(image, alpha, density, (0.86, 0), (0.89, 5.0), (92.0, 96.0, 92.0))
    _bar(image, alpha, density, (0.76, 0), (1.04, 0.7), tone)
    _bar(image, alpha, density, (0.2, 4.9), (0.97, 5.0), tone)
    _bar(image, alpha, density, (0.1, 4.75), (0.65, 4.92), (200.0, 206.0, 208.0))
    return _stand("post", sprite_from(image, alpha / np.float32(255), SOFTEN), street.point(x, 0, z), z)


def traffic_light(street: Street, x: float, z: float) -> Prop:
    """A traffic light, seen from the side of the road."""
    density = street.scale(z) * SPRITE_SCALE
    image, alpha = _canvas(0.5, 3.4, density)
    _bar(image, alpha, density, (0.2, 0), (0.3, 2.6), (70.0, 72.0, 70.0))
    _bar(image, alpha, density, (0.08, 2.4), (0.42, 3.35), (34.0, 36.0, 34.0))
    for height, tone in (
        (3.08, (60.0, 60.0, 170.0)),
        (2.78, (40.0, 90.0, 110.0)),
        (2.48, (60.0, 110.0, 40.0)),
    ):
        _bar(image, alpha, density, (0.15, height), (0.35, height + 0.2), tone)
    return _stand(
        "traffic light", sprite_from(image, alpha / np.float32(255), SOFTEN), street.point(x, 0, z), z
    )


def bin_and_bench(rng: np.random.Generator, street: Street, x: float, z: float) -> Prop:
    """A bench beside a litter bin."""
    density = street.scale(z) * SPRITE_SCALE
    image, alpha = _canvas(2.9, 1.1, density)
    wood = np.array([60, 92, 128]) * rng.uniform(0.7, 1.1)
    for low, high in ((0.42, 0.5), (0.6, 0.7), (0.76, 0.86)):
        _bar(image, alpha, density, (0.1, low), (1.8, high), tuple(wood.tolist()))
    for foot in (0.2, 1.6):
        _bar(image, alpha, density, (foot, 0), (foot + 0.08, 0.84), (48.0, 48.0, 46.0))
    _bar(image, alpha, density, (2.2, 0), (2.75, 0.95), (60.0, 84.0, 58.0))
    _bar(image, alpha, density, (2.2, 0), (2.35, 0.95), (84.0, 108.0, 82.0))
    _bar(image, alpha, density, (2.15, 0.9), (2.8, 1.02), (40.0, 52.0, 40.0))
    return _stand("bench", sprite_from(image, alpha / np.float32(255), SOFTEN), street.point(x, 0, z), z)


def _canvas(width: float, height: float, density: float) -> tuple[Array, Array]:
    shape = (math.ceil(height * density) + 1, math.ceil(width * density) + 1)
    return np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)


def _bar(
    image: Array,
    alpha: Array,
    density: float,
    low: tuple[float, float],
    high: tuple[float, float],
    colour: tuple[float, ...],
) -> None:
    """Fill the box between two corners, metres from the lower left."""
    bottom = image.shape[0] - 1
    corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
    points = np.rint(np.array([[x * density, bottom - y * density] for x, y in corners]) * 16).astype(
        np.int32
    )
    cv2.fillPoly(image, [points], colour, cv2.LINE_AA, 4)
    cv2.fillPoly(alpha, [points], 255.0, cv2.LINE_AA, 4)


WHEEL = 0.33
"""Radius of a wheel in metres."""


@dataclass(frozen=True, slots=True)
class CarShape:
    """A side view, facing right: metres from the rear bumper, and over the ground."""

    outline: tuple[tuple[float, float], ...]
    windows: tuple[tuple[tuple[float, float], ...], ...]
    axles: tuple[float, float]
    doors: tuple[float, ...]

    @property
    def length(self) -> float:
        """Metres."""
        return max(x for x, _ in self.outline)

    @property
    def height(self) -> float:
        """Metres."""
        return max(y for _, y in self.outline)


_SEDAN = CarShape(
    ((0.05, 0.28), (0.0, 0.7), (0.08, 0.95), (0.7, 1.02), (1.3, 1.4), (1.6, 1.47), (2.4, 1.47), (2.65, 1.4),
     (3.3, 1.0), (4.1, 0.86), (4.35, 0.65), (4.4, 0.28)),
    (((1.0, 1.03), (1.42, 1.36), (1.95, 1.38), (1.95, 1.0)),
     ((2.03, 1.0), (2.03, 1.38), (2.58, 1.34), (3.05, 1.0))),
    (0.85, 3.5), (1.0, 1.98, 3.1),
)  # fmt: skip


_HATCH = CarShape(
    ((0.05, 0.28), (0.0, 0.9), (0.22, 1.4), (0.5, 1.52), (1.9, 1.53), (2.2, 1.44), (2.8, 1.02), (3.6, 0.88),
     (3.86, 0.62), (3.9, 0.28)),
    (((0.4, 1.02), (0.5, 1.4), (1.3, 1.43), (1.3, 1.0)),
     ((1.38, 1.0), (1.38, 1.43), (2.05, 1.4), (2.55, 1.0))),
    (0.72, 3.1), (0.75, 1.34, 2.55),
)  # fmt: skip


_VAN = CarShape(
    ((0.03, 0.32), (0.0, 1.95), (0.15, 2.1), (3.4, 2.1), (3.75, 1.95), (4.4, 1.25), (5.0, 1.08), (5.18, 0.7),
     (5.2, 0.32)),
    (((3.2, 1.25), (3.2, 1.85), (3.6, 1.85), (4.15, 1.25)),),
    (0.95, 4.2), (0.1, 2.0, 3.1, 4.2),
)  # fmt: skip


SHAPES = (_SEDAN, _HATCH, _SEDAN, _HATCH, _VAN)


_PAINT = (
    (40, 40, 44), (190, 192, 196), (110, 60, 30), (40, 36, 140), (150, 150, 148), (90, 96, 70),
    (225, 228, 230), (60, 110, 160), (80, 50, 40),
)  # fmt: skip


def paint_car(rng: np.random.Generator, shape: CarShape, density: float) -> list[Array]:
    """Body and wheel sprites; the body's sprite holds the ground under its rear bumper at `car_origin`."""
    width, height = math.ceil(shape.length * density) + 1, math.ceil((shape.height + ROOF) * density) + 1
    colour = np.array(_PAINT[rng.integers(0, len(_PAINT))], np.float64) * rng.uniform(0.85, 1.1)
    image = np.zeros((height, width, 3), np.uint8)
    alpha = np.zeros((height, width), np.uint8)

    def fill(points: Sequence[tuple[float, float]], tone: Array, lift: float = 0.0) -> None:
        corners = np.array([[x * density, height - 1 - (y + lift) * density] for x, y in points])
        fixed = np.rint(corners * 16).astype(np.int32)
        shade = tuple(float(c) for c in np.clip(tone, 0, 255))
        cv2.fillPoly(image, [fixed], shade, cv2.LINE_AA, 4)
        cv2.fillPoly(alpha, [fixed], 255.0, cv2.LINE_AA, 4)

    for step in np.linspace(ROOF, 0, max(int(ROOF * density), 2)):  # roof and bonnet, seen from above
        fill(shape.outline, colour * 1.12 + 26, float(step))
    x0, x1 = shape.axles
    fill(((x0 - 0.3, 0.1), (x0 - 0.3, 0.5), (x1 + 0.3, 0.5), (x1 + 0.3, 0.1)), np.array([16, 16, 16]))
    fill(shape.outline, colour)
    low = [(x, min(y, 0.62)) for x, y in shape.outline]
    fill(low, colour * 0.8)
    fill([(x, min(y, 0.4)) for x, y in shape.outline], np.array([34, 34, 36]) + colour * 0.1)
    glass = np.array([74, 62, 52]) * rng.uniform(0.6, 1.3)
    for window in shape.windows:
        fill(window, glass)
        (ax, ay), (bx, by) = window[0], window[1]
        fill(
            (window[1], window[2], ((window[2][0] + ax) / 2, ay + 0.12), (ax, (ay + by) / 2)),
            glass * 1.5 + 20,
        )
        del bx
    for door in shape.doors:
        fill(((door, 0.42), (door, 0.98), (door + 0.03, 0.98), (door + 0.03, 0.42)), colour * 0.55)
    front = shape.length
    fill(
        ((front - 0.28, 0.62), (front - 0.3, 0.76), (front - 0.1, 0.76), (front - 0.06, 0.62)),
        np.array([235, 245, 245]),
    )
    fill(((0.03, 0.7), (0.03, 0.88), (0.16, 0.88), (0.14, 0.7)), np.array([30, 30, 190]))
    for axle in shape.axles:
        arch = [(axle + 0.41 * math.cos(a), WHEEL + 0.41 * math.sin(a)) for a in np.linspace(0, math.pi, 12)]
        fill(arch, np.array([14, 14, 14]))
    gloss = 1 + 0.06 * noise(rng, height, width, 0.8 * density, 3)
    return [sprite_from(image * gloss[..., None], alpha / np.float32(255), SOFTEN), _paint_wheel(density)]


ROOF = 0.34
"""Metres that roof and bonnet rise over the side view, as the camera looks down on them."""


def _paint_wheel(density: float) -> Array:
    radius = WHEEL * density
    side = 2 * math.ceil(radius) + 1
    y, x = np.mgrid[:side, :side].astype(np.float32) - (side - 1) / 2
    far, angle = np.hypot(x, y) / np.float32(radius), np.arctan2(y, x)
    rim = np.clip((0.66 - far) * radius, 0, 1)
    spokes = 0.35 + 0.65 * (np.cos(5 * angle) > -0.2) * (far > 0.12)
    tone = 24 + rim * (140 * spokes + 24 * np.cos(angle - 1))
    return sprite_from(np.repeat(tone[..., None], 3, 2), np.clip((1 - far) * radius + 0.5, 0, 1), SOFTEN)


@dataclass(frozen=True, slots=True)
class Car:
    """Drives behind the car ahead: the leader's track, later and farther back (Newell 2002)."""

    street: Street
    shape: CarShape
    track: Track
    z: float
    """Depth of the near wheels, metres."""
    start: float
    """X of the front bumper at distance 0, metres."""
    direction: float
    """+1 to the right, -1 to the left."""
    delay: float
    """Seconds behind the leader, less the scene's own offset."""
    behind: float
    """Metres behind the leader when standing."""
    density: float
    """Sprite pixels per metre."""
    sprites: Sequence[Array]
    kind: str = "car"
    is_foreground: bool = True

    def lap(self, seconds: float) -> int:
        """Times it has driven through."""
        return math.floor((self.track.at(seconds - self.delay)[0] - self.behind) / self.track.length)

    def speed(self, seconds: float) -> float:
        """Metres per second."""
        return self.track.at(seconds - self.delay)[1]

    def pose(self, seconds: float, lap: int) -> Pose:
        """The body, and two wheels turned as far as the car has rolled."""
        driven = self.track.at(seconds - self.delay)[0] - self.behind
        front = self.start + self.direction * (driven - lap * self.track.length)
        rear = front - self.direction * self.shape.length
        foot = self.street.point(rear, 0, self.z)
        scale = self.street.scale(self.z)
        step = scale / self.density
        base = self.sprites[0].shape[0] - 1 - RIM
        body = np.array(
            [
                [self.direction * step, 0, foot[0] - self.direction * step * RIM],
                [0, step, foot[1] - step * base],
            ]
        )
        layers = [Layer(0, body)]
        turn = driven / WHEEL * self.direction
        c, s = math.cos(turn) * step, math.sin(turn) * step
        hub = (self.sprites[1].shape[0] - 1) / 2
        for axle in self.shape.axles:
            x, y = foot[0] + self.direction * axle * scale, foot[1] - WHEEL * scale
            layers.append(Layer(1, np.array([[c, -s, x - hub * (c - s)], [s, c, y - hub * (s + c)]])))
        middle = self.street.point((front + rear) / 2, 0, self.z)
        return Pose(layers, self.z, middle)
