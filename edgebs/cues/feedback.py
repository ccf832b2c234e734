"""What was found in a frame, on its way back to the cue of a later one.

The cue of frame t is computed while the frames before it are still being segmented. The cue is therefore told
what was found exactly `LAG_FRAMES` frames before: that frame has been segmented by then whether the stages
overlap or not, so the same frames give the same masks.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from edgebs.tensors import Array

LAG_FRAMES = 3
"""At most this many frames are between `begin` and `finish` (edgebs.runner), the next one included."""


@runtime_checkable
class HearsForeground(Protocol):
    """A cue that depends on what was found in earlier frames."""

    @property
    def is_hearing(self) -> bool:
        """Whether it wants to be told."""
        ...

    def hear(self, probability: Array | None) -> None:
        """Take the foreground probability (h, w) of the frame `LAG_FRAMES` before the next one.

        None where that frame was not segmented. Called before each `update` and `remember`. The array is
        not changed afterwards.
        """
        ...


class Feedback:
    """Carries the results of one camera to its cue. `found` may be called by another thread."""

    def __init__(self, cue: object) -> None:
        """Do nothing for a cue that does not listen."""
        self._cue = cue if isinstance(cue, HearsForeground) and cue.is_hearing else None
        self._next = 0
        # Without a lock, which an interruption could leave taken: each use of it is one call of dict.
        self._found: dict[int, Array] = {}

    def before_frame(self) -> int:
        """Tell the cue what it may know for its next frame; returns that frame's number for `found`."""
        number = self._next
        self._next += 1
        if self._cue is not None:
            self._cue.hear(self._found.pop(number - LAG_FRAMES, None))
        return number

    def found(self, number: int, probability: Array) -> None:
        """Keep a copy of the probability (h, w) of frame `number` until the cue may know it."""
        if self._cue is not None:
            self._found[number] = probability.copy()

    def clear(self) -> None:
        """Forget all: the next frame is the first of a scene."""
        self._found.clear()
        self._next = 0
