"""Which pixels of a sample are held: they bring the background's own value instead of the frame's.

An object that stands, or a large and slow one, would become the median of a young scene within seconds. Where
an earlier mask shows foreground, the sample therefore keeps what was there before. Errors of masks must not
confirm themselves: the probability must be high, no pixel is held for more than `background.LONGEST_HELD`
samples in a row, and a region whose outline is stronger in the background than in the frame is not held:
there the object is in the background (decision 0011).
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from edgebs.cues.camera_shift import Shift, moved
from edgebs.tensors import Array, Frame

LAG_FRAMES = 3
"""At most this many frames are between `begin` and `finish` (edgebs.pipeline), the next one included."""


# The cue of frame t is computed while earlier frames are still being segmented. The cue therefore gets the
# result of exactly `LAG_FRAMES` frames before: that frame is segmented by then, whether the stages overlap
# or not, so that the same frames give the same masks.
@runtime_checkable
class HearsForeground(Protocol):
    """A cue that depends on what was found in earlier frames."""

    @property
    def is_hearing(self) -> bool:
        """Whether it wants to be told."""

    def hear(self, probability: Array | None) -> None:
        """Take the foreground probability (h, w) of the frame `LAG_FRAMES` before the next one.

        None where that frame was not segmented. Called before each `update` and `remember`. The array is
        not changed afterwards.
        """


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


REGION_FROM = 0.5
"""Probability of the regions whose outlines are judged."""

OUTLINE_GAIN = 2.0
"""The frame's gradient along a region's outline must be this many times the background's."""

STEADY_PX = 0.5
"""A camera that has moved by more since the mask shakes: nothing is held."""

AROUND = np.ones((5, 5), np.uint8)
WITHIN = np.ones((3, 3), np.uint8)


class Holding:
    """What was found in an earlier frame, and where the camera looked then."""

    def __init__(self, gate: float) -> None:
        """gate: foreground probability above which a pixel is held."""
        self._gate = gate
        self._probability: Array | None = None
        self._places: deque[Shift] = deque(maxlen=LAG_FRAMES)

    def hear(self, probability: Array | None) -> None:
        self._probability = probability

    def seen(self, place: Shift) -> None:
        """Take where the camera looks in the frame at hand."""
        self._places.append(place)

    def clear(self) -> None:
        self._probability = None
        self._places.clear()

    def pixels(self, frame: Frame, median: Frame | None, shift: Shift, place: Shift) -> Array | None:
        """(h, w) bool, on the anchor: what is to be held; None where nothing can be.

        frame: (h, w, 3) as the camera sees it. median: on the anchor; None where there is none yet. shift: of
        the frame off the anchor. place: of the frame off where the camera looked first, as given to `seen`.
        """
        if median is None or self._probability is None or len(self._places) < LAG_FRAMES:
            return None
        then = self._places[0]
        if math.hypot(place[0] - then[0], place[1] - then[1]) > STEADY_PX:
            return None
        regions = (self._probability > REGION_FROM).astype(np.uint8)
        held = (self._probability > self._gate) & in_front(regions, frame, moved(median, shift, frame))
        if shift == (0.0, 0.0) or not held.any():
            return held
        back = (-shift[0], -shift[1])
        whole = np.asarray(held, np.uint8) * np.uint8(255)
        return np.asarray(moved(whole, back, np.zeros_like(whole)) > 127)


def in_front(regions: Frame, frame: Frame, background: Frame) -> Array:
    """(h, w) bool: the connected regions of (h, w) 0/1 whose outline is in the frame, not in the past."""
    count, labels = cv2.connectedComponents(regions)
    if count == 1:
        return np.zeros(regions.shape, np.bool_)
    outline = cv2.subtract(cv2.dilate(regions, AROUND), cv2.erode(regions, WITHIN)) > 0
    # Outside of a region its number, of two regions the larger one.
    reaching = cv2.dilate(labels.astype(np.float32), AROUND)[outline].astype(np.intp)
    sums = [np.bincount(reaching, _gradient(picture)[outline], count) for picture in (frame, background)]
    is_in_front = sums[0] >= OUTLINE_GAIN * sums[1]
    is_in_front[0] = False
    return np.asarray(is_in_front[labels])


def _gradient(picture: Frame) -> Array:
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)))
