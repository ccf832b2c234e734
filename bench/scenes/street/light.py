"""Light over the rendered street, and the sensor that sees it."""

from __future__ import annotations

import math

import cv2
import numpy as np

from edgebs.tensors import Array, Frame


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
