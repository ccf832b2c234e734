"""What ways to compute a cue have in common: protocol, output, ring of arrays, and a base of backgrounds."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgebs.cues.clock import SceneClock
from edgebs.tensors import Array, Frame

PRESETS = ("ultrafast", "fast", "medium", "fine")
"""Of OpenCV's DIS flow; `fine` is ours, see edgebs.cues.hop."""

SLOTS = 4
"""Cue tensors in use at once: one being computed, one queued, one being segmented, one spare."""


@dataclass(frozen=True, slots=True)
class CueOutput:
    """The cue of one frame."""

    tensors: Mapping[str, Array]
    """The segmentation network's inputs other than `frame`. Reused after `SLOTS` further updates."""
    warming_up: bool
    """Whether the history is still shorter than the longest interval."""


class Cue(Protocol):
    """Holds one camera's history and turns it into the cue. One thread at a time."""

    description: str
    """What computes it, for reports."""

    def update(self, frame: Frame, captured_s: float | None) -> CueOutput:
        """Take the next frame, (h, w, 3) at network size, and return its cue. Keeps no reference to `frame`'s
        owner beyond the history, so the caller must not write into it afterwards. captured_s: as
        `edgebs.cues.clock.check_time` returns it. Raises NotFinite where a network gives NaN."""

    def remember(self, frame: Frame, captured_s: float | None) -> None:
        """Take the next frame into the history without computing its cue."""

    def reset(self) -> None:
        """Forget the history: the next frame is the first of a scene."""

    def close(self) -> None:
        """Free what is held. May be called twice."""


class BackgroundCue(ABC):
    """A cue with a background of the scene that can be saved, restored, frozen."""

    def __init__(self, nominal_fps: float, longest_step_s: float) -> None:
        """See `SceneClock`."""
        self._clock = SceneClock(nominal_fps, longest_step_s)
        self._is_frozen = False
        # Another thread may save what this one changes.
        self._changing = threading.Lock()

    @abstractmethod
    def background(self) -> Mapping[str, Array]:
        """What `restore` needs; empty before the first frame. May be called while another thread updates."""

    @abstractmethod
    def restore(self, background: Mapping[str, Array]) -> None:
        """Start with what `background` gave. Raises ValueError or KeyError for arrays that cannot be that.

        The time since it was saved counts as a pause.
        """

    def freeze(self, frozen: bool) -> None:
        """Whether frames change the background no longer; what is frozen outlives `reset`."""
        self._is_frozen = frozen

    def reset(self) -> None:
        """Forget the scene: the next frame is the first of one. What is frozen stays, its age with it."""
        if self._is_frozen:
            self._clock.skip()
            return
        with self._changing:
            self._clock.reset()
            self._forget_scene()

    @abstractmethod
    def _forget_scene(self) -> None:
        """Drop the background and all that depends on it; `_changing` is held."""

    def _advance(self, captured_s: float | None) -> bool:
        """Take the time of the next frame; whether that frame may change the background."""
        if self._is_frozen:
            # The background grows no older, and neither does its clock go on.
            self._clock.skip()
        elif self._clock.tick(captured_s):
            with self._changing:
                self._forget_scene()
        return not self._is_frozen


class TensorRing:
    """Preallocated float32 tensors handed out in turn, so that no frame pays for fresh pages."""

    def __init__(self, shape: tuple[int, ...], slots: int = SLOTS) -> None:
        self._tensors = [np.zeros(shape, np.float32) for _ in range(slots)]
        self._next = 0

    def take(self) -> Array:
        """The tensor that was handed out longest ago."""
        tensor = self._tensors[self._next]
        self._next = (self._next + 1) % len(self._tensors)
        return tensor
