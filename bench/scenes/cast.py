"""Who and what moves through a training scene, and when."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from bench.scenes.actors.people import Picture
from bench.scenes.actors.sprites import Actor, sprite_of
from bench.scenes.bank import PictureBank
from bench.scenes.mix import PAST_S, Mix
from bench.scenes.motion import FOREVER, Timetable, timetable, zigzag
from bench.scenes.mover import Costume, Mover
from bench.scenes.place.painter import Painter, View
from bench.scenes.textures import noise
from edgebs.tensors import Array


class Director:
    """Chooses the cast of one scene."""

    def __init__(
        self,
        rng: np.random.Generator,
        bank: PictureBank,
        view: View,
        area: tuple[int, int, int],
        mix: Mix,
        fps: float,
        painter: Painter,
        plate: Array,
        words: set[str],
    ) -> None:
        """area: (margin, height, width) of the picture in the plate; words: what occurs is added to them."""
        self.rng, self.bank, self.view, self.mix, self.fps = rng, bank, view, mix, fps
        self.margin, self.h, self.w = area
        self.painter, self.plate, self.conditions = painter, plate, words

    def cast(self) -> list[Mover]:
        """All movers of the scene."""
        rng, mix = self.rng, self.mix
        movers: list[Mover] = []
        if rng.random() < mix.empty:
            self.conditions.add("empty")
            return self._past(movers, 0.0) if rng.random() < 0.5 else movers
        for _ in range(int(rng.choice(6, p=mix.count)) + 1):
            movers += self._one()
        if rng.random() < mix.removed:
            movers += self._removed()
        if rng.random() < mix.abandoned:
            movers += self._abandoned()
        return self._past(movers, 6.0)

    def _past(self, movers: list[Mover], until: float) -> list[Mover]:
        """Add those who only went by during the last minute."""
        busy = self.rng.random()
        count = (
            0 if busy < 0.35 else int(self.rng.integers(1, 5) if busy < 0.75 else self.rng.integers(5, 16))
        )
        for _ in range(count):
            mover = self._passer(self.rng.uniform(-PAST_S, min(0.0, until)))
            if until <= 0:
                first, last = mover.window
                mover.window = (first, min(last, -1.0))
            movers.append(mover)
        return movers

    def _one(self) -> list[Mover]:
        share = self.rng.random()
        if share < self.mix.standing:
            return [self._stander()]
        if share < self.mix.standing + self.mix.group:
            return self._group()
        if share < self.mix.standing + self.mix.group + self.mix.wandering:
            return [self._wanderer()]
        mover = self._passer(self.rng.uniform(-1.0, 6.0))
        if mover.actor.kind == "person" and self.rng.random() < self.mix.carrying:
            self.conditions.add("carrying")
            return [mover, self._luggage(mover, -FOREVER, FOREVER, -FOREVER)]
        return [mover]

    # --- what it is

    def _actor(self) -> Actor:
        kind = str(self.rng.choice(_KINDS, p=_KIND_SHARES))
        if kind == "blob":
            return self._blob()
        actors = self.bank.actors[kind]
        return actors[int(self.rng.integers(0, len(actors)))]

    def _person(self) -> Actor:
        people = self.bank.actors["person"]
        return people[int(self.rng.integers(0, len(people)))]

    def _blob(self) -> Actor:
        """A random shape with a random texture: 64 pixels, one metre."""
        rng = self.rng
        side = 64
        turns = np.linspace(0, 2 * math.pi, 40, endpoint=False)
        far = np.ones(40)
        for n in range(1, 6):
            far += rng.uniform(-0.6, 0.6) / n * np.sin(n * turns + rng.uniform(0, 6.3))
        far = np.clip(far, 0.15, None) / far.max() * (side / 2 - 3)
        stretch = rng.uniform(0.45, 1.0)
        points = np.stack([np.cos(turns) * far * stretch, np.sin(turns) * far], axis=1) + side / 2
        alpha = np.zeros((side, side), np.uint8)
        if rng.random() < 0.25:
            grain = noise(rng, side, side, rng.uniform(12, 40), 3) - np.hypot(
                *np.mgrid[-1.2:1.2:64j, -1.2:1.2:64j]
            )
            alpha = np.asarray(np.clip((grain + rng.uniform(0.5, 0.9)) * 600, 0, 255), np.float64).astype(
                np.uint8
            )
        if np.count_nonzero(alpha > 127) < 50:
            alpha[:] = 0
            cv2.fillPoly(alpha, [np.rint(points * 16).astype(np.int32)], 255.0, cv2.LINE_AA, 4)
        p = self.painter
        colour = (
            p.photo(side, side)
            if rng.random() < 0.4
            else p.surface(side, side, p.tone(), rng.uniform(0, 1.5))
        )
        weight = cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR)
        pixels = np.dstack([cv2.multiply(colour, weight, scale=1 / 255), alpha])
        sprite = sprite_of(Picture(pixels, (side / 2, float(np.flatnonzero(alpha.max(axis=1) > 127)[-1]))))
        return Actor("blob", float(side), 1.0, {"walk": (sprite,)})

    def _costume(self, actor: Actor) -> Costume:
        rng = self.rng
        if "thermal" in self.conditions:
            return self._warm(actor)
        texture = None
        if rng.random() < self.mix.camouflage:
            self.conditions.add("camouflage")
            texture = self._plate_piece()
        elif rng.random() < 0.12:
            texture = self.painter.photo(48, 48)
        gain = rng.uniform(0.55, 1.35)
        grey = np.full((3, 3), 1 / 3)
        vivid = rng.uniform(0.2, 1.2)
        turn = _hue(rng.uniform(-math.pi, math.pi) if actor.kind != "person" and texture is None else 0.0)
        colours = gain * (vivid * turn + (1 - vivid) * grey)
        if texture is not None:
            colours = np.eye(3) * rng.uniform(0.9, 1.1)
        matrix = np.eye(4, dtype=np.float32)
        matrix[:3, :3] = colours
        matrix[:3, 3] = rng.uniform(-6, 40) / 255 * (0.3 if texture is not None else 1.0)
        return Costume(matrix, texture)

    def _warm(self, actor: Actor) -> Costume:
        """Bodies of one temperature: bright, or dark where the camera shows heat as black."""
        rng = self.rng
        bright = rng.uniform(0.55, 1.0) if rng.random() < 0.8 else rng.uniform(0.0, 0.25)
        if actor.kind in ("vehicle", "thing", "blob"):
            bright = rng.uniform(0.1, 0.9)
        matrix = np.zeros((4, 4), np.float32)
        matrix[:3, :3] = rng.uniform(0.05, 0.3) / 3
        matrix[:3, 3] = bright * 0.8
        matrix[3, 3] = 1
        return Costume(matrix)

    def _plate_piece(self) -> Array:
        h, w = self.plate.shape[:2]
        part = int(self.rng.uniform(0.15, 0.5) * min(h, w))
        y, x = self.rng.integers(0, h - part + 1), self.rng.integers(0, w - part + 1)
        return np.ascontiguousarray(self.plate[y : y + part, x : x + part, :3])

    def actor(self, kind: str) -> Actor:
        """A random actor of that kind, `blob` included."""
        if kind == "blob":
            return self._blob()
        actors = self.bank.actors[kind]
        return actors[int(self.rng.integers(0, len(actors)))]

    def mover_at(self, actor: Actor, place: tuple[float, float], metre: float, table: Timetable) -> Mover:
        """A mover of that size, at `place` at distance 0, dressed and headed at random, seen all the time."""
        return Mover(
            actor, self._costume(actor), table, place, self._heading(actor), None, metre, sway=self._sway()
        )

    # --- where it goes

    def _speed(self, size: float) -> float:
        """Pixels per second; a frame moves an object by less than its half."""
        a_frame = float(np.exp(self.rng.uniform(math.log(0.1), math.log(8.0))))
        return min(a_frame, max(0.5 * size, 1.5)) * self.fps

    def _stage(self, actor: Actor) -> tuple[tuple[float, float], float, View | None]:
        """A place inside the picture, pixels per metre there, and the ground if the object obeys it."""
        rng, m = self.rng, self.margin
        x = m + rng.uniform(0.05, 0.95) * self.w
        # Nothing is much larger than the picture: a car that fills all of it teaches nothing.
        widest = max(sprite.mips[0].shape[1] for sprite in actor.poses["walk"]) / actor.density
        tallest = min(1.25 * self.h / actor.height, 1.1 * self.w / widest)
        if rng.random() < self.mix.in_perspective:
            y = m + rng.uniform(max(0.15, (self.view.horizon - m) / self.h + 0.08), 1.0) * self.h
            metre = min(max(self.view.metre(y), 4.0 / actor.height), tallest)
            size = metre * actor.height
            if size > 0.5 * self.h:  # a near one: the feet may be below the picture
                y += rng.uniform(0.0, 0.6) * size
            return (x, y), metre, self.view
        size = float(np.exp(rng.uniform(math.log(4), math.log(1.2 * self.h))))
        metre = min(size / actor.height, tallest)
        y = m + rng.uniform(0.05, 0.95) * self.h + 0.5 * metre * actor.height
        return (x, y), metre, None

    def _heading(self, actor: Actor) -> tuple[float, float]:
        rng = self.rng
        if actor.kind == "vehicle" and "front" in actor.poses:  # seen from the front: comes or goes
            angle = rng.choice([-1.0, 1.0]) * rng.uniform(1.0, math.pi / 2)
        elif rng.random() < 0.75 or actor.kind in ("bicycle", "vehicle"):
            angle = rng.normal(0.0, 0.15)
        else:
            angle = rng.uniform(-1.5, 1.5)
        right = 1.0 if rng.random() < 0.5 else -1.0
        return right * math.cos(angle), math.sin(angle)

    def _sway(self) -> tuple[float, float, float]:
        rng = self.rng
        size = 0.0 if rng.random() < 0.3 else float(np.exp(rng.uniform(math.log(0.004), math.log(0.04))))
        return size, rng.uniform(0.4, 2.5), rng.uniform(0, 100)

    def _mover(self, actor: Actor, stops: Sequence[tuple[float, float]], t0: float) -> Mover:
        """A mover that is at a place inside the picture at its last stop, or else at `t0`."""
        place, metre, view = self._stage(actor)
        heading = self._heading(actor)
        speed = self._speed(actor.height * metre)
        table = timetable(speed, stops)
        if not stops:
            away = table.at(t0)[0]
            table = Timetable(table.times, tuple(d - away for d in table.distances))
        mover = Mover(actor, self._costume(actor), table, place, heading, view, metre, sway=self._sway())
        mover.is_floating = actor.kind == "blob" and self.rng.random() < 0.4
        if actor.kind in ("person", "animal", "blob") and self.rng.random() < 0.3:
            way = float(np.exp(self.rng.uniform(math.log(0.5), math.log(4.0)))) * actor.height * metre
            mover.weave = (self.rng.uniform(0.02, 0.15) * actor.height * metre, way)
        if not stops:
            longest = max(sprite.mips[0].shape[1] for sprite in actor.poses["walk"]) / actor.density * metre
            reach = (1.5 * max(self.h, self.w) + longest) / speed
            mover.window = (t0 - reach, t0 + reach)
        return mover

    def _passer(self, t0: float) -> Mover:
        """One that goes through the picture; some pause on the way."""
        rng = self.rng
        if rng.random() < 0.2:
            start = t0 + rng.uniform(-2, 2)
            self.conditions.add("stop and go")
            return self._mover(self._actor(), [(start, start + float(np.exp(rng.uniform(-1.0, 3.0))))], t0)
        return self._mover(self._actor(), (), t0)

    def _stander(self) -> Mover:
        """One that came in up to a minute ago, stopped, and may go on during the real-time part."""
        rng = self.rng
        actor = self._person() if rng.random() < 0.6 else self._actor()
        came = -FOREVER
        if rng.random() < 0.85 or actor.kind not in ("person", "animal"):
            came = -float(np.exp(rng.uniform(math.log(0.5), math.log(PAST_S - 2))))
        goes = rng.uniform(max(came, -12.0) + 0.3, 6.0) if rng.random() < 0.45 else FOREVER
        mover = self._mover(actor, [(max(came, -FOREVER / 2), goes)], 0.0)
        mover.sits = actor.kind == "person" and rng.random() < 0.3
        self.conditions.add("sitting" if mover.sits else "standing")
        return mover

    def _wanderer(self) -> Mover:
        """One that goes to and fro inside the picture: a child, a dog, a guard."""
        rng = self.rng
        mover = self._mover(self._actor(), (), 0.0)
        speed = min(abs(mover.table.at(0.0)[1]), 2.0 * self.fps)
        leg = rng.uniform(0.1, 0.6) * self.w / speed
        mover.table = zigzag(speed, min(max(leg, 0.5), 40.0), rng.uniform(0.0, 10.0))
        mover.window = (-FOREVER, FOREVER)
        self.conditions.add("wandering")
        return mover

    def _group(self) -> list[Mover]:
        """Two to four people close together."""
        first = self._mover(self._person(), (), self.rng.uniform(-1.0, 6.0))
        group = [first]
        for _ in range(int(self.rng.integers(1, 4))):
            actor = self._person()
            dx, dy = self.rng.uniform(-0.9, 0.9) * first.metre, self.rng.uniform(-0.25, 0.25) * first.metre
            place = (first.place[0] + dx, first.place[1] + dy)
            group.append(Mover(actor, self._costume(actor), first.table, place, first.heading, first.view,
                               first.metre, window=first.window, sway=self._sway()))  # fmt: skip
        self.conditions.add("group")
        return group

    def _removed(self) -> list[Mover]:
        """What stood there all the time drives off or is taken away: the place it leaves is empty."""
        rng = self.rng
        self.conditions.add("removed")
        leaves = rng.uniform(-30.0, 4.0)
        if rng.random() < 0.6:
            actors = self.bank.actors["vehicle" if rng.random() < 0.75 else "thing"]
            actor = actors[int(rng.integers(0, len(actors)))]
            mover = self._mover(actor, [(-FOREVER / 2, leaves)], 0.0)
            mover.foreground_from = leaves
            mover.sway = (0.0, 1.0, 0.0)
            # What stands there for a minute is seen as scenery: not the whole picture.
            mover.metre = min(mover.metre, 0.6 * self.h / actor.height)
            return [mover]
        owner = self._mover(self._person(), [(leaves - rng.uniform(0.3, 2.0), leaves)], 0.0)
        return [owner, self._luggage(owner, leaves, FOREVER, leaves)]

    def _abandoned(self) -> list[Mover]:
        """Luggage carried in and left behind; its owner walks away."""
        rng = self.rng
        self.conditions.add("abandoned")
        drop = (
            -float(np.exp(rng.uniform(math.log(0.5), math.log(50.0))))
            if rng.random() < 0.8
            else rng.uniform(0, 3)
        )
        owner = self._mover(
            self._person(), [(drop - rng.uniform(0.2, 1.0), drop + rng.uniform(0.2, 4.0))], 0.0
        )
        return [owner, self._luggage(owner, -FOREVER, drop, -FOREVER)]

    def _luggage(self, owner: Mover, since: float, until: float, foreground_from: float) -> Mover:
        things = self.bank.actors["thing"]
        actor = things[int(self.rng.integers(0, len(things)))]
        offset = (self.rng.choice([-1.0, 1.0]) * self.rng.uniform(0.25, 0.6), self.rng.uniform(0.0, 0.4))
        mover = Mover(actor, self._costume(actor), owner.table, owner.place, owner.heading, owner.view,
                      self.rng.uniform(0.8, 1.6), carried=(owner, since, until), offset=offset)  # fmt: skip
        mover.foreground_from = foreground_from
        return mover


_KINDS = ("person", "vehicle", "bicycle", "animal", "thing", "blob")
_KIND_SHARES = (0.44, 0.20, 0.05, 0.07, 0.04, 0.20)


def _hue(angle: float) -> Array:
    """The (3, 3) rotation of colours round grey."""
    c, s = math.cos(angle), math.sin(angle)
    third, root = (1 - c) / 3, math.sqrt(1 / 3) * s
    a, b, d = c + third, third - root, third + root
    return np.array([[a, b, d], [d, a, b], [b, d, a]])
