"""People of the rendered street: a skeleton that walks, dressed in textured capsules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from bench.scenes.street.backdrop import Street
from bench.scenes.street.motion import Path, Track
from bench.scenes.textures import SPRITE_SCALE, capsule, capsule_start
from edgebs.tensors import Array

Point = tuple[float, float]


class Layer(NamedTuple):
    """One sprite in place: `matrix` (2, 3) takes sprite pixels to image pixels, before camera shake."""

    part: int
    """Index of the sprite among its figure's."""
    matrix: Array


class Pose(NamedTuple):
    """A figure at one time, its layers from back to front."""

    layers: Sequence[Layer]
    z: float
    """Depth in metres; nearer figures hide farther ones."""
    foot: Point
    """Column and row of the point where it meets the ground."""


class Figure(Protocol):
    """Anything drawn over the plate."""

    @property
    def kind(self) -> str:
        """`person`, `car` (foreground), or what else it is."""
        ...

    @property
    def is_foreground(self) -> bool:
        """True for what a mask must hold."""
        ...

    @property
    def sprites(self) -> Sequence[Array]:
        """The textures of its parts."""
        ...

    def lap(self, seconds: float) -> int:
        """How often it has left the street and come in again: a new lap is a new object."""
        ...

    def speed(self, seconds: float) -> float:
        """Metres per second."""
        ...

    def pose(self, seconds: float, lap: int) -> Pose:
        """Where its parts are, if it had gone on in lap `lap`."""
        ...


def segment_matrix(a: Point, b: Point, start: float, column: float, rows: float, widen: float) -> Array:
    """The affine map that lays a sprite's axis from image point `a` to `b`.

    The axis runs down column `column` from row `start` over `rows` rows; `widen` is image pixels per sprite
    pixel across it.
    """
    ex, ey = (b[0] - a[0]) / rows, (b[1] - a[1]) / rows
    norm = math.hypot(ex, ey) or 1e-9
    ax, ay = ey / norm * widen, -ex / norm * widen
    return np.array(
        [[ax, ex, a[0] - ax * column - ex * start], [ay, ey, a[1] - ay * column - ey * start]], np.float64
    )


Joint = tuple[float, float, float]
"""Metres (forward, up, to the left) from the point on the ground under the person."""


# Index of each sprite; limbs come in pairs, the one nearer to the camera first.
THIGH, SHIN, FOOT, UPPER_ARM, FOREARM, TORSO, HEAD, HAIR, BAG = 0, 2, 4, 6, 8, 10, 11, 12, 13


class Limb(NamedTuple):
    """A capsule's axis length and its radii at both ends, as shares of the body height."""

    length: float
    radii: tuple[float, float]


_LIMBS = {
    THIGH: Limb(0.235, (0.050, 0.036)),
    SHIN: Limb(0.235, (0.034, 0.025)),
    FOOT: Limb(0.09, (0.025, 0.021)),
    UPPER_ARM: Limb(0.16, (0.032, 0.027)),
    FOREARM: Limb(0.165, (0.026, 0.02)),
    TORSO: Limb(0.215, (0.092, 0.078)),
    HEAD: Limb(0.05, (0.05, 0.043)),
    HAIR: Limb(0.022, (0.053, 0.05)),
    BAG: Limb(0.12, (0.055, 0.06)),
}


_PAIRED = (THIGH, SHIN, FOOT, UPPER_ARM, FOREARM)


_SKIN = ((128, 160, 210), (100, 138, 190), (62, 92, 142), (44, 62, 96), (140, 175, 222))


_HAIR = ((28, 32, 40), (40, 60, 92), (70, 110, 160), (130, 135, 140), (18, 20, 24))


_CLOTHES = (
    (52, 46, 42), (120, 74, 44), (62, 62, 150), (196, 194, 190), (72, 100, 62), (50, 130, 185),
    (140, 120, 90), (90, 60, 110), (34, 32, 32), (150, 160, 170), (60, 40, 90), (170, 130, 100),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """Walks along a path with swinging limbs, stands where the track stands, and goes on."""

    street: Street
    path: Path
    track: Track
    cruise: float
    """Metres per second when walking."""
    offset: float
    """Seconds added to the time."""
    height: float
    """Metres."""
    stout: float
    """Width of the trunk, about 1."""
    density: float
    """Sprite pixels per metre."""
    sprites: Sequence[Array]
    has_bag: bool
    kind: str = "person"
    is_foreground: bool = True

    def lap(self, seconds: float) -> int:
        """Times the path was walked to its end."""
        return math.floor(self.track.at(seconds + self.offset)[0] / self.track.length)

    def speed(self, seconds: float) -> float:
        """Metres per second."""
        return self.track.at(seconds + self.offset)[1]

    def pose(self, seconds: float, lap: int) -> Pose:
        """One layer per bone, in perspective at the place where the person is."""
        walked, speed = self.track.at(seconds + self.offset)
        x, z, along_x, along_z = self.path.at(walked - lap * self.track.length)
        scale = self.street.scale(z)
        foot = self.street.point(x, 0, z)
        tilt = self.street.mast / z

        def pixel(joint: Joint) -> Point:
            forward, up, left = joint
            right, away = forward * along_x - left * along_z, forward * along_z + left * along_x
            return foot[0] + right * scale, foot[1] - (up + away * tilt) * scale

        vigour = min(speed / self.cruise, 1.0)
        idle = 0.012 * math.sin(1.3 * seconds + self.offset) * (1 - vigour)
        turn = 2 * math.pi * walked / (0.82 * self.height)
        layers = []
        for part, a, b in skeleton(self.height, turn, vigour, idle, (along_x, along_z), self.has_bag):
            limb = _LIMBS.get(part) or _LIMBS[part - 1]
            radii = (limb.radii[0] * self.height, limb.radii[1] * self.height)
            widen = scale / self.density
            if part == TORSO:  # flatter seen from the side
                widen *= self.stout * (0.78 + 0.5 * abs(along_z))
            column = (self.sprites[part].shape[1] - 1) / 2
            start, rows = capsule_start(radii, self.density), limb.length * self.height * self.density
            layers.append(Layer(part, segment_matrix(pixel(a), pixel(b), start, column, rows, widen)))
        return Pose(layers, z, foot)


def skeleton(
    height: float, turn: float, vigour: float, idle: float, heading: Point, has_bag: bool
) -> list[tuple[int, Joint, Joint]]:
    """(part, joint, joint) of every bone, from back to front.

    turn: radians of the stride; vigour: 0 standing to 1 walking; heading: cosine and sine, sine > 0 is away.
    """
    far = 1.0 if heading[0] >= 0 else -1.0  # the left side is the far one when walking to the right
    legs = {side: _leg(turn + (0.0 if side > 0 else math.pi), vigour) for side in (far, -far)}
    hip = 0.022 - min(ankle[1] for _, ankle, _ in legs.values())  # the lower foot stands on the ground
    lean = 0.02 * vigour + idle
    bones: list[tuple[int, Joint, Joint]] = []
    for nth, side in ((1, far), (0, -far)):
        left = 0.045 * side
        knee, ankle, toe = ((f, hip + up, left) for f, up in legs[side])
        leg = [(FOOT + nth, ankle, toe), (SHIN + nth, knee, ankle), (THIGH + nth, (0.0, hip, left), knee)]
        arm = _arm(turn + (math.pi if side > 0 else 0.0), vigour, (lean, hip + 0.285, 0.105 * side), nth)
        trunk = _trunk(hip, lean, heading, has_bag) if side == -far else []
        bones += arm + leg if side == far else leg + trunk + arm
    return [(part, _times(a, height), _times(b, height)) for part, a, b in bones]


def _leg(turn: float, vigour: float) -> tuple[Point, Point, Point]:
    """Knee, ankle and toe as (forward, up) from the hip, in body heights."""
    thigh = 0.44 * vigour * math.sin(turn) + 0.03
    shin = thigh - 0.05 - vigour * (0.1 + 0.95 * max(math.cos(turn), 0.0) ** 2)
    knee = _swing((0.0, 0.0), thigh, _LIMBS[THIGH].length)
    ankle = _swing(knee, shin, _LIMBS[SHIN].length)
    return (
        knee,
        ankle,
        _swing(ankle, math.pi / 2 + 0.7 * min(shin, 0.0) + 0.3 * max(thigh - 0.05, 0.0), _LIMBS[FOOT].length),
    )


def _arm(turn: float, vigour: float, shoulder: Joint, nth: int) -> list[tuple[int, Joint, Joint]]:
    angle = 0.5 * vigour * math.sin(turn) - 0.03
    elbow = _swing((shoulder[0], shoulder[1]), angle, _LIMBS[UPPER_ARM].length)
    bend = angle + 0.15 + vigour * (0.25 + 0.2 * math.sin(turn))
    hand = _swing(elbow, bend, _LIMBS[FOREARM].length)
    left = shoulder[2]
    return [
        (FOREARM + nth, (*elbow, left * 1.1), (*hand, left)),
        (UPPER_ARM + nth, shoulder, (*elbow, left * 1.1)),
    ]


def _trunk(hip: float, lean: float, heading: Point, has_bag: bool) -> list[tuple[int, Joint, Joint]]:
    chest = (lean, hip + 0.235, 0.0)
    torso = (TORSO, chest, (0.0, chest[1] - _LIMBS[TORSO].length, 0.0))
    crown = hip + 0.435
    head = (HEAD, (lean * 1.3, crown, 0.0), (lean * 1.3 + 0.006, crown - _LIMBS[HEAD].length, 0.0))
    # Hair covers the head when seen from the back and leaves the face free from the front.
    top = crown + 0.018 - 0.03 * max(heading[1], 0.0)
    hair = (HAIR, (lean * 1.3 - 0.016, top, 0.0), (lean * 1.3 - 0.02, top - _LIMBS[HAIR].length, 0.0))
    back = (lean - 0.095, chest[1] + 0.02, 0.0)
    bag = [(BAG, back, (back[0] - 0.01, back[1] - _LIMBS[BAG].length, 0.0))] if has_bag else []
    return [torso, head, hair, *bag] if heading[1] > 0.3 else [*bag, torso, head, hair]


def _swing(joint: Point, angle: float, length: float) -> Point:
    """The end of a bone that hangs from `joint`, `angle` radians forward of straight down."""
    return joint[0] + length * math.sin(angle), joint[1] - length * math.cos(angle)


def _times(joint: Joint, height: float) -> Joint:
    return joint[0] * height, joint[1] * height, joint[2] * height


def dress(rng: np.random.Generator, height: float, density: float) -> list[Array]:
    """The sprites of one person, in the order of the part numbers."""
    skin = _pick(rng, _SKIN)
    trousers, shirt, shoe = _pick(rng, _CLOTHES), _pick(rng, _CLOTHES), _pick(rng, _CLOTHES) * 0.6
    bare_legs, bare_arms = rng.random() < 0.15, rng.random() < 0.35
    colours = {
        THIGH: trousers,
        SHIN: skin if bare_legs else trousers,
        FOOT: shoe,
        UPPER_ARM: shirt,
        FOREARM: skin if bare_arms else shirt,
        TORSO: shirt,
        HEAD: skin,
        HAIR: _pick(rng, _HAIR),
        BAG: _pick(rng, _CLOTHES),
    }
    sprites: list[Array] = []
    for part, limb in _LIMBS.items():
        radii = (limb.radii[0] * height, limb.radii[1] * height)
        plain = part not in (TORSO, BAG, THIGH)
        sprite = capsule(rng, limb.length * height, radii, colours[part], density, plain=plain)
        sprites.append(sprite)
        if part in _PAIRED:
            sprites.append(sprite * np.array([0.66, 0.66, 0.66, 1], np.float32))  # the far side, in shade
    return sprites


def _pick(rng: np.random.Generator, colours: Sequence[tuple[int, int, int]]) -> Array:
    colour = np.array(colours[int(rng.integers(0, len(colours)))], np.float32)
    return np.asarray(np.clip(colour * rng.uniform(0.8, 1.2) + rng.uniform(-10, 10, 3), 10, 240), np.float32)


def walker(
    rng: np.random.Generator, street: Street, path: Path, track: Track, cruise: float, offset: float
) -> Person:
    """A person of random looks on the given path."""
    height = rng.uniform(1.1, 1.35) if rng.random() < 0.15 else rng.uniform(1.55, 1.92)
    nearest = min(z for _, z in path.points)
    density = SPRITE_SCALE * street.scale(nearest)
    return Person(
        street=street,
        path=path,
        track=track,
        cruise=cruise,
        offset=offset,
        height=height,
        stout=rng.uniform(0.9, 1.25),
        density=density,
        sprites=dress(rng, height, density),
        has_bag=bool(rng.random() < 0.35),
    )
