"""Maps of a scene's background, computed by a network from chosen frames, kept until those have changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgebs.cues.clock import is_reached
from edgebs.cues.cue import BackgroundCue, CueOutput
from edgebs.image import CUE_REPAIR, require_finite
from edgebs.tensors import Array, Frame

if TYPE_CHECKING:
    from edgebs.backends import Backend
    from edgebs.bundle.manifest import CueSettings

GLANCE = (30, 40)
"""(h, w) at which motion is measured: small against any object that counts."""


@dataclass(slots=True)
class _Best:
    """The frame with the least motion since the last reference."""

    frame: Frame
    motion: float


class Keyframes:
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
        self.frames, self._best, self._glance, self._since_s = [], None, None, 0.0

    def _motion(self, frame: Frame) -> float:
        """Mean difference of grey levels from the frame before; infinite of the first one."""
        height, width = GLANCE
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        glance = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        before, self._glance = self._glance, np.asarray(glance)
        return float("inf") if before is None else float(cv2.absdiff(glance, before).mean())


GROWN = 0.5
"""Share of the scene's age at the last computation after which a young one is due again."""


class BackgroundMaps(BackgroundCue):
    """Cue of BMN-BSN, (1, M, h, w) float32: what the cue network makes of the references.

    The network's input is `references`, (1, R, h, w, 3) uint8; its output is `cue`. It runs when references
    have changed and `refresh_s` have passed, in a young scene sooner: whenever its age has grown by half. The
    frame that it runs for waits for it; all others get the maps that are kept.
    """

    def __init__(self, settings: CueSettings, backend: Backend) -> None:
        """Own `backend` from here on: it is closed with the cue."""
        super().__init__(settings.nominal_fps, settings.spacing_s)
        self._backend = backend
        self.description = f"{backend.description}, from {settings.references} chosen frames"
        self._refresh_s = settings.refresh_s
        self._shape = backend.inputs["references"].shape[2:]
        self._keyframes = Keyframes(settings.references, settings.spacing_s)
        self._maps: Array | None = None
        self._computed_s = 0.0
        self._is_stale = False

    def update(self, frame: Frame, captured_s: float | None) -> CueOutput:
        self.remember(frame, captured_s)
        maps = self._maps
        if maps is None or (self._is_stale and self._is_due):
            maps = self._computed()
        # Not from a ring: maps are replaced, never overwritten.
        return CueOutput({"cue": maps}, len(self._keyframes.frames) < self._keyframes.count)

    def remember(self, frame: Frame, captured_s: float | None) -> None:
        if self._advance(captured_s):
            with self._changing:
                self._is_stale |= self._keyframes.see(frame, self._clock.now_s)

    def close(self) -> None:
        self._backend.close()

    def background(self) -> Mapping[str, Array]:
        with self._changing:
            frames = self._keyframes.frames
            if not frames:
                return {}
            return {"references": np.stack(frames), "seen_s": np.array(self._clock.now_s)}

    def restore(self, background: Mapping[str, Array]) -> None:
        frames, seen_s = background["references"], float(background["seen_s"])
        is_watched = math.isfinite(seen_s) and seen_s >= 0
        if frames.dtype != np.uint8 or frames.shape[1:] != self._shape or not len(frames) or not is_watched:
            raise ValueError(f"references {frames.dtype} {frames.shape}, seen for {seen_s} s")
        with self._changing:
            self._forget_scene()
            # A scene that was watched for long changes slowly, also after a restart.
            self._clock.resume(seen_s)
            self._keyframes.restore(frames, seen_s)

    @property
    def _is_due(self) -> bool:
        spacing_s = min(self._refresh_s, GROWN * self._computed_s)
        return is_reached(self._clock.now_s - self._computed_s, spacing_s)

    def _computed(self) -> Array:
        references = self._keyframes.stacked()[np.newaxis]
        maps: Array = self._backend.infer({"references": references})["cue"].copy()
        require_finite(maps, "the cue network's background maps", CUE_REPAIR)
        self._maps = maps
        self._computed_s, self._is_stale = self._clock.now_s, False
        return maps

    def _forget_scene(self) -> None:
        self._keyframes.clear()
        self._maps, self._computed_s, self._is_stale = None, 0.0, False
