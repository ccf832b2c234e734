"""What every way to compute a cue has in common: its protocol, its output, and the ring of its arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

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
        ...

    def remember(self, frame: Frame, captured_s: float | None) -> None:
        """Take the next frame into the history without computing its cue."""
        ...

    def reset(self) -> None:
        """Forget the history: the next frame is the first of a scene."""
        ...

    def close(self) -> None:
        """Free what is held. May be called twice."""
        ...


class TensorRing:
    """Preallocated float32 tensors handed out in turn, so that no frame pays for fresh pages."""

    def __init__(self, shape: tuple[int, ...], slots: int = SLOTS) -> None:
        """Allocate `slots` tensors of `shape`."""
        self._tensors = [np.zeros(shape, np.float32) for _ in range(slots)]
        self._next = 0

    def take(self) -> Array:
        """The tensor that was handed out longest ago."""
        tensor = self._tensors[self._next]
        self._next = (self._next + 1) % len(self._tensors)
        return tensor
