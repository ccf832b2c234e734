"""What lies between the scene and the pixels: a shaking camera, light, sensor and compression."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from bench.scenes.bank import GRAIN, PictureBank
from bench.scenes.draw import Matrix
from bench.scenes.mix import AHEAD_S, Mix
from bench.scenes.motion import Sway, random_sway
from edgebs.tensors import Array

Seed = tuple[int, ...]
SLACK = 48
"""Pixels that the stored noise is larger than the picture: every frame takes it from another place."""


def frame_rng(seed: Seed, seconds: float, salt: int) -> np.random.Generator:
    """The generator of one instant."""
    return np.random.default_rng((*seed, salt, round((seconds + 100.0) * 1e4)))


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the picture lies on the plate at any time."""

    margin: int
    """Plate pixels around the resting picture."""
    size: tuple[int, int]
    reach: float = 0.0
    """Pixels that it shakes each way."""
    shake: tuple[Sway, Sway, Sway] | None = None
    gusts: Sway | None = None
    """When it shakes at all; None is always."""
    turn: float = 0.0
    """Radians that it rolls each way."""
    pan: float = 0.0
    """Pixels that it swings each way."""
    swing: Sway | None = None
    tremble: float = 0.0
    """Pixels that it is off each way, anew in each frame."""
    zoom: float = 0.0
    """Share by which it comes nearer and goes back."""
    zooming: Sway | None = None
    seed: Seed = (0,)

    @property
    def is_steady(self) -> bool:
        """Whether it never moves."""
        return self.shake is None

    def matrix(self, seconds: float) -> Matrix:
        """Plate pixels to image pixels."""
        x = y = angle = 0.0
        if self.shake is not None:
            strength = 1.0 if self.gusts is None else min(max(3.0 * self.gusts.at(seconds), 0.0), 1.0)
            x, y = (strength * self.reach * sway.at(seconds) for sway in self.shake[:2])
            angle = strength * self.turn * self.shake[2].at(seconds)
        if self.swing is not None:
            x += self.pan * self.swing.at(seconds)
        if self.tremble:
            dx, dy = frame_rng(self.seed, seconds, 5).uniform(-self.tremble, self.tremble, 2).tolist()
            x, y = x + dx, y + dy
        scale = 1.0 if self.zooming is None else 1.0 + self.zoom * (1.0 + self.zooming.at(seconds))
        c, s = scale * math.cos(angle), scale * math.sin(angle)
        mx, my = self.margin + (self.size[1] - 1) / 2, self.margin + (self.size[0] - 1) / 2
        return (
            c, -s, (self.size[1] - 1) / 2 - c * mx + s * my + x,
            s, c, (self.size[0] - 1) / 2 - s * mx - c * my + y,
        )  # fmt: skip


def random_camera(
    rng: np.random.Generator, seed: Seed, size: tuple[int, int], mix: Mix, words: set[str]
) -> Camera:
    """A camera; adds what it does to `words`."""
    side = max(size)
    if rng.random() < mix.steady:
        return Camera(2, size)
    words.add("jitter")
    reach = float(np.exp(rng.uniform(math.log(0.15), math.log(4.0)))) * side / 128
    fast = rng.random() < 0.35
    low, high = (2.0, 9.0) if fast else (0.15, 4.0)
    shake = (random_sway(rng, low, high, 5), random_sway(rng, low, high, 5), random_sway(rng, low, high, 3))
    turn = rng.uniform(0.0, 0.012) if rng.random() < 0.4 else 0.0
    gusts = random_sway(rng, 0.05, 0.5, 3) if rng.random() < 0.25 else None
    tremble = zoom = pan = 0.0
    zooming = swing = None
    if rng.random() < mix.vibration / (1 - mix.steady):
        words.add("vibration")
        tremble = rng.uniform(0.2, 1.5) * side / 128
    if rng.random() < mix.zoom / (1 - mix.steady):
        words.add("zoom")
        zoom, zooming = rng.uniform(0.003, 0.015), random_sway(rng, 0.02, 0.2, 2)
    if rng.random() < mix.pan / (1 - mix.steady):
        words.add("pan")
        pan = rng.uniform(4, 16) * side / 128
        a_second = rng.uniform(0.1, 0.6) * 25 * side / 128
        swing = random_sway(rng, a_second / pan / 6.28, a_second / pan / 6.28, 1)
        if rng.random() < 0.6:
            words.discard("jitter")
            reach = 0.0
    margin = math.ceil(reach + pan + tremble + turn * side / 2) + 3
    return Camera(margin, size, reach, shake, gusts, turn, pan, swing, tremble, zoom, zooming, seed)


@dataclass(frozen=True, slots=True)
class Light:
    """The brightness of everything, over time."""

    table: Array
    """(256, 3) float32: what each level becomes at gain 1."""
    drift: float
    """Share by which the light comes and goes."""
    sway: Sway
    step_at: float
    """Seconds of a sudden change."""
    step: tuple[float, float]
    """Gain and offset after it."""
    response: float
    """Share by which the gain falls where the whole picture gets brighter by 128 levels."""

    def lut(self, seconds: float, gain: float) -> Array:
        """(256, 1, 3) uint8 for cv2.LUT; gain: the camera's own."""
        gain *= 1.0 + self.drift * self.sway.at(seconds)
        offset = 0.0
        if seconds >= self.step_at:
            gain, offset = gain * self.step[0], self.step[1]
        levels = self.table * np.float32(gain) + np.float32(offset)
        return np.asarray(np.clip(levels, 0, 255).astype(np.uint8)[:, None, :])


def random_light(rng: np.random.Generator, mix: Mix, conditions: set[str]) -> Light:
    """Contrast, colour cast, night, fog and how light changes."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gamma, gain, black = rng.uniform(0.75, 1.3), rng.uniform(0.75, 1.15), 0.0
    if "night" in conditions:
        gain, gamma, black = rng.uniform(0.18, 0.5), rng.uniform(0.6, 1.1), rng.uniform(0.0, 0.06)
    elif rng.random() < mix.fogged:  # fog, glare on the lens, a tired sensor
        conditions.add("low contrast")
        gain = rng.uniform(0.2, 0.55)
        black = rng.uniform(0.1, 0.8 - gain)
    elif rng.random() < 0.08:
        gain = rng.uniform(1.2, 1.6)
    gamma, gain = gamma**mix.tones, gain**mix.tones
    cast = 1 + mix.tones * rng.uniform(-0.12, 0.12, 3)
    table = 255 * (black + gain * levels**gamma * cast)
    drift = 0.0
    if rng.random() < mix.drift:
        conditions.add("drift")
        drift = float(np.exp(rng.uniform(math.log(0.01), math.log(0.25))))
    step_at, step = math.inf, (1.0, 0.0)
    if rng.random() < mix.step and "thermal" not in conditions:
        conditions.add("light switch")
        step_at = rng.uniform(0.0, AHEAD_S)
        step = (float(np.exp(rng.uniform(-0.7, 0.7))), rng.uniform(-15, 15))
    response = 0.0
    if rng.random() < mix.exposure:
        conditions.add("auto exposure")
        response = rng.uniform(0.1, 0.8)
    return Light(table.astype(np.float32), drift, random_sway(rng, 0.01, 0.4, 4), step_at, step, response)


@dataclass(frozen=True, slots=True)
class Sensor:
    """Softness, noise and compression."""

    seed: Seed
    grain: Array
    """(h + SLACK, w + SLACK, 3) int16, the noise in grey levels."""
    fixed: Array
    """(h, w, 3) int16: the same in all frames."""
    blur: float
    """Pixels; 0 is sharp."""
    enlarged: float
    """Size of the picture that it was enlarged from; 1 is its own size."""
    shot: Array | None
    """(256,) int16: 64 x amplitude of the noise at each level; None is the same at all."""
    sharpen: float
    """Halo round edges; 0 is none."""
    quality: int
    """JPEG quality; 0 is no compression."""
    is_grey: bool

    def soften(self, image: Array) -> Array:
        """What the lens does, to a noise-free picture."""
        if self.is_grey:
            image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        if self.blur > 0:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        if self.enlarged < 1:
            small = cv2.resize(image, None, fx=self.enlarged, fy=self.enlarged, interpolation=cv2.INTER_AREA)
            image = cv2.resize(small, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
        return image

    def expose(self, image: Array, seconds: float) -> Array:
        """What the sensor and the coder add to it."""
        rng = frame_rng(self.seed, seconds, 1)
        h, w = image.shape[:2]
        y, x = rng.integers(0, SLACK + 1, 2)
        noise = self.grain[y : y + h, x : x + w]
        if self.shot is not None:
            noise = cv2.multiply(noise, cv2.LUT(image, self.shot), scale=1 / 64)
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
        image = cv2.add(image, self.fixed, dtype=cv2.CV_8U)
        if self.sharpen > 0:
            image = cv2.addWeighted(image, 1 + self.sharpen, cv2.blur(image, (3, 3)), -self.sharpen, 0)
        if self.quality:
            coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1]
            image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
        return image


def random_sensor(
    rng: np.random.Generator,
    bank: PictureBank,
    seed: Seed,
    size: tuple[int, int],
    mix: Mix,
    conditions: set[str],
) -> Sensor:
    """A sensor for the conditions."""
    is_grey = "thermal" in conditions or bool(rng.random() < mix.grey)
    sigma = float(np.exp(rng.uniform(math.log(0.3), math.log(8.0))))
    if "night" in conditions:
        sigma = rng.uniform(2.0, 12.0)
    if "thermal" in conditions:
        sigma = rng.uniform(0.3, 3.0)
    grain = _grain(rng, bank, size, is_grey or rng.random() < 0.2, sigma)
    fixed = np.rint(grain[: size[0], : size[1]] * rng.uniform(0.0, 0.5)).astype(np.int16)
    blur = 0.0
    if rng.random() < mix.soft or "thermal" in conditions:
        conditions.add("soft")
        blur = rng.uniform(0.4, 1.4)
    enlarged = 1.0
    if rng.random() < 0.3 * mix.soft:
        blur, enlarged = 0.0, rng.uniform(0.35, 0.8)
    shot = None
    if rng.random() < 0.4:
        shot = np.rint(64 * (0.3 + 0.7 * np.sqrt(np.arange(256) / 128))).astype(np.int16)
    quality = 0
    if rng.random() < mix.jpeg:
        conditions.add("jpeg")
        quality = int(rng.integers(15, 91))
    if is_grey:
        conditions.add("grey")
    sharpen = rng.uniform(0.3, 1.2) if rng.random() < mix.halo else 0.0
    return Sensor(
        seed, np.rint(grain).astype(np.int16), fixed, blur, enlarged, shot, sharpen, quality, is_grey
    )


def _grain(
    rng: np.random.Generator, bank: PictureBank, size: tuple[int, int], is_grey: bool, sigma: float
) -> Array:
    """(h + SLACK, w + SLACK, 3) float32 of noise."""
    h, w = size[0] + SLACK, size[1] + SLACK
    grain = bank.grain
    if h > GRAIN or w > GRAIN:
        grain = np.tile(grain, (-(-h // GRAIN), -(-w // GRAIN), 1))
    y, x = rng.integers(0, grain.shape[0] - h + 1), rng.integers(0, grain.shape[1] - w + 1)
    piece = grain[y : y + h, x : x + w]
    if is_grey:
        piece = cv2.cvtColor(cv2.extractChannel(piece, 0), cv2.COLOR_GRAY2BGR)
    if rng.random() < 0.3:  # a denoiser or a coder has smeared it
        return np.asarray(np.asarray(cv2.blur(piece, (2, 2))) * np.float32(1.6 * sigma))
    return np.asarray(piece * np.float32(sigma))
