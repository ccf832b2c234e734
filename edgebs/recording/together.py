"""A bundle run over several sources, one call per network for all: more frames/s, at the slowest pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from edgebs.bundle.manifest import Manifest
from edgebs.cameras import Cameras
from edgebs.errors import EdgebsError, StageError
from edgebs.loading import load_cameras
from edgebs.machine.interrupts import StopRequest, ask_first
from edgebs.nvidia import DeviceOptions
from edgebs.recording.recorder import (
    CameraOutputs,
    Recorder,
    cause_of,
    frame_counter,
    refuse_same_files,
    report_failure,
    summary_of_all,
)
from edgebs.video import Source, SourceFrame
from edgebs.video.open import open_source
from edgebs.workers import LEAVE_S, Counters, Result


def run_together_to_files(
    bundle: str | Path,
    recordings: Sequence[CameraOutputs],
    *,
    frames: int | None = None,
    threshold: float | None = None,
    cleanup: bool = True,
    device: DeviceOptions | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run a bundle of plans with a batch profile over the sources of all recordings, a frame of each a call.

    As `run_several_to_files`, but a source that has no frame yet holds up the others; and no background is
    kept. A failure of the GPU is one of every camera that had not ended.
    """
    refuse_same_files(recordings)
    with ExitStack() as stack:
        streams = [
            stack.enter_context(open_source(each.source, value_range=each.value_range)) for each in recordings
        ]
        cameras = stack.enter_context(
            load_cameras(bundle, len(recordings), threshold=threshold, cleanup=cleanup, device=device)
        )
        recorders = [
            stack.enter_context(Recorder(recording, stream, force=force))
            for recording, stream in zip(recordings, streams, strict=True)
        ]
        count = frame_counter(progress, streams, frames)
        stop = ask_first()
        feeds = [
            _Feed(place, stream, recorder, frames, count, stop)
            for place, (stream, recorder) in enumerate(zip(streams, recorders, strict=True))
        ]
        started_s = time.perf_counter()
        with suppress(KeyboardInterrupt):
            _record_until(stop, cameras, feeds)
        elapsed_s = time.perf_counter() - started_s
        return summary_of_all([feed.summary(cameras.manifest, elapsed_s) for feed in feeds], elapsed_s)


class _Stopped(BaseException):
    """Raised in the thread that records, past all that handles the failure of a source."""


def _record_until(stop: StopRequest, cameras: Cameras, feeds: Sequence[_Feed]) -> None:
    """Record in another thread: this one must not wait for a source that does not answer."""
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def work() -> None:
        try:
            _record(cameras, feeds)
            ended.put(None)
        except BaseException as error:
            ended.put(error)

    threading.Thread(target=work, name="edgebs-together", daemon=True).start()
    stop.when_asked(partial(ended.put, _Stopped()))
    try:
        outcome = ended.get()
    except KeyboardInterrupt:
        outcome = None
        stop.ask()
    if stop.asked:
        with suppress(Empty):
            outcome = ended.get(timeout=LEAVE_S)
    for feed in feeds:
        feed.end()
    if outcome is not None and not isinstance(outcome, _Stopped):
        raise outcome


def _record(cameras: Cameras, feeds: Sequence[_Feed]) -> None:
    try:
        for results in cameras.run([feed.source() for feed in feeds]):
            for feed, result in zip(feeds, results, strict=True):
                if result is not None:
                    feed.record(result)
    except EdgebsError as error:
        for feed in feeds:
            if not feed.is_whole:
                feed.fail(error)


class _Feed:
    """One camera's frames on their way in, and its results on their way to files."""

    def __init__(
        self,
        place: int,
        stream: Source,
        recorder: Recorder,
        frames: int | None,
        count: Callable[[], None],
        stop: StopRequest,
    ) -> None:
        """frames: how many at most. count: called after each."""
        self._stop = stop
        self._recording = threading.Lock()
        self._is_over = False
        self._place, self._stream, self._recorder = place, stream, recorder
        self._frames, self._count = frames, count
        self._read = 0
        self._has_ended = False
        self._is_written = True
        self._failure: Exception | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the source has ended, or failed, and all of its frames are recorded."""
        return self._failure is not None or (self._has_ended and self._recorder.frames == self._read)

    def source(self) -> Source:
        """Its frames until it ends; it ends too where it fails, so that the others go on."""
        stream = self._stream
        return Source(self._frames_until_failure(), name=stream.name, fps=stream.fps, size=stream.size)

    def record(self, result: Result) -> None:
        """Write a result, unless an earlier one could not be written."""
        with self._recording:
            if not self._is_written or self._is_over:
                return
            try:
                self._recorder.add(result)
            except (EdgebsError, OSError) as error:
                self._is_written = False
                self._recorder.discard()
                self.fail(error)
                return
        self._count()

    def end(self) -> None:
        """Record nothing from now on, whatever the thread does that records."""
        with self._recording:
            self._is_over = True

    def fail(self, error: Exception) -> None:
        """Note the first failure, and say it."""
        if self._failure is None and not self._is_over:
            self._failure = error
            report_failure(self._place, self._recorder.name, error, self._recorder.frames)

    def summary(self, manifest: Manifest, elapsed_s: float) -> dict[str, Any]:
        """See `run_to_files`, with the source and what it failed with."""
        done, failure = self._recorder.frames, self._failure
        counters = Counters(frames_in=self._read, frames_out=done, frames_dropped=self._read - done)
        return {
            "source": self._recorder.name,
            **self._recorder.summary(manifest, counters, elapsed_s),
            "interrupted": not self.is_whole,
            "error": None if failure is None else cause_of(failure, done),
        }

    def _frames_until_failure(self) -> Iterator[SourceFrame]:
        try:
            for item in islice(self._stream, self._frames):
                # Also after the run was left because of this source: the engines may be freed by now.
                if self._stop.asked:
                    raise _Stopped
                if not self._is_written:
                    return
                self._read += 1
                yield item
            self._has_ended = True
        except Exception as error:
            self.fail(StageError("source", self._read, error))
