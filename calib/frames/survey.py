"""The first pass over a source: what its frames look like, without keeping any frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from calib.frames.content import Content, content_of
from calib.frames.select import Floats, Grey, colours, grey, motion, moving_share, reduced
from edgebs.cues.history import History, longest_pause_s
from edgebs.errors import CalibrationError
from edgebs.tensors import Frame
from edgebs.video.bit_depth import ValueRange
from edgebs.video.open import open_source

CANDIDATES = 4000
"""At most twice as many candidates per source: 25 MB, whatever the length of the video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A frame that could be chosen."""

    number: int
    """Frame number in its source, from 0."""
    pasts: Mapping[int, int]
    """Interval to the number of the past frame that the cue would get."""
    captured_s: float | None
    descriptor: Floats
    moving: float
    """Share of the picture that changed since the longest interval, in [0, 1]."""
    content: Content
    """Brightness and contrast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What one source offers."""

    path: Path
    fps: float | None
    size: tuple[int, int]
    """(height, width)."""
    frames: int
    """Frames decoded."""
    candidates: Sequence[Candidate]
    """In order of time, evenly spaced."""
    value_range: ValueRange | None = None
    """Values that became 0 and 255, where the user said so."""
    steps: Sequence[float]
    """Distances in colour between consecutive frames, for `near_duplicate_distance`."""


def survey(
    path: Path,
    intervals: Sequence[int],
    nominal_fps: float,
    progress: Callable[[int], None],
    *,
    value_range: ValueRange | None = None,
) -> Survey:
    """Read all frames of `path` once. progress: called with the number of frames done.

    value_range: see `open_source`.

    Raises SourceError where a frame cannot be read, CalibrationError for a source shorter than the history.
    """
    sampler = _Sampler(max(intervals))
    history: History[tuple[int, Grey]] = History(intervals, nominal_fps)
    times: dict[int, float | None] = {}
    before: Frame | None = None
    size = (0, 0)
    with open_source(path, value_range=value_range) as source:
        for frame in source:
            small = reduced(frame.image)
            history.push((frame.index, grey(small)), frame.captured_s)
            times[frame.index] = frame.captured_s
            if not history.warming_up and before is not None:
                pasts = {tau: history.past(tau) for tau in intervals}
                sampler.offer(small, before, pasts, frame.index, frame.captured_s)
            before, size = small, (frame.image.shape[0], frame.image.shape[1])
            progress(len(times))
        fps = source.fps
    if not sampler.candidates:
        raise CalibrationError(_without_history(path, times, fps, max(intervals), nominal_fps))
    return Survey(
        path=path,
        fps=fps,
        size=size,
        frames=len(times),
        candidates=sampler.candidates,
        steps=sampler.steps,
        value_range=value_range,
    )


def _without_history(
    path: Path,
    times: Mapping[int, float | None],
    fps: float | None,
    longest: int,
    nominal_fps: float,
) -> str:
    """Why no frame of a source has the past that the cue needs: pauses, or a source that is too short."""
    pause_s = longest_pause_s(longest / nominal_fps)
    steps = [after - before for before, after in pairwise(t for t in times.values() if t is not None)]
    pauses = [step for step in steps if not 0 <= step <= pause_s]
    lasts_s = sum(step for step in steps if step > 0)
    if not pauses or lasts_s < longest / nominal_fps:
        return _too_short(path, len(times), fps, longest, nominal_fps)
    apart = _spoken_s(float(np.median(steps)))
    return (
        f"{path} has {len(times)} frames over {_spoken_s(lasts_s)}, {apart} apart (median), and "
        f"{len(pauses)} pauses of more than {_spoken_s(pause_s)}. The cue compares each frame with one "
        f"{_spoken_s(longest / nominal_fps)} before it, and no stretch without a pause holds both. "
        "A time lapse shows no motion, however long it is: record video, at best "
        f"{nominal_fps:g} frames/s, without pauses."
    )


def _spoken_s(seconds: float) -> str:
    """A duration as people say it: "0.4 s", "32 min", "3.3 h"."""
    if seconds >= 7200:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 1000 else f"{seconds:.3g} s"


def _too_short(path: Path, frames: int, fps: float | None, needed: int, nominal_fps: float) -> str:
    has = f"{frames} frames" + (f" at {fps:g} frames/s ({frames / fps:.2f} s)" if fps else "")
    return (
        f"{path} has {has}; the history alone (the longest interval) takes {needed} frames at "
        f"{nominal_fps:g} frames/s ({needed / nominal_fps:.2f} s), and one more frame is needed. "
        "Record a longer clip (minutes, at different times of day), or choose shorter intervals."
    )


class _Sampler:
    """Candidates at an even spacing that doubles when there are too many: no need to know the length."""

    def __init__(self, longest: int) -> None:
        self.candidates: list[Candidate] = []
        self.steps: list[float] = []
        self._longest = longest
        self._stride = 1
        self._offered = 0

    def offer(
        self,
        small: Frame,
        before: Frame,
        pasts: Mapping[int, tuple[int, Grey]],
        number: int,
        captured_s: float | None,
    ) -> None:
        self._offered += 1
        if (self._offered - 1) % self._stride:
            return
        look, present, past = colours(small), grey(small), pasts[self._longest][1]
        self.steps.append(float(np.linalg.norm(look - colours(before))))
        self.candidates.append(
            Candidate(
                number=number,
                pasts={tau: index for tau, (index, _) in pasts.items()},
                captured_s=captured_s,
                descriptor=np.concatenate([look, motion(present, past)]),
                moving=moving_share(present, past),
                content=content_of(small),
            )
        )
        if len(self.candidates) == 2 * CANDIDATES:
            del self.candidates[1::2], self.steps[1::2]
            self._stride *= 2
