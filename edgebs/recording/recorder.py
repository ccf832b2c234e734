"""What is found in one camera's frames, on its way to files; and what is counted of it."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgebs.bundle.manifest import Manifest
from edgebs.errors import BundleError, CamerasFailed, EdgebsError, SinkError, StageError
from edgebs.files import is_endless_link
from edgebs.machine.interrupts import StopRequest
from edgebs.pipeline import Pipeline
from edgebs.tensors import latency_percentiles
from edgebs.text import source_name
from edgebs.video import Source
from edgebs.video.open import local_path
from edgebs.video.sink import Sink, open_mask_sink, open_overlay_sink
from edgebs.workers import Counters, Result

logger = logging.getLogger(__name__)

LATENCIES_KEPT = 10_000
"""Percentiles are over the last so many frames: a camera runs for months."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraOutputs:
    """A source, and the files that belong to it."""

    source: str | Path
    mask: Path | None = None
    """Mask video, or folder for PNG files."""
    overlay: Path | None = None
    """Video with the foreground drawn in."""
    background: Path | None = None
    """File of the scene's background: restored if there, saved at the end."""
    value_range: tuple[float, float] | None = None
    """Values that become 0 and 255, see `edgebs.video.open.open_source`."""
    is_frozen: bool = False
    """Whether that background is used as it was saved, and left so."""

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Files that grow with every frame."""
        return tuple(path for path in (self.mask, self.overlay) if path is not None)

    @property
    def kept_background(self) -> Path | None:
        """Where the background is saved at the end."""
        return None if self.is_frozen else self.background

    @property
    def written(self) -> tuple[Path, ...]:
        """All that is there afterwards."""
        return self.outputs if self.kept_background is None else (*self.outputs, self.kept_background)

    @property
    def read(self) -> tuple[str | Path, ...]:
        """What must stay as it is."""
        is_read = self.background is not None and self.is_frozen
        return (self.source, str(self.background)) if is_read else (self.source,)


def refuse_same_files(recordings: Sequence[CameraOutputs]) -> None:
    """Raise SinkError where a file would be written that is read, or written already; also with force.

    And where an output lies in another, a folder of masks.
    """
    read = {_resolved(path): path for recording in recordings for path in recording.read}
    written: set[Path] = set()
    for path in (path for recording in recordings for path in recording.written):
        file = _resolved(path)
        if file in read:
            raise SinkError(
                f"{source_name(path)} is the source {source_name(read[file])}, and would be replaced. "
                "Name another output."
            )
        if file in written:
            raise SinkError(f"two outputs have the same name, {path}. Give each its own.")
        written.add(file)
    _refuse_nested([path for recording in recordings for path in recording.outputs])


def _refuse_nested(outputs: Sequence[Path]) -> None:
    """A folder of masks gets its name at the end, and only where nothing but masks is there."""
    places = {_resolved(path): path for path in outputs}
    for file, path in places.items():
        folder = next((places[parent] for parent in file.parents if parent in places), None)
        if folder is not None:
            raise SinkError(f"{path} lies in {folder}, where masks go and nothing else. Name another place.")


def _resolved(path: str | Path) -> Path:
    # Not Path.resolve: for links that lead to each other it raises RuntimeError.
    return Path(os.path.realpath(local_path(str(path))))


def begin_with_background(pipeline: Pipeline, recording: CameraOutputs) -> None:
    """Restore the background from its file, where that exists, and freeze it if asked. Raises BundleError."""
    if recording.background is None:
        if recording.is_frozen:
            raise BundleError(
                "there is no background to freeze: name the file of one with --background FILE."
            )
        return
    if is_endless_link(recording.background):
        raise BundleError(
            f"{recording.background} is a link that leads to itself. Name a file, or remove it."
        )
    if recording.background.exists() or recording.is_frozen:
        pipeline.restore_background(recording.background)
    else:
        pipeline.require_background_cue()
    if recording.is_frozen:
        pipeline.freeze_background()


class Recorder(AbstractContextManager["Recorder"]):
    """Writes one camera's results, and counts them. Leaving its `with` block by an exception discards."""

    def __init__(self, recording: CameraOutputs, stream: Source, *, force: bool = False) -> None:
        """Open the outputs for `stream`. Raises SinkError, and leaves nothing behind then."""
        self.name, self.recording = stream.name, recording
        self.frames = 0
        self._losses = stream.losses
        self._last: Result | None = None
        self._sinks: list[Sink] = []
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._foreground, self._pixels = 0, 0
        with ExitStack() as stack:
            for sink in _sinks(recording, stream, force):
                self._sinks.append(stack.enter_context(sink))
            self._opened = stack.pop_all()

    def add(self, result: Result) -> None:
        """Write one result. Raises SinkError."""
        if result.missing_before:
            self._fill(result)
        for sink in self._sinks:
            sink.write(result.frame, result.mask, result.probability, result.captured_s)
        self._last = result
        self.frames += 1
        self._latencies.append(result.latency_ms)
        self._foreground += int(np.count_nonzero(result.mask))
        self._pixels += result.mask.size

    def _fill(self, result: Result) -> None:
        """Repeat the mask before for frames that are missing; before the first frame, with no foreground.

        So the mask of frame n of the source's time line is mask n.
        """
        missing, last = result.missing_before, self._last
        frame, mask = result.frame, np.zeros_like(result.mask)
        begin_s = None
        if last is not None:
            frame, mask, begin_s = last.frame, last.mask, last.captured_s
        times = _times_between(begin_s, result.captured_s, missing)
        for time_s in times:
            for sink in self._sinks:
                sink.write(frame, mask, result.probability, time_s)

    @contextmanager
    def kept_on_failure(self, stop: StopRequest) -> Iterator[None]:
        """Finish the outputs when the stream breaks or the user stops it: valid masks are kept."""
        try:
            yield
        except (StageError, KeyboardInterrupt):
            self.keep()
            raise
        if stop.asked:
            self.keep()

    def keep(self) -> None:
        """Finish the outputs, with the frames so far."""
        for sink in self._sinks:
            sink.close()
        if self.recording.outputs and self.frames:
            kept = ", ".join(map(str, self.recording.outputs))
            logger.warning("%s: kept, with the frames before the stream ended", kept)

    def discard(self) -> None:
        for sink in self._sinks:
            sink.discard()

    def save_background(self, pipeline: Pipeline) -> None:
        """Save the scene's background if a file is set. Raises BundleError, SinkError."""
        if self.recording.kept_background is not None and self.frames:
            pipeline.save_background(self.recording.kept_background)

    def summary(self, manifest: Manifest, counters: Counters, elapsed_s: float) -> dict[str, Any]:
        """Frames, fps of the whole run, latency and share of foreground."""
        return {
            "bundle": manifest.name,
            "trained": manifest.trained,
            "frames_in": counters.frames_in,
            "frames_out": counters.frames_out,
            "frames_dropped": counters.frames_dropped,
            "frames_missing": self._losses.missing,
            "frames_damaged": self._losses.damaged,
            "fps": counters.frames_out / elapsed_s if elapsed_s else 0.0,
            "latency_ms": latency_percentiles(self._latencies),
            "foreground_share": self._foreground / max(self._pixels, 1),
        }

    def __exit__(self, *error: Any) -> None:
        """Finish the outputs, or after an exception discard them."""
        self._opened.__exit__(*error)


def _sinks(recording: CameraOutputs, stream: Source, force: bool) -> Iterator[Sink]:
    for place, opened in ((recording.mask, open_mask_sink), (recording.overlay, open_overlay_sink)):
        if place is not None:
            yield opened(
                place, stream.size, stream.fps, force=force, has_variable_rate=stream.has_variable_rate
            )


def _times_between(begin_s: float | None, end_s: float | None, count: int) -> list[float | None]:
    """Times of `count` frames, evenly between two others; None where one of both is unknown."""
    if begin_s is None or end_s is None:
        return [None] * count
    step_s = (end_s - begin_s) / (count + 1)
    return [begin_s + step_s * number for number in range(1, count + 1)]


def frame_counter(
    progress: Callable[[int, int], None] | None, streams: Sequence[Source], frames: int | None
) -> Callable[[], None]:
    """What is called after each frame of each camera, from whichever thread.

    progress: called with frames done and frames in all (0 if one camera has no known number).
    """
    totals = [frames or stream.frame_count or 0 for stream in streams]
    total = sum(totals) if all(totals) else 0
    done, counting = 0, threading.Lock()

    def count() -> None:
        nonlocal done
        if progress:
            with counting:
                done += 1
                progress(done, total)

    return count


def cause_of(error: Exception, frames: int) -> str:
    """What a camera failed with. frames: how many it had by then."""
    if isinstance(error, StageError):
        return str(error)
    kind = "" if isinstance(error, EdgebsError) else f"{type(error).__name__}: "
    return f"after {frames} frames: {kind}{error}"


def report_failure(place: int, name: str, error: Exception, frames: int) -> None:
    """Say now that a camera failed: the others may go on for months."""
    is_expected = isinstance(error, EdgebsError | OSError)
    logger.warning(
        "camera %d (%s) failed: %s", place, name, cause_of(error, frames), exc_info=not is_expected
    )


def summary_of_all(cameras: Sequence[Mapping[str, Any]], elapsed_s: float) -> dict[str, Any]:
    """The summary of a run: those of its cameras, and what they did in all."""
    frames = sum(camera["frames_out"] for camera in cameras)
    return {
        "cameras": list(cameras),
        "frames_out": frames,
        "fps": frames / elapsed_s,
        "interrupted": any(camera["interrupted"] for camera in cameras),
    }


def require_none_failed(summary: Mapping[str, Any]) -> None:
    """Raise CamerasFailed naming each camera of a run that failed, and its cause."""
    cameras = summary["cameras"]
    failed = [
        f"camera {place} ({camera['source']}): {camera['error']}"
        for place, camera in enumerate(cameras)
        if camera["error"] is not None
    ]
    if failed:
        raise CamerasFailed(f"{len(failed)} of {len(cameras)} cameras failed: " + "; ".join(failed))
