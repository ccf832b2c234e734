"""Rendered scenes for training: anything that may move before any background, with exact labels.

A scene is a closed form of time: any instant, from a minute ago to six seconds ahead, can be rendered alone.

    python -m bench.scenes.sheet --sheet OUT.png --seed 0
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from bench.scenes.air.camera import random_camera, random_light, random_sensor
from bench.scenes.air.shadow import random_lamps, random_mirror, random_shadow
from bench.scenes.air.weather import random_weather
from bench.scenes.bank import PictureBank
from bench.scenes.cast import Director
from bench.scenes.compose import FOREGROUND, Composed, Composer
from bench.scenes.faults import Faults
from bench.scenes.flow import flow_between
from bench.scenes.mix import AHEAD_S, PAST_S, Mix
from bench.scenes.place.nature import Restless, random_belt, random_screen, random_spray, random_wave
from bench.scenes.place.painter import Painter, Plate
from bench.scenes.place.plate import make_plate, random_view
from bench.scenes.street import Avenue, random_avenue
from edgebs.tensors import Array, Frame

__all__ = ["FOREGROUND", "Mix", "PictureBank", "Scene", "SceneFrame"]


@dataclass(frozen=True, slots=True)
class SceneFrame:
    """One rendered instant. The arrays belong to the caller."""

    image: Frame
    """(h, w, 3) uint8 BGR, everything included."""
    labels: Array
    """(h, w) uint8: 0 background, 50 cast shadow, 170 unknown (a blurred boundary), 255 foreground."""
    background: Frame
    """(h, w, 3) uint8 BGR: the same instant without foreground, its shadows, rain, snow and noise."""


class Scene:
    """A scene of random kind. The same seed, size, mix and bank give the same bytes in any process."""

    def __init__(
        self, seed: int | tuple[int, ...], size: tuple[int, int], bank: PictureBank, mix: Mix | None = None
    ) -> None:
        """Choose and draw everything that does not depend on time, some 3 ms for 128x128.

        seed: one or more non-negative integers; size: (h, w), each at least 32. Raises ValueError otherwise.
        """
        self.seed = (seed,) if isinstance(seed, int) else tuple(seed)
        if not self.seed or min(self.seed) < 0:
            raise ValueError(f"the seed of a scene is one or more integers of at least 0, got {seed}")
        if len(size) != 2 or min(size) < 32:
            raise ValueError(f"a scene is (height, width), each at least 32 pixels, got {size}")
        self.size, self.mix = size, mix or Mix()
        mix = self.mix
        words: set[str] = set()
        rng = np.random.default_rng((*self.seed, 0x5CE7E))
        self.fps = _random_fps(rng, mix, words)
        kind = rng.random()
        if kind < mix.thermal + mix.night:
            words.add("thermal" if kind < mix.thermal else "night")
        camera = random_camera(rng, self.seed, size, mix, words)
        area = (size[0] + 2 * camera.margin, size[1] + 2 * camera.margin)
        view = random_view(rng, area)
        avenue = self._random_avenue(bank, camera.margin)
        # Random numbers of their own: without these ingredients scenes are what they always were.
        faults = Faults(np.random.default_rng((*self.seed, 0xFA17)), mix, words)
        plate = make_plate(rng, bank, area, view, faults.layout) if avenue is None else avenue.plate
        painter = Painter(rng, bank, area)
        if "thermal" in words:
            plate.image[..., :3] = _thermal(rng, plate.image[..., :3])
        restless = self._random_restless(rng, bank, painter, plate, words)
        restless += faults.restless(bank, plate)
        director = Director(
            rng, bank, view, (camera.margin, *size), mix, self.fps, painter, plate.image, words
        )
        if avenue is None:
            self._movers = director.cast()
            faults.cast(director, self._movers)
        else:
            self._movers = avenue.cast(np.random.default_rng((*self.seed, 0xCA57)))
        self._composer = Composer(
            size=size,
            plate=plate,
            camera=camera,
            movers=self._movers,
            restless=restless,
            shadow=faults.shadow(random_shadow(rng, mix, words)),
            mirror=faults.mirror(random_mirror(rng, size, mix, words)),
            exposure_s=rng.uniform(0.15, 0.8) / self.fps if rng.random() < mix.blur else 0.0,
        )
        self._light = random_light(rng, mix, words)
        self._lamps = random_lamps(rng, area, plate.lamps) if "night" in words else None
        self._over_all, self._before_lens = random_weather(rng, bank, self.seed, size, mix, words)
        self._over_all += faults.shade(bank, size)
        self._sensor = random_sensor(rng, bank, self.seed, size, mix, words)
        self._is_interlaced = bool(rng.random() < mix.interlaced)
        self._repeated = self._random_stutter(rng, words)
        if self._is_interlaced:
            words.add("interlaced")
        self.conditions = frozenset(words)

    def _random_avenue(self, bank: PictureBank, margin: int) -> Avenue | None:
        rng = np.random.default_rng((*self.seed, 0x57EE7))
        return random_avenue(rng, bank, self.size, margin) if rng.random() < self.mix.street else None

    def _random_restless(
        self, rng: np.random.Generator, bank: PictureBank, painter: Painter, plate: Plate, words: set[str]
    ) -> list[Restless]:
        found: list[Restless] = []
        chance = rng.random(4)
        if chance[0] < self.mix.waving:
            for _ in range(2 if rng.random() < 0.25 else 1):
                wave = random_wave(rng, bank, painter, plate)
                if wave is not None:
                    words.add("waving")
                    found.append(wave)
        if chance[1] < self.mix.flicker:
            words.add("flicker")
            found.append(random_screen(rng, painter, plate, self.seed))
        if chance[2] < self.mix.spray:
            words.add("spray")
            found.append(random_spray(rng, bank, plate, self.seed))
        if chance[3] < self.mix.belt:
            words.add("belt")
            found.append(random_belt(rng, painter, plate))
        return found

    def _random_stutter(self, rng: np.random.Generator, words: set[str]) -> Array:
        """(frames,) bool: which frames of the real-time part repeat the one before."""
        frames = math.ceil(AHEAD_S * self.fps) + 2
        repeated = rng.random(frames) < rng.uniform(0.03, 0.3)
        if rng.random() >= self.mix.stutter:
            return np.zeros(frames, np.bool_)
        words.add("stutter")
        repeated[0] = False
        return np.asarray(repeated)

    def came_to_stay(self) -> list[float]:
        """When, in seconds and below 0, those came to rest who stand, sit or lie in the scene at 0."""
        came = (mover.still_since(0.0) for mover in self._movers)
        return [seconds for seconds in came if -PAST_S < seconds < 0]

    def frame(self, seconds: float, since: float | None = None) -> SceneFrame:
        """The instant `seconds` of the real-time part, whose start is 0; ValueError outside -60 to 6.

        since: begin of the observation. Labels hold what an observer can know: what has not moved since is
        background (unknown, where it is a person or an animal), and unknown what stood for nearly all of the
        time. None: the labels say what is true.
        """
        if not -PAST_S <= seconds <= AHEAD_S:
            raise ValueError(f"a scene has the seconds -60 to 6, got {seconds}")
        seconds = self.shown(seconds)
        image, background, labels = self._seen(seconds, since)
        if self._is_interlaced:
            later = self._seen(seconds + 0.5 / self.fps, since)
            for whole, younger in zip((image, background, labels), later, strict=True):
                whole[1::2] = younger[1::2]
        return SceneFrame(self._sensor.expose(image, seconds), labels, background)

    def flow(self, s0: float, s1: float) -> tuple[Array, Array]:
        """Where what is seen at `s0` is at `s1`: (2, h, w) float32 in pixels, x first, and (h, w) bool.

        The second array is true where the point is inside the picture at `s1` and nothing hides it. Objects
        move as a whole: limbs that swing are called hidden. Shadows, mirror images, light and weather have no
        motion of their own. Raises ValueError outside -60 to 6.
        """
        for seconds in (s0, s1):
            if not -PAST_S <= seconds <= AHEAD_S:
                raise ValueError(f"a scene has the seconds -60 to 6, got {seconds}")
        s0, s1 = self.shown(s0), self.shown(s1)
        flow, visible = flow_between(self._composer, s0, s1)
        if self._is_interlaced:
            half = 0.5 / self.fps
            later = flow_between(self._composer, s0 + half, s1 + half)
            flow[:, 1::2], visible[1::2] = later[0][:, 1::2], later[1][1::2]
        return flow, visible

    def shown(self, seconds: float) -> float:
        """The time of what the camera shows at `seconds`: an earlier one where it repeats a frame."""
        nth = math.floor(seconds * self.fps + 1e-6)
        if nth <= 0 or not self._repeated[nth]:
            return seconds
        while self._repeated[nth]:
            nth -= 1
        return nth / self.fps

    def _seen(self, seconds: float, since: float | None) -> tuple[Array, Array, Array]:
        """(image, background, labels) before the sensor's noise."""
        composed = self._composer.at(seconds, since)
        h, w = self.size
        both = np.empty((2 * h, w, 3), np.uint8)
        cv2.cvtColor(composed.canvas, cv2.COLOR_BGRA2BGR, both[:h])
        cv2.cvtColor(composed.ground, cv2.COLOR_BGRA2BGR, both[h:])
        both = cv2.LUT(both, self._light.lut(seconds, self._gain(composed)))
        image, background = both[:h], both[h:]
        if self._lamps is not None:
            image, background = self._lit(image, background, composed, seconds)
        for weather in self._over_all:
            image, background = weather.over(image, seconds), weather.over(background, seconds)
        image, background = self._sensor.soften(image), self._sensor.soften(background)
        for weather in self._before_lens:
            image = weather.over(image, seconds)
        return image, np.ascontiguousarray(background), composed.labels

    def _gain(self, composed: Composed) -> float:
        """What automatic exposure makes of the objects in the picture."""
        if not self._light.response:
            return 1.0
        brighter = float(np.mean(cv2.mean(composed.canvas)[:3]) - np.mean(cv2.mean(composed.ground)[:3]))
        return max(1.0 - self._light.response * brighter / 128, 0.4)

    def _lit(self, image: Array, ground: Array, composed: Composed, seconds: float) -> tuple[Array, Array]:
        """With lamps and headlights."""
        assert self._lamps is not None
        if self._lamps.fixed is not None:
            matrix = np.array(self._composer.camera.matrix(seconds)).reshape(2, 3)
            glow = cv2.warpAffine(self._lamps.fixed, matrix, (self.size[1], self.size[0]))
            image, ground = cv2.add(image, glow), cv2.add(ground, glow)
        moving = self._lamps.moving(composed.placed, self.size)
        if moving is not None:
            image = cv2.add(image, cv2.cvtColor(moving, cv2.COLOR_GRAY2BGR))
        return image, ground


def _random_fps(rng: np.random.Generator, mix: Mix, words: set[str]) -> float:
    share = rng.random()
    if share < mix.slow:
        words.add("low frame rate")
        return float(rng.integers(6, 16))
    return 30.0 if share < mix.slow + 0.1 else 25.0


def _thermal(rng: np.random.Generator, image: Array) -> Array:
    """A picture of temperatures: grey, blurred, of little contrast."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)
    grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.8, 2.0))
    grey = cv2.convertScaleAbs(grey, alpha=rng.uniform(0.15, 0.5), beta=rng.uniform(10, 110))
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
