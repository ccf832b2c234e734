"""What the pictures of a calibration set show: whether ranges can be measured on them at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calib.frames import CalibrationSample
from calib.frames.select import STILL_SHARE, grey, moving_share, reduced
from edgebs.errors import CalibrationError
from edgebs.tensors import Frame

FLAT_DEVIATION = 1.5
"""Grey levels. A reduced picture that deviates less shows nothing: a covered lens with its noise has 0.5, a
road in fog 5, a street at night 8 and more."""
BLACK, WHITE = 24.0, 231.0
"""Mean grey levels up to which, and from which, a picture without contents is called black or white."""
FEW = 10
"""Samples below which the ranges rest on chance."""
RECORD = (
    "Record some minutes of the scene in its usual light, with people or cars that move, and make the set "
    "from that: edgebs calibrate VIDEO --out DIR"
)


@dataclass(frozen=True, slots=True)
class Content:
    """What one picture shows, in numbers."""

    mean: float
    """Grey levels, 0 to 255, over all colours."""
    deviation: float
    """Standard deviation of the colour that varies most, grey levels."""

    @property
    def is_flat(self) -> bool:
        """True if the picture is one even area."""
        return self.deviation < FLAT_DEVIATION


def content_of(small: Frame) -> Content:
    """The content of a reduced picture, see `calib.frames.select.reduced`."""
    return Content(float(small.mean()), float(small.std(axis=(0, 1)).max()))


def flat_frames(contents: Sequence[Content]) -> str:
    """Which of the pictures are even areas, "all 64 frames are black (mean 0.0, ...)"; "" for none."""
    flat = [content for content in contents if content.is_flat]
    if not flat:
        return ""
    mean = float(np.mean([content.mean for content in flat]))
    deviation = max(content.deviation for content in flat)
    number, of = len(flat), len(contents)
    count = f"{number} of {of} frames are" if number < of else f"all {of} frames are"
    return (
        f"{'the only frame is' if of == 1 else count} {_colour(mean)} "
        f"(mean {mean:.1f}, deviation {deviation:.1f} of 255 grey levels)"
    )


def require_contents(contents: Sequence[Content], where: str) -> None:
    """Raise CalibrationError if every picture is an even area: there is no range to measure."""
    if contents and all(content.is_flat for content in contents):
        raise CalibrationError(f"{where}: {flat_frames(contents)}: INT8 cannot be calibrated on it. {RECORD}")


def require_usable(samples: Sequence[CalibrationSample], where: str, *, has_flow: bool) -> str:
    """Raise CalibrationError where INT8 cannot be calibrated on `samples`.

    Returns what is weak about them, "" where nothing is.
    has_flow: whether the cue holds flow, which needs motion between a sample and its past. Without flow the
    samples of a source must differ among each other or from their past.
    """
    if not samples:
        raise CalibrationError(f"{where} holds no samples. {RECORD}")
    small = [reduced(sample.frame) for sample in samples]
    contents = [content_of(each) for each in small]
    require_contents(contents, where)
    if not any(_changes(sample, each) for sample, each in zip(samples, small, strict=True)) and (
        has_flow or not _differ(samples, small)
    ):
        count = f"any of its {len(samples)} frames" if len(samples) > 1 else "its only frame"
        raise CalibrationError(f"{where}: nothing moves in {count}: {_without_change(has_flow)}. {RECORD}")
    weak = [flat_frames(contents)]
    if len(samples) < FEW:
        weak.append(
            f"it holds {len(samples)} frame{'s' * (len(samples) > 1)} only, so its ranges are uncertain"
        )
    return "; ".join(filter(None, weak))


def _without_change(has_flow: bool) -> str:
    return "the flow is 0 everywhere and has no range" if has_flow else "no frame differs from its background"


def _changes(sample: CalibrationSample, small: Frame) -> bool:
    """Whether something moves between a sample and what its cue looks back to."""
    present = grey(small)
    return any(moving_share(present, grey(reduced(past))) >= STILL_SHARE for past in sample.pasts.values())


def _differ(samples: Sequence[CalibrationSample], small: Sequence[Frame]) -> bool:
    """Whether two samples of a source differ."""
    first: dict[str, Frame] = {}
    return any(
        moving_share(grey(each), grey(first.setdefault(sample.source, each))) >= STILL_SHARE
        for sample, each in zip(samples, small, strict=True)
    )


def _colour(mean: float) -> str:
    if mean <= BLACK:
        return "black"
    return "white" if mean >= WHITE else "one even colour"
