"""A street for pictures: what stands at it, and who walks and drives there, at an avenue's true scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from bench.scenes.actors.people import Picture, cropped
from bench.scenes.actors.sprites import Actor, sprite_of
from bench.scenes.bank import PictureBank
from bench.scenes.motion import FOREVER, Timetable, timetable
from bench.scenes.mover import Costume, Mover
from bench.scenes.place.avenue import Street, paint_plate, random_street
from bench.scenes.place.painter import Plate, View
from bench.scenes.textures import SOFTEN, bark, foliage, sprite_from
from edgebs.tensors import Array

LINE_M = 2.9
"""From the crossing's middle to the first bumper of cars that stand."""
GAP_M = (1.6, 2.6)
"""Between cars that stand."""
FOLLOW_S = 1.3
"""Seconds between a car's move and the next one's (Newell 2002)."""
BRAKE = 2.6
"""Metres per second squared."""
RAMP = 8
"""Straight pieces of a car's braking."""
WALK = (0.9, 1.6)
"""Metres per second."""
Draw = Callable[[np.random.Generator, float], Picture]
"""Draws a thing at so many pixels a metre."""


@dataclass(frozen=True, slots=True)
class Avenue:
    """A street of one scene."""

    street: Street
    """In pixels of the plate."""
    plate: Plate
    bank: PictureBank

    def cast(self, rng: np.random.Generator) -> list[Mover]:
        """Trees, posts and a parked car, which never are foreground; people and cars."""
        near, far = self.street.road
        # Cars that already stand where a clip begins are scenery to whoever watches from then on.
        red_s = rng.uniform(2.0, 4.0)
        green_s = red_s + rng.uniform(1.5, 2.5)
        movers = self._furniture(rng)
        for lane, z in ((1.0, near + 0.2 * (far - near)), (-1.0, near + 0.53 * (far - near))):
            speed, bumper = rng.uniform(6, 9), LINE_M
            for nth in range(int(rng.integers(1, 4))):
                actor = self._actor(rng, "vehicle")
                behind, before = reach(actor)
                place = (self.street.zebra - lane * (bumper + before), z)
                bumper += before + behind + rng.uniform(*GAP_M)
                table = queued(speed, red_s + 0.4 * nth, green_s + FOLLOW_S * nth)
                movers.append(self._mover(rng, actor, place, (lane, 0.0), table))
        for nth in range(int(rng.integers(5, 9))):
            if nth % 3 == 2:
                movers.append(self._crosser(rng, green_s - rng.uniform(0.1, 2.5)))
            else:
                movers.append(self._stroller(rng, is_near=nth % 2 == 0))
        return movers

    def _actor(self, rng: np.random.Generator, kind: str) -> Actor:
        """A person; or a vehicle seen from the side, in four of five cases no larger than a van."""
        actors = self.bank.actors[kind]
        if kind == "vehicle":
            tallest = 9.0 if rng.random() < 0.2 else 2.5
            actors = [actor for actor in actors if "front" not in actor.poses and actor.height < tallest]
        return actors[int(rng.integers(0, len(actors)))]

    def _mover(
        self,
        rng: np.random.Generator,
        actor: Actor,
        place: tuple[float, float],
        heading: tuple[float, float],
        table: Timetable,
    ) -> Mover:
        """place: (x, z) in metres at distance 0, which `table` gives in metres too."""
        metre = self.street.scale(place[1])
        shade = np.eye(4, dtype=np.float32)
        shade[:3, :3] *= rng.uniform(0.85, 1.1)
        pixels = Timetable(table.times, tuple(d * metre for d in table.distances))
        foot = self.street.point(place[0], 0, place[1])
        sway = (0.012 * rng.random(), rng.uniform(0.6, 1.6), rng.uniform(0, 100))
        view = self.plate.view if heading[1] else None
        return Mover(actor, Costume(shade), pixels, foot, heading, view, metre, sway=sway)

    def _stroller(self, rng: np.random.Generator, *, is_near: bool) -> Mover:
        """Walks along one pavement; some pause."""
        street = self.street
        low, high = (
            (street.lawn + 0.5, street.road[0] - 0.9)
            if is_near
            else (street.road[1] + 1.2, street.houses - 0.6)
        )
        z = rng.uniform(low, high)
        place = (rng.uniform(-0.9, 0.9) * street.half_width(z), z)
        at_s, speed = rng.uniform(-3.0, 6.0), rng.uniform(*WALK)
        stops = [(at_s, at_s + rng.uniform(1.5, 4.5))] if rng.random() < 0.3 else []
        table = timetable(speed, stops)
        away = table.at(at_s)[0]
        table = Timetable(table.times, tuple(d - away for d in table.distances))
        side = 1.0 if rng.random() < 0.5 else -1.0
        return self._mover(rng, self._actor(rng, "person"), place, (side, 0.0), table)

    def _crosser(self, rng: np.random.Generator, over_s: float) -> Mover:
        """Crosses towards the camera or away from it; over at `over_s`, before a car goes."""
        street = self.street
        near, far = street.road
        ends = [near - 0.7, far + 0.8]
        if rng.random() < 0.5:
            ends.reverse()
        x = street.zebra + rng.uniform(-1.1, 1.1)
        first, last = (street.point(x, 0, z) for z in ends)
        go_s = over_s - abs(ends[1] - ends[0]) / rng.uniform(1.15, 1.5)
        metres = abs(last[1] - first[1]) / street.scale(ends[0])
        table = Timetable((-FOREVER, go_s, over_s, FOREVER), (0.0, 0.0, metres, metres))
        dx, dy = last[0] - first[0], last[1] - first[1]
        norm = math.hypot(dx, dy)
        return self._mover(rng, self._actor(rng, "person"), (x, ends[0]), (dx / norm, dy / norm), table)

    # --- what stands there

    def _furniture(self, rng: np.random.Generator) -> list[Mover]:
        street = self.street
        near, far = street.road
        kerb, back = near - 0.5, far + 0.7
        side = float(rng.choice([-1.0, 1.0]))
        found = [
            self._fixed(rng, _lamp_post, (street.zebra + side * rng.uniform(3.5, 5), kerb)),
            self._fixed(rng, _traffic_light, (street.zebra - 2.9, kerb + 0.1)),
            self._tree(rng, side * rng.uniform(0.6, 0.95) * street.half_width(kerb), street.lawn - 0.3),
            self._fixed(
                rng, _bench, (-side * rng.uniform(0.2, 0.7) * street.half_width(kerb), street.lawn + 0.15)
            ),
        ]
        wide = street.half_width(back)
        row = np.arange(-wide + rng.uniform(0, 3), wide, rng.uniform(7, 10)).tolist()
        found += [self._tree(rng, x, back) for x in row if abs(x - street.zebra) > 3]
        parked = (street.zebra + side * rng.uniform(6, 9), far - 1.95)
        table = timetable(1.0, [(-FOREVER / 2, FOREVER)])
        found.append(self._mover(rng, self._actor(rng, "vehicle"), parked, (-1.0, 0.0), table))
        for mover in found:
            mover.foreground_from = FOREVER
        return found

    def _fixed(self, rng: np.random.Generator, draw: Draw, place: tuple[float, float]) -> Mover:
        density = 1.25 * self.street.scale(place[1])
        return self._standing(rng, draw(rng, density), density, place, 0.0)

    def _tree(self, rng: np.random.Generator, x: float, z: float) -> Mover:
        """It leans a little in the wind."""
        density = 1.25 * self.street.scale(z)
        return self._standing(rng, _tree_picture(rng, density), density, (x, z), rng.uniform(0.001, 0.006))

    def _standing(
        self,
        rng: np.random.Generator,
        picture: Picture,
        density: float,
        place: tuple[float, float],
        sway: float,
    ) -> Mover:
        actor = Actor("thing", density, picture.foot[1] / density, {"walk": (sprite_of(picture),)})
        mover = self._mover(rng, actor, place, (1.0, 0.0), timetable(1.0, [(-FOREVER / 2, FOREVER)]))
        mover.sway = (sway, rng.uniform(0.8, 2.5), rng.uniform(0, 100))
        return mover


def random_avenue(rng: np.random.Generator, bank: PictureBank, size: tuple[int, int], margin: int) -> Avenue:
    """A street for pictures of `size` (h, w), on a plate that is `margin` larger on each side."""
    street = random_street(rng, size)
    image = cv2.cvtColor(paint_plate(rng, street, size, margin), cv2.COLOR_BGR2BGRA)
    image[..., 3] = 0
    street = street.moved(margin)
    return Avenue(street, Plate(image, View(street.horizon, 1 / street.mast), False), bank)


def reach(actor: Actor) -> tuple[float, float]:
    """Metres from the foot of a vehicle seen from the side to its rear and to its front."""
    sprite = actor.poses["walk"][0]
    behind, width = sprite.foot[0] / actor.density, sprite.mips[0].shape[1] / actor.density
    return behind, width - behind


def queued(speed: float, red_s: float, green_s: float) -> Timetable:
    """Metres of a car that brakes, stands at distance 0 from `red_s` to `green_s`, and drives on."""
    ramp_s = speed / BRAKE
    steps = [nth / RAMP * ramp_s for nth in range(RAMP + 1)]
    after = [(green_s + t, BRAKE * t * t / 2) for t in steps]
    before = [(red_s - t, -BRAKE * t * t / 2) for t in reversed(steps)]
    rest = FOREVER - abs(green_s) - ramp_s
    first = (before[0][0] - rest, before[0][1] - speed * rest)
    last = (after[-1][0] + rest, after[-1][1] + speed * rest)
    times, distances = zip(first, *before, *after, last, strict=True)
    return Timetable(times, distances)


def _tree_picture(rng: np.random.Generator, density: float) -> Picture:
    bare, radius = rng.uniform(2.3, 2.9), rng.uniform(1.4, 1.9)
    wide, tall = math.ceil(2.8 * radius * density) + 8, math.ceil((bare + 2.4 * radius) * density) + 8
    canvas = np.zeros((tall + 6, wide, 4), np.float32)
    foot = (wide / 2, float(tall))
    thick = max(round(rng.uniform(0.26, 0.38) * density), 2)
    trunk = bark(rng, math.ceil((bare + 0.9) * density), thick, 0.6, SOFTEN)
    _place(canvas, trunk, (foot[0] - trunk.shape[1] / 2, foot[1] - trunk.shape[0] + 2), 0.0)
    colour = np.array([42, 96, 74], np.float32) * rng.uniform(0.75, 1.2) + rng.uniform(-14, 14, 3)
    width = max(math.ceil(1.7 * density), 6)
    leaves = [foliage(rng, width, colour * tone, SOFTEN) for tone in (0.72, 0.9, 1.05, 1.2)]
    crown = (foot[0], foot[1] - (bare + radius * 0.9) * density)
    clumps = []
    count = 18
    for nth in range(count):
        turn, far = nth * 2.4, radius * math.sqrt((nth + 0.5) / count)  # sunflower spiral: evenly filled
        up = -far * math.sin(turn) * 0.85
        lit = int(np.clip(1.5 - 1.6 * up / radius + rng.uniform(-0.9, 0.9), 0, 3))
        clumps.append((lit, crown[0] + far * math.cos(turn) * density, crown[1] + up * density))
    for lit, x, y in sorted(clumps):
        half = leaves[lit].shape[0] / 2
        _place(canvas, leaves[lit], (x - half, y - half), rng.uniform(-0.7, 0.7))
    canvas[..., 3] *= 255
    return cropped(canvas, foot)


def _place(canvas: Array, sprite: Array, corner: tuple[float, float], angle: float) -> None:
    """Lay a sprite over the canvas, turned about its middle."""
    h, w = sprite.shape[:2]
    matrix = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), math.degrees(angle), 1.0)
    matrix[:, 2] += corner
    layer = cv2.warpAffine(sprite, matrix, canvas.shape[1::-1], flags=cv2.INTER_LINEAR)
    canvas *= 1 - layer[..., 3:]
    canvas += layer


Bar = tuple[tuple[float, float], tuple[float, float], tuple[float, float, float]]
"""Lower left and upper right corner in metres, and the colour."""


def _of_bars(width: float, height: float, density: float, bars: list[Bar]) -> Picture:
    shape = (math.ceil(height * density) + 1, math.ceil(width * density) + 1)
    image, alpha = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)
    for (x0, y0), (x1, y1), colour in bars:
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        points = np.array([[x * density, shape[0] - 1 - y * density] for x, y in corners])
        fixed = [np.rint(points * 16).astype(np.int32)]
        cv2.fillPoly(image, fixed, colour, cv2.LINE_AA, 4)
        cv2.fillPoly(alpha, fixed, 255.0, cv2.LINE_AA, 4)
    sprite = sprite_from(image, alpha / np.float32(255), SOFTEN)
    sprite[..., 3] *= 255
    rim = (sprite.shape[0] - shape[0]) / 2
    return cropped(sprite, (sprite.shape[1] / 2, sprite.shape[0] - 1 - rim))


def _lamp_post(_rng: np.random.Generator, density: float) -> Picture:
    tone = (58.0, 60.0, 56.0)
    return _of_bars(1.8, 5.1, density, [
        ((0.83, 0), (0.97, 5.0), tone), ((0.86, 0), (0.89, 5.0), (92.0, 96.0, 92.0)),
        ((0.76, 0), (1.04, 0.7), tone), ((0.2, 4.9), (0.97, 5.0), tone),
        ((0.1, 4.75), (0.65, 4.92), (200.0, 206.0, 208.0)),
    ])  # fmt: skip


def _traffic_light(_rng: np.random.Generator, density: float) -> Picture:
    return _of_bars(0.5, 3.4, density, [
        ((0.2, 0), (0.3, 2.6), (70.0, 72.0, 70.0)), ((0.08, 2.4), (0.42, 3.35), (34.0, 36.0, 34.0)),
        ((0.15, 3.08), (0.35, 3.28), (60.0, 60.0, 170.0)), ((0.15, 2.78), (0.35, 2.98), (40.0, 90.0, 110.0)),
        ((0.15, 2.48), (0.35, 2.68), (60.0, 110.0, 40.0)),
    ])  # fmt: skip


def _bench(rng: np.random.Generator, density: float) -> Picture:
    """Beside a litter bin."""
    b, g, r = (np.array([60, 92, 128]) * rng.uniform(0.7, 1.1)).tolist()
    bars: list[Bar] = [
        ((0.1, low), (1.8, high), (b, g, r)) for low, high in ((0.42, 0.5), (0.6, 0.7), (0.76, 0.86))
    ]
    bars += [((foot, 0), (foot + 0.08, 0.84), (48.0, 48.0, 46.0)) for foot in (0.2, 1.6)]
    bars += [
        ((2.2, 0), (2.75, 0.95), (60.0, 84.0, 58.0)), ((2.2, 0), (2.35, 0.95), (84.0, 108.0, 82.0)),
        ((2.15, 0.9), (2.8, 1.02), (40.0, 52.0, 40.0)),
    ]  # fmt: skip
    return _of_bars(2.9, 1.1, density, bars)
