"""Makes a calibration set: frames that cover the user's own video, with the history that the cue needs.

Two passes over every source, so that an hour of video needs no more memory than a minute: `survey` sees what
there is, `select` chooses, `write_set` stores the chosen frames and the ones that they look back to.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from calib.frames import FACTS, FORMAT, CalibrationSample, CalibrationSet, load_calibration_set
from calib.frames.content import flat_frames, require_contents
from calib.frames.select import STILL_SHARE, near_duplicate_distance, select
from calib.frames.survey import Survey, survey
from calib.frames.write import Plan, write_set
from edgebs.errors import CalibrationError
from edgebs.files import atomic_folder
from edgebs.machine.console import Progress
from edgebs.text import source_name
from edgebs.version import __version__
from edgebs.video.bit_depth import ValueRange
from edgebs.video.open import local_path, open_source

__all__ = ["CalibrationSample", "CalibrationSet", "load_calibration_set", "make_calibration_set"]

logger = logging.getLogger(__name__)


def make_calibration_set(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    frames: int = 300,
    intervals: Sequence[int] = (1, 5, 10),
    nominal_fps: float = 25.0,
    value_range: ValueRange | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> CalibrationSet:
    """Choose at most `frames` samples over all `sources` and store them in the folder `out`.

    sources: video files and folders of pictures; they share the budget. intervals: frames at `nominal_fps`
    that the cue looks back. value_range: see `open_source`.
    seed: equal seeds choose equally. force: replace a set that is there.
    progress: called with frames read, of how many, over both passes.
    Fewer distinct frames than asked, and a source in which nothing moves, are logged and stored as warnings.
    Raises CalibrationError for a rate that is no number above 0, a source shorter than the history or with
    pauses in every history, frames that are all black, white or even, or an `out` that exists or cannot be
    written; SourceError for what cannot be read.
    """
    if frames < 1 or not sources:
        raise ValueError(f"at least one frame and one source are needed; got {frames} and {len(sources)}")
    if not 0 < nominal_fps < math.inf:
        raise CalibrationError(f"--nominal-fps must be a number above 0, got {nominal_fps}.")
    paths = [_recorded(str(source)) for source in sources]
    _require_replaceable(Path(out), force=force)
    steps = _Steps(paths, progress, value_range)
    with atomic_folder(Path(out), CalibrationError, force=force) as folder:
        surveys = [
            survey(path, intervals, nominal_fps, steps.show, value_range=value_range) for path in paths
        ]
        plans = _planned(surveys, frames, seed)
        contents = [candidate.content for seen in surveys for candidate in seen.candidates]
        require_contents(contents, ", ".join(path.name for path in paths))
        header = {
            "format": FORMAT,
            "tool": f"edgebs {__version__}",
            "intervals": list(intervals),
            "nominal_fps": nominal_fps,
            "look_ahead": False,  # of the format: sets made before hash it
            "frames_asked": frames,
            "seed": seed,
            "warnings": _warnings(plans, frames),
        }
        write_set(folder, plans, header, steps.show)
    steps.finish()
    made = load_calibration_set(out)
    logger.info("wrote %d samples to %s; look at its contact sheet", len(made.samples), out)
    return made


def _recorded(source: str) -> Path:
    """The path of a source that can be read twice."""
    path = local_path(source)
    is_pipe = path.exists() and not (path.is_file() or path.is_dir())
    if is_pipe or (not path.exists() and ("://" in source or source.isdecimal() or " ! " in source)):
        raise CalibrationError(
            f"{source_name(source)} is live, and calibration reads its sources twice. Record some minutes at "
            "different times of day first, as in: ffmpeg -i ADDRESS -c copy -t 600 morning.mkv"
        )
    return path


def _require_replaceable(out: Path, *, force: bool) -> None:
    """Asked before the first pass. `force` replaces a calibration set, never a folder of other things."""
    if not os.path.lexists(out):
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / FACTS).is_file()):
        raise CalibrationError(f"{out} is no calibration set, so it is not replaced. Choose another name.")
    if not force:
        raise CalibrationError(f"{out} exists already. Choose another name, or replace it with --force.")


def _planned(surveys: Sequence[Survey], frames: int, seed: int) -> list[Plan]:
    candidates = [candidate for seen in surveys for candidate in seen.candidates]
    groups = [group for group, seen in enumerate(surveys) for _ in seen.candidates]
    limits = [near_duplicate_distance(seen.steps) for seen in surveys]
    chosen = select([one.descriptor for one in candidates], groups, limits, frames, seed=seed)
    names = _names([seen.path for seen in surveys])
    return [
        Plan(name=name, survey=seen, picks=[candidates[i] for i in chosen if groups[i] == group])
        for group, (name, seen) in enumerate(zip(names, surveys, strict=True))
    ]


def _names(paths: Sequence[Path]) -> list[str]:
    """Short names fit for files, each once: "yard", "yard-2"."""
    names: list[str] = []
    for path in paths:
        whole = path.resolve()
        stem = f"{whole.parent.name}-input" if whole.name.lower() == "input" else whole.stem
        plain = re.sub(r"[^A-Za-z0-9-]+", "-", stem).strip("-") or "source"
        count = sum(re.fullmatch(rf"{re.escape(plain)}(-\d+)?", name) is not None for name in names)
        names.append(f"{plain}-{count + 1}" if count else plain)
    return names


def _warnings(plans: Sequence[Plan], frames: int) -> list[str]:
    warnings = [
        f"nothing moves in {plan.survey.path.name}: the cue would be calibrated on stillness; add motion"
        for plan in plans
        if max(candidate.moving for candidate in plan.survey.candidates) < STILL_SHARE
    ]
    warnings += [
        f"{flat} in {plan.survey.path.name}: they show nothing, leave them out of the recording"
        for plan in plans
        if (flat := flat_frames([pick.content for pick in plan.picks]))
    ]
    found = sum(len(plan.picks) for plan in plans)
    if found < frames:
        frame_were = "frame was" if found == 1 else "frames were"
        warnings.append(
            f"only {found} distinct {frame_were} found of {frames} asked for, near-duplicates left out; "
            "longer clips, or clips of other times of day, give more"
        )
    for text in warnings:
        logger.warning("%s", text)
    return warnings


class _Steps:
    """Progress over both passes. Opens every source first: a broken one is found before an hour is spent."""

    def __init__(
        self, paths: Sequence[Path], progress: Progress | None, value_range: ValueRange | None
    ) -> None:
        self._progress = progress
        self._before = 0
        self._here = 0
        self._total = 0
        for path in paths:
            with open_source(path, value_range=value_range) as source:
                self._total += 2 * (source.frame_count or 0)

    def show(self, here: int) -> None:
        """`here` frames of the present source are done."""
        if self._progress is None:
            return
        if here < self._here:  # the next source
            self._before += self._here
        self._here = here
        self._progress(min(self._before + here, self._total), self._total)

    def finish(self) -> None:
        """Everything is done, also where a file held less than it promised."""
        if self._progress is not None:
            self._progress(self._total, self._total)
