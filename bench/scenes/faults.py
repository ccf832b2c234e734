"""What networks were found to be worst at: large slow objects, traffic in a low sun, water, gloss.

They draw random numbers of their own, so that scenes without them stay what they are.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from bench.scenes.actors.people import Picture
from bench.scenes.actors.sprites import Actor, sprite_of
from bench.scenes.air.shadow import Mirror, Shadow, glossy_floor, hard_shadow
from bench.scenes.air.weather import Weather, standing_shade
from bench.scenes.bank import PictureBank
from bench.scenes.cast import Director
from bench.scenes.mix import PAST_S, Mix
from bench.scenes.motion import FOREVER, Timetable, timetable, zigzag
from bench.scenes.mover import Costume, Mover
from bench.scenes.place.nature import Restless, random_surf, random_water
from bench.scenes.place.painter import Plate


class Faults:
    """Which of these ingredients one scene has."""

    def __init__(self, rng: np.random.Generator, mix: Mix, words: set[str]) -> None:
        """rng: of its own. words: what occurs is added to them; `thermal` stands there already."""
        self.rng, self.mix, self.words = rng, mix, words
        chance = rng.random(6)
        self.has_giant = bool(chance[0] < mix.giant)
        self.has_traffic = bool(chance[1] < mix.traffic)
        self.has_water = bool(chance[2] < mix.water)
        self.is_glossy = bool(chance[3] < mix.glossy) and not self.has_water
        self.is_dappled = bool(chance[4] < mix.dappled) and "thermal" not in words
        self.is_photo = bool(chance[5] < mix.photo)
        found = {
            "giant": self.has_giant,
            "traffic": self.has_traffic,
            "water": self.has_water,
            "glossy": self.is_glossy,
            "dappled": self.is_dappled,
        }
        words.update(word for word, occurs in found.items() if occurs)

    @property
    def layout(self) -> str:
        """Of the plate; "" for any."""
        if self.has_water:
            return "shore"
        if self.is_photo:
            return "photo"
        if self.has_traffic:
            return "street" if self.rng.random() < 0.7 else "overhead"
        return "room" if self.is_glossy and self.rng.random() < 0.6 else ""

    def restless(self, bank: PictureBank, plate: Plate) -> list[Restless]:
        """Waves and surf of a scene with water."""
        if not self.has_water:
            return []
        found: list[Restless] = []
        wave = random_water(self.rng, bank, plate) if self.rng.random() < 0.85 else None
        surf = random_surf(self.rng, bank, plate) if self.rng.random() < 0.5 else None
        return found + [region for region in (wave, surf) if region is not None]

    def shadow(self, shadow: Shadow | None) -> Shadow | None:
        """That of the scene, or a hard one where there is traffic."""
        if "thermal" in self.words or not (self.has_traffic or self.is_dappled):
            return shadow
        self.words.discard("contact shadows")
        self.words.add("shadows")
        return hard_shadow(self.rng, self.has_traffic)

    def mirror(self, mirror: Mirror | None) -> Mirror | None:
        """That of the scene, or a glossy floor."""
        return glossy_floor(self.rng) if self.is_glossy else mirror

    def shade(self, bank: PictureBank, size: tuple[int, int]) -> list[Weather]:
        """Shade that stays."""
        return [standing_shade(self.rng, bank, size)] if self.is_dappled else []

    def cast(self, director: Director, movers: list[Mover]) -> None:
        """Add to the movers of a scene, and dress some as bright as the ground."""
        if "empty" in self.words:
            return
        if self.has_traffic:
            movers += self._traffic(director)
        if self.has_water:
            for _ in range(int(self.rng.integers(1, 4))):
                movers += self._boat(director)
        if self.has_giant:
            movers += self._giants(director)
        for mover in movers:
            if mover.actor.kind != "wake" and self.rng.random() < self.mix.matched:
                self.words.add("matched")
                self._match(director, mover)

    # --- who is large and slow

    def _giants(self, director: Director) -> list[Mover]:
        rng = self.rng
        if rng.random() < 0.45:  # people before the camera, who hardly leave their place
            count = int(rng.integers(1, 4))
            return [self._near(director) for _ in range(count)]
        kind = str(rng.choice(["boat", "vehicle", "vehicle", "blob"]))
        actor = director.actor(kind)
        wide = rng.uniform(0.25, 0.75) * director.w
        place = (
            director.margin + rng.uniform(0.1, 0.9) * director.w,
            director.margin + rng.uniform(0.45, 1.0) * director.h,
        )
        return [self._slow(director, actor, place, _metre_of(actor, wide))]

    def _near(self, director: Director) -> Mover:
        """A person half a picture high or more, who sways, or goes some steps to and fro."""
        rng = self.rng
        actor = director.actor("person")
        high = rng.uniform(0.5, 1.6) * director.h
        metre = high / actor.height
        x = director.margin + rng.uniform(0.05, 0.95) * director.w
        foot = director.margin + min(rng.uniform(0.8, 1.2) * director.h, 0.15 * director.h + high)
        if rng.random() < 0.5:
            return self._slow(director, actor, (x, foot), metre)
        mover = director.mover_at(actor, (x, foot), metre, timetable(1.0, [(-FOREVER / 2, FOREVER)]))
        speed = float(np.exp(rng.uniform(math.log(0.1), math.log(2.0)))) * director.fps
        leg = rng.uniform(0.02, 0.3) * director.w / speed
        mover.table = zigzag(speed, min(max(leg, 0.4), 30.0), rng.uniform(0.0, 10.0))
        return mover

    def _slow(self, director: Director, actor: Actor, place: tuple[float, float], metre: float) -> Mover:
        """Moves by less than half a pixel a frame, stops, or came in and stays."""
        rng = self.rng
        speed = float(np.exp(rng.uniform(math.log(0.02), math.log(0.6)))) * director.fps
        share = rng.random()
        if share < 0.45:
            table = timetable(speed, ())
        elif share < 0.75:
            came = -float(np.exp(rng.uniform(0.0, math.log(PAST_S - 2))))
            goes = rng.uniform(came, 8.0) if rng.random() < 0.5 else FOREVER
            table = timetable(max(speed, director.fps), [(came, max(goes, came + 0.3))])
        else:
            first = rng.uniform(-PAST_S, 0.0)
            stops = [(first, first + rng.uniform(1, 20)), (first + 25, first + 25 + rng.uniform(1, 20))]
            table = timetable(speed, stops)
        away = table.at(0.0)[0]
        table = Timetable(table.times, tuple(d - away for d in table.distances))
        return director.mover_at(actor, place, metre, table)

    def _boat(self, director: Director) -> list[Mover]:
        """A boat, and mostly its wake, which is no foreground."""
        rng = self.rng
        actor = director.actor("boat")
        long = float(np.exp(rng.uniform(math.log(0.08), math.log(0.8)))) * director.w
        place = (
            director.margin + rng.uniform(0.0, 1.0) * director.w,
            director.margin + rng.uniform(0.35, 0.95) * director.h,
        )
        mover = self._slow(director, actor, place, _metre_of(actor, long))
        mover.is_floating = True
        # It rocks by some thousandths of its height.
        mover.sway = (0.0, rng.uniform(0.4, 2.0), rng.uniform(0, 100))
        return [mover] if rng.random() < 0.3 else [self._wake(director, mover), mover]

    def _wake(self, director: Director, boat: Mover) -> Mover:
        """Foam that follows the boat. It is never foreground, and lies behind it."""
        rng = self.rng
        high, wide = 32, int(rng.integers(96, 320))
        v, u = rng.integers(0, 512 - high + 1), rng.integers(0, 512 - wide + 1)
        grain = director.bank.clouds[int(rng.integers(1, 4))][v : v + high, u : u + wide]
        along = np.linspace(0, 1, wide, dtype=np.float32)  # 1 at the boat
        across = np.linspace(-1, 1, high, dtype=np.float32)[:, None]
        spread = 1 - abs(across) / (0.35 + rng.uniform(0.0, 0.6) * (1 - along))
        dense = np.clip(spread, 0, 1) * along ** rng.uniform(0.3, 1.5) * (1 + 1.2 * grain)
        alpha = np.rint(255 * np.clip(dense * rng.uniform(0.4, 1.3), 0, 1)).astype(np.uint8)
        tone = rng.uniform(150, 255)
        colour = cv2.convertScaleAbs(cv2.merge([alpha] * 3), alpha=tone / 255)
        pixels = np.dstack([colour, alpha])
        sprite = sprite_of(Picture(pixels, (wide - 1.0, high / 2)))
        long = boat.actor.poses["walk"][0].mips[0].shape[1] / boat.actor.density * boat.metre
        actor = Actor("wake", wide / (long * rng.uniform(0.7, 3.0)), 1.0, {"walk": (sprite,)})
        # A little above the boat's foot, so that it hides no part of it.
        place = (boat.place[0], boat.place[1] - 0.01)
        plain = Costume(np.eye(4, dtype=np.float32))
        wake = Mover(actor, plain, boat.table, place, boat.heading, None, 1.0, sway=boat.sway)
        wake.foreground_from, wake.is_floating = FOREVER, True
        return wake

    # --- traffic

    def _traffic(self, director: Director) -> list[Mover]:
        """Vehicles on one to three lanes, most of them moving, some waiting in line."""
        rng = self.rng
        lanes = np.sort(rng.uniform(0.3, 0.98, int(rng.integers(1, 4)))) * director.h + director.margin
        slant = rng.normal(0.0, 0.2)
        speed = float(np.exp(rng.uniform(math.log(0.4), math.log(6.0)))) * director.fps
        waits = rng.random() < 0.3
        # From cars of some pixels, on a road far below, to those that fill a third of the picture.
        far = float(np.exp(rng.uniform(math.log(0.03), math.log(0.4))))
        vehicles = []
        for _ in range(int(rng.integers(2, 8))):
            lane = int(rng.integers(0, len(lanes)))
            actor = director.actor("vehicle")
            widest = far * director.w
            metre = min(max(director.view.metre(float(lanes[lane])), 2.0), _metre_of(actor, widest))
            mover = director.mover_at(
                actor,
                (director.margin + rng.uniform(-0.6, 1.6) * director.w, float(lanes[lane])),
                metre,
                timetable(speed * rng.uniform(0.8, 1.2), _stop(rng) if waits else ()),
            )
            side = 1.0 if lane % 2 else -1.0
            mover.heading = (side * math.cos(slant), math.sin(slant))
            if not waits:
                away = mover.table.at(rng.uniform(-2.0, 6.0))[0]
                mover.table = Timetable(mover.table.times, tuple(d - away for d in mover.table.distances))
            vehicles.append(mover)
        return vehicles

    # --- who is as bright as the ground

    def _match(self, director: Director, mover: Mover) -> None:
        """Give the mover the mean colour of the ground behind it, with its own shades made weaker."""
        picture = mover.actor.poses["walk"][0].mips[-1].reshape(-1, 4).astype(np.float32)
        own = picture[:, :3].sum(axis=0) / max(float(picture[:, 3].sum()), 1.0)
        h, w = director.plate.shape[:2]
        high = 0.5 * mover.actor.height * mover.metre
        x, y = (
            int(np.clip(v, 0, side - 1))
            for v, side in zip((mover.place[0], mover.place[1] - high), (w, h), strict=True)
        )
        box = director.plate[max(y - 6, 0) : y + 6, max(x - 6, 0) : x + 6, :3]
        ground = np.array(cv2.mean(box)[:3], np.float32) / 255
        share = self.rng.uniform(0.2, 0.8)
        matrix = np.eye(4, dtype=np.float32)
        matrix[:3, :3] *= share
        off = self.rng.normal(0, 8) / 255 + self.rng.normal(0, 4, 3) / 255
        matrix[:3, 3] = ground - share * own + off
        mover.costume = Costume(matrix)


def _metre_of(actor: Actor, wide: float) -> float:
    """Pixels per metre at which the actor is `wide` pixels wide."""
    return float(wide * actor.density / actor.poses["walk"][0].mips[0].shape[1])


def _stop(rng: np.random.Generator) -> list[tuple[float, float]]:
    start = rng.uniform(-40.0, 2.0)
    return [(start, start + float(np.exp(rng.uniform(0.0, 3.5))))]
