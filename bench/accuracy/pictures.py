"""Frames that show what a score means: the worst, a typical and the best, right and wrong in colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from bench.accuracy.score import FrameScore, SequenceScore
from bench.scored import FOREGROUND
from bench.scored import Sequence as ScoredSequence
from bench.scored.sequence import scored_frame, scored_region
from edgebs.tensors import Array, Frame

RIGHT, FALSE, MISSED = (60, 200, 60), (40, 40, 230), (255, 140, 30)
"""BGR of true positives, false positives and false negatives."""
LEGEND = {
    "green": "found (true positive)",
    "red": "false alarm (false positive)",
    "blue": "missed (false negative)",
}
UNSCORED = "dark: not scored"

OPACITY = 0.65
WORST = 3
APART = 20
"""Worst frames are at least this part of the sequence apart: neighbours look alike."""
WIDTH = 360
"""Largest width of a picture in the report, in pixels."""
JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMask:
    """What one contestant made of a frame."""

    score: FrameScore
    jpeg: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFrame:
    """One frame of a sequence with the masks of every contestant."""

    why: str
    """`worst`, `typical`, `best`, or `false alarms`."""
    file: str
    """Name of the frame's file."""
    jpeg: bytes
    masks: tuple[ShownMask, ...]
    """In the order of the contestants."""


def shown_frames(sequence: ScoredSequence, row: Sequence[SequenceScore]) -> list[ShownFrame]:
    """The frames to look at, chosen by the first contestant's score; masks must still be kept."""
    region = scored_region(sequence)
    return [_shown(why, sequence, position, row, region) for why, position in chosen_frames(row[0].frames)]


def chosen_frames(frames: Sequence[FrameScore]) -> list[tuple[str, int]]:
    """Positions in `frames` worth a look, each once, with the reason.

    By F among frames with foreground: the worst ones, some way apart, the median, and the best. Among frames
    without: the one with most false positives, if any.
    """
    filled = {k for k, frame in enumerate(frames) if frame.counts.tp + frame.counts.fn}
    by_score = sorted(filled, key=lambda k: (frames[k].counts.f_measure, k))
    chosen: dict[int, str] = {}
    for k in by_score:
        if len(chosen) < WORST and all(APART * abs(k - other) >= len(frames) for other in chosen):
            chosen[k] = "worst"
    if by_score:
        chosen.setdefault(by_score[len(by_score) // 2], "typical")
        chosen.setdefault(by_score[-1], "best")
    empty = [k for k, frame in enumerate(frames) if k not in filled and frame.counts.fp]
    if empty:
        chosen[max(empty, key=lambda k: (frames[k].counts.fp, -k))] = "false alarms"
    return [(why, k) for k, why in chosen.items()]


def _shown(
    why: str, sequence: ScoredSequence, position: int, row: Sequence[SequenceScore], region: Array | None
) -> ShownFrame:
    index = row[0].frames[position].index
    frame, truth, valid = scored_frame(sequence, index, region)
    assert truth is not None
    assert valid is not None
    height, width = truth.shape
    masks = [score.mask(score.frames[position], (height, width)) for score in row]
    return ShownFrame(
        why=why,
        file=sequence.inputs[index].name,
        jpeg=_jpeg(frame),
        masks=tuple(
            ShownMask(score=score.frames[position], jpeg=_jpeg(coloured(frame, mask, truth, valid)))
            for score, mask in zip(row, masks, strict=True)
        ),
    )


def coloured(frame: Frame, mask: Frame, truth: Frame, valid: Array) -> Frame:
    """The frame in grey, true positives green, false positives red, false negatives blue, unscored dim.

    frame: (H, W, 3) uint8 BGR; mask: (H, W) 0/255; truth: CDnet labels; valid: bool, the scored pixels.
    """
    # In grey: red leaves would hide false alarms.
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    picture = np.where(valid[..., np.newaxis], grey // 2 + 90, grey // 4).astype(np.float32)
    said, real = mask > 0, truth == FOREGROUND
    for colour, here in ((RIGHT, said & real), (FALSE, said & ~real), (MISSED, ~said & real)):
        chosen = here & valid
        picture[chosen] += OPACITY * (np.array(colour, np.float32) - picture[chosen])
    return np.asarray(picture.round(), np.uint8)


def _jpeg(picture: Frame) -> bytes:
    height, width = picture.shape[:2]
    if width > WIDTH:
        size = (WIDTH, max(1, round(height * WIDTH / width)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    is_whole, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert is_whole
    return bytes(data)
