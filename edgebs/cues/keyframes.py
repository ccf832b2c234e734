"""Which past frames show a scene best: spread over time, and of each stretch the one with least motion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgebs.cues.ticks import is_reached
from edgebs.tensors import Array, Frame

GLANCE = (30, 40)
"""(h, w) at which motion is measured: small against any object that counts."""


@dataclass(slots=True)
class _Best:
    """The frame with the least motion since the last reference."""

    frame: Frame
    motion: float


class References:
    """At most `count` frames of a scene, oldest first.

    A stretch of time gives one. Stretches grow with what was seen: at first every frame is one, later a
    `count`th of all that was seen, at last `spacing_s`. So there is a background soon, and in the end one
    that reaches back `count * spacing_s` seconds.
    """

    def __init__(self, count: int, spacing_s: float) -> None:
        """spacing_s: the longest stretch, in seconds."""
        self.count, self._spacing_s = count, spacing_s
        self.frames: list[Frame] = []
        """(h, w, 3) uint8 each; the list is replaced, never changed, when a reference joins."""
        self._best: _Best | None = None
        self._glance: Array | None = None
        self._since_s = 0.0

    def see(self, frame: Frame, now_s: float) -> bool:
        """Take the next frame of `now_s` seconds after the first; whether it made another reference."""
        motion = self._motion(frame)
        if self._best is None or motion < self._best.motion:
            self._best = _Best(frame, motion)
        stretch_s = min(now_s / self.count, self._spacing_s)
        if self.frames and not is_reached(now_s - self._since_s, stretch_s):
            return False
        self.frames = [*self.frames, self._best.frame][-self.count :]
        self._best, self._since_s = None, now_s
        return True

    def stacked(self) -> Array:
        """(count, h, w, 3) uint8: those there are, repeated in turn until there are enough."""
        return np.stack([self.frames[place % len(self.frames)] for place in range(self.count)])

    def restore(self, frames: Array, now_s: float) -> None:
        """Take (n, h, w, 3) uint8 as what was chosen until `now_s`, oldest first."""
        self.clear()
        self.frames, self._since_s = list(frames[-self.count :]), now_s

    def clear(self) -> None:
        """Forget all."""
        self.frames, self._best, self._glance, self._since_s = [], None, None, 0.0

    def _motion(self, frame: Frame) -> float:
        """Mean difference of grey levels from the frame before; infinite of the first one."""
        height, width = GLANCE
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        glance = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        before, self._glance = self._glance, np.asarray(glance)
        return float("inf") if before is None else float(cv2.absdiff(glance, before).mean())
