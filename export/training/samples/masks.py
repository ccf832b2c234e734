"""Masks of past frames with the faults of a network: some stay, some pass."""

from __future__ import annotations

import cv2
import numpy as np

from bench.scenes.compose import FOREGROUND, SHADOW, UNKNOWN
from edgebs.tensors import Array, Frame

CERTAIN = 0.95
"""The probability of what a mask shows."""


class FaultyMasks:
    """The masks of one clip."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], blind: float) -> None:
        """size: (h, w). blind: share of the clips that never have a mask."""
        self._rng, self._size = rng, size
        self._is_blind = bool(rng.random() < blind)
        self._missing = self._regions(rng.uniform(0, 0.5) if rng.random() < 0.6 else 0.0)
        self._false = self._regions(rng.uniform(0, 0.06) if rng.random() < 0.4 else 0.0)
        self._grown_px = int(rng.integers(-2, 4))
        self._has_shadows = bool(rng.random() < 0.3)
        self._has_unknown = bool(rng.random() < 0.5)
        self._blank_share = rng.uniform(0, 0.3)

    def probability(self, labels: Frame) -> Array:
        """(h, w) float32 for a frame of these CDnet labels."""
        return np.asarray(self._mask(labels) * np.float32(CERTAIN), np.float32)

    def _mask(self, labels: Frame) -> Array:
        if self._is_blind or self._rng.random() < self._blank_share:
            return np.zeros(self._size, np.bool_)
        mask = labels == FOREGROUND
        if self._has_shadows:
            mask |= labels == SHADOW
        if self._has_unknown:
            mask |= labels == UNKNOWN
        if self._grown_px:
            kernel = np.ones((2 * abs(self._grown_px) + 1,) * 2, np.uint8)
            change = cv2.dilate if self._grown_px > 0 else cv2.erode
            mask = np.asarray(change(mask.astype(np.uint8), kernel)) > 0
        if self._missing is not None:
            mask &= ~self._missing
        if self._false is not None:
            mask |= self._false
        return np.asarray(mask)

    def _regions(self, share: float) -> Array | None:
        """(h, w) bool: smooth regions of that share of the picture; None of none."""
        if share <= 0:
            return None
        cells = int(self._rng.integers(4, 24))
        coarse = self._rng.standard_normal((cells, cells)).astype(np.float32)
        field = np.asarray(cv2.resize(coarse, self._size[::-1], interpolation=cv2.INTER_CUBIC))
        return np.asarray(field > np.quantile(field, 1 - share))
