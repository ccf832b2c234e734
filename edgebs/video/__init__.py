"""Frames in and masks out: sources and sinks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from edgebs.tensors import Frame
from edgebs.text import without_secrets

logger = logging.getLogger(__name__)

GAPS_NAMED = 5
"""A message names so many places; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Consecutive frames that are missing."""

    position: int
    """Of the first missing frame in the time line of the source, from 0."""
    frames: int
    """How many are missing."""
    time_s: float | None
    """Of the first missing frame, in seconds from the start."""

    def __str__(self) -> str:
        """Frame numbers and time, as in "39-46 (1.56 s)"."""
        last = "" if self.frames == 1 else f"-{self.position + self.frames - 1}"
        at = "" if self.time_s is None else f" ({self.time_s:.2f} s)"
        return f"{self.position}{last}{at}"


@dataclass(slots=True)
class Losses:
    """Counts of one source, and where its first gaps are. Written by the thread that reads the source."""

    missing: int = 0
    """Frames that could not be read or decoded, or that the file does not hold."""
    damaged: int = 0
    """Frames that were decoded with errors: parts of them are guessed by the decoder."""
    jumps: int = 0
    """Places where the time stamps jump, and time was continued without a gap."""
    pauses: int = 0
    """Places where the recording pauses: the times of its frames step over it, and nothing is filled in."""
    first_pause: str = ""
    """Where the first one is, and how long."""
    gaps: list[Gap] = field(default_factory=list)
    """The first `GAPS_NAMED` gaps."""
    damaged_at: list[int] = field(default_factory=list)
    """Positions of the first `GAPS_NAMED` damaged frames."""
    gap_count: int = 0
    """All gaps."""
    is_filled: bool = True
    """Whether masks are repeated for missing frames."""
    is_reported: bool = False
    """Whether `report` was called with something to say."""

    def add_gap(self, gap: Gap) -> None:
        self.missing += gap.frames
        self.gap_count += 1
        if len(self.gaps) < GAPS_NAMED:
            self.gaps.append(gap)

    def add_damaged(self, position: int) -> None:
        self.damaged += 1
        if len(self.damaged_at) < GAPS_NAMED:
            self.damaged_at.append(position)

    def add_pause(self, position: int, length_s: float) -> None:
        """Count a pause before the frame at `position`."""
        self.pauses += 1
        self.first_pause = self.first_pause or f"before frame {position}, {length_s:.0f} s"

    def report(self, name: str) -> None:
        """Log one warning with what is missing and where, once."""
        if self.is_reported or not (self.missing or self.damaged or self.jumps or self.pauses):
            return
        self.is_reported = True
        logger.warning("%s: %s", name, "; ".join(self._sentences()))

    def _sentences(self) -> list[str]:
        sentences = []
        if self.missing:
            rest = self.gap_count - len(self.gaps)
            places = ", ".join(map(str, self.gaps)) + (f" and {rest} more places" if rest else "")
            frames = "1 frame is" if self.missing == 1 else f"{self.missing} frames are"
            filled = "; masks repeat the one before, so that they stay in step" if self.is_filled else ""
            sentences.append(f"{frames} missing, at {places}{filled}")
        if self.damaged:
            rest = self.damaged - len(self.damaged_at)
            places = ", ".join(map(str, self.damaged_at)) + (f" and {rest} more" if rest else "")
            frames = "1 frame is" if self.damaged == 1 else f"{self.damaged} frames are"
            sentences.append(f"{frames} damaged and used as decoded: {places}")
        if self.pauses:
            times = "once" if self.pauses == 1 else f"{self.pauses} times"
            sentences.append(
                f"the recording pauses {times} ({self.first_pause}): masks are not repeated for that time"
            )
        if self.jumps:
            places = "1 place" if self.jumps == 1 else f"{self.jumps} places"
            sentences.append(f"its time stamps jump at {places}: time goes on there without a gap")
        return sentences


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SourceFrame:
    """One frame and when it was taken."""

    image: Frame
    """(H, W, 3) uint8 BGR. Read only for everyone: the caller of an iterable source may still own it."""
    captured_s: float | None = None
    """Seconds: position in a file, `time.monotonic()` at arrival for a live source, None where unknown."""
    index: int = 0
    """Number of frames that the source delivered before this one."""
    missing_before: int = 0
    """Frames of the source's time line that are missing between the frame before and this one."""

    def __repr__(self) -> str:
        return f"SourceFrame({self.image.shape} {self.image.dtype}, {self.captured_s} s, index {self.index})"


class Source(AbstractContextManager["Source"], Iterator[SourceFrame]):
    """Frames of one size, in order, once: a source is an iterator, and iterating again goes on where it was.

    Read by one thread; `close()` may be called from another one, and twice: then there are no more frames.
    """

    name: str
    """For messages: a path, "camera 0", an address or a pipeline without its secrets."""
    fps: float | None
    """Frames/s, where known."""
    frame_count: int | None
    """Frames by the source's own count (a file may hold a few less), None for endless and unknown ones."""
    size: tuple[int, int] | None
    """(height, width), None where only the first frame tells."""
    is_live: bool
    """Whether frames come at their own pace and are lost if they are not read."""
    has_variable_rate: bool
    """Whether the time between frames varies, so that only `captured_s` gives the time of a frame."""
    losses: Losses
    """What is missing or damaged, so far."""

    def __init__(
        self,
        frames: Iterable[SourceFrame],
        *,
        name: str,
        fps: float | None = None,
        frame_count: int | None = None,
        size: tuple[int, int] | None = None,
        is_live: bool = False,
        has_variable_rate: bool = False,
        losses: Losses | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        """release: frees the decoder or the camera; it may be called by any thread, and twice."""
        self.name, self.fps, self.frame_count = without_secrets(name), fps, frame_count
        self.size, self.is_live = size, is_live
        self.has_variable_rate = has_variable_rate
        self.losses = Losses() if losses is None else losses
        self._frames = iter(frames)
        self._release = release
        self._closed = False

    def __iter__(self) -> Source:
        return self

    def __next__(self) -> SourceFrame:
        """The next frame. Raises SourceError where one cannot be read, naming it."""
        if self._closed:
            raise StopIteration
        return next(self._frames)

    def close(self) -> None:
        """Free the decoder or the camera. An iterable that was passed in stays its owner's."""
        self._closed = True
        if self._release is not None:
            self._release()
        self.losses.report(self.name)

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Source({self.name}, {self.fps} frames/s, {self.frame_count} frames, size {self.size})"
