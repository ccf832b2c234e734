"""What a source did not deliver: frames that are missing from its time line, and frames that are damaged."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

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
        """Count a gap."""
        self.missing += gap.frames
        self.gap_count += 1
        if len(self.gaps) < GAPS_NAMED:
            self.gaps.append(gap)

    def add_damaged(self, position: int) -> None:
        """Count a damaged frame."""
        self.damaged += 1
        if len(self.damaged_at) < GAPS_NAMED:
            self.damaged_at.append(position)

    def add_pause(self, position: int, length_s: float) -> None:
        """Count a pause before the frame at `position`."""
        self.pauses += 1
        self.first_pause = self.first_pause or f"before frame {position}, {length_s:.0f} s"

    def report(self, name: str) -> None:
        """Log one warning that says what is missing and where, once."""
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
