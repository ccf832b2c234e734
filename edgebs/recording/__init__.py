"""Runs whose results are written to files, over one source or several."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from edgebs.loading import load, load_several
from edgebs.machine.interrupts import StopRequest, ask_first
from edgebs.nvidia import DeviceOptions
from edgebs.pipeline import Pipeline
from edgebs.recording.recorder import (
    CameraOutputs,
    Recorder,
    begin_with_background,
    cause_of,
    frame_counter,
    refuse_same_files,
    report_failure,
    summary_of_all,
)
from edgebs.video.open import open_source
from edgebs.workers import Run


def run_to_files(
    bundle: str | Path,
    source: str | Path,
    *,
    mask: Path | None = None,
    overlay: Path | None = None,
    frames: int | None = None,
    threads: int = 0,
    threshold: float | None = None,
    cleanup: bool = True,
    background: Path | None = None,
    freeze_background: bool = False,
    value_range: tuple[float, float] | None = None,
    device: DeviceOptions | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run `bundle` over `source`; write masks and overlays; return counts, fps, latency and foreground share.

    fps is that of the whole run, writing included. Files appear when they are complete; a source
    that breaks off, and an interruption (Ctrl-C, SIGTERM), leave the outputs of the frames before it; after
    an interruption the summary says `interrupted`. background: a file that the scene's background is restored
    from where it exists, and saved to at the end. freeze_background: use it as it was saved, and leave it so.
    value_range: see `edgebs.video.open.open_source`. device: see `edgebs.load`.
    Raises EdgebsError where the bundle, the source or an output cannot be used.
    """
    recording = CameraOutputs(
        source=source,
        value_range=value_range,
        mask=mask,
        overlay=overlay,
        background=background,
        is_frozen=freeze_background,
    )
    refuse_same_files([recording])
    with ExitStack() as stack:
        stream = stack.enter_context(open_source(source, value_range=value_range))
        pipeline = stack.enter_context(
            load(bundle, threads=threads, threshold=threshold, cleanup=cleanup, device=device)
        )
        begin_with_background(pipeline, recording)
        is_whole = False
        with Recorder(recording, stream, force=force) as recorder:
            started_s = time.perf_counter()
            stop = ask_first()
            with suppress(KeyboardInterrupt), recorder.kept_on_failure(stop):
                with pipeline.run(stream, frames=frames) as results:
                    stop.when_asked(results.ask_to_end)
                    for result in results:
                        recorder.add(result)
                        if progress:
                            progress(result.index + 1, frames or stream.frame_count or 0)
                is_whole = not stop.asked
            elapsed_s = time.perf_counter() - started_s
        # After the masks: they are not lost with a background that cannot be written.
        recorder.save_background(pipeline)
        summary = recorder.summary(pipeline.manifest, pipeline.counters, elapsed_s)
        return {**summary, "interrupted": not is_whole}


def run_several_to_files(
    bundle: str | Path,
    recordings: Sequence[CameraOutputs],
    *,
    frames: int | None = None,
    threads: int = 0,
    threshold: float | None = None,
    cleanup: bool = True,
    device: DeviceOptions | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run `bundle` over the source of each recording, by a pipeline each; TensorRT engines are shared.

    Returns `cameras`, with what `run_to_files` returns of each, and frames and fps of all. A camera that
    fails leaves the outputs of its frames so far (none where they cannot be written), and its summary an
    `error`; the others go on. See `edgebs.recording.recorder.require_none_failed`. frames: of each camera.
    progress: frames of all of them. The rest is see `run_to_files`.
    Raises EdgebsError where the bundle, a source or an output cannot be used from the start.
    """
    refuse_same_files(recordings)
    with ExitStack() as stack:
        streams = [
            stack.enter_context(open_source(each.source, value_range=each.value_range)) for each in recordings
        ]
        opened = load_several(
            bundle, len(recordings), threads=threads, threshold=threshold, cleanup=cleanup, device=device
        )
        pipelines = [stack.enter_context(pipeline) for pipeline in opened]
        for pipeline, recording in zip(pipelines, recordings, strict=True):
            begin_with_background(pipeline, recording)
        recorders = [
            stack.enter_context(Recorder(recording, stream, force=force))
            for recording, stream in zip(recordings, streams, strict=True)
        ]
        count = frame_counter(progress, streams, frames)
        cameras = [
            _Camera(place, pipelines[place], pipelines[place].run(stream, frames=frames), recorder, count)
            for place, (stream, recorder) in enumerate(zip(streams, recorders, strict=True))
        ]
        # Entered last, left first: nothing is freed that a thread still uses.
        stack.callback(_stop, cameras)
        started_s = time.perf_counter()
        stop = ask_first()
        for camera in cameras:
            stop.when_asked(camera.ask_to_stop)
        with suppress(KeyboardInterrupt):
            for camera in cameras:
                camera.start()
            for camera in cameras:
                camera.join()
        _stop(cameras)
        return summary_of_all([camera.summary() for camera in cameras], time.perf_counter() - started_s)


class _Camera:
    """One run on its way to its files."""

    def __init__(
        self, place: int, pipeline: Pipeline, run: Run, recorder: Recorder, count: Callable[[], None]
    ) -> None:
        """run: of `pipeline`. count: called after each frame, by this camera's thread."""
        self._place, self._pipeline, self._run = place, pipeline, run
        self._recorder, self._count = recorder, count
        self._thread = threading.Thread(target=self._record, name=f"edgebs-camera-{place}")
        self._is_stopped = False
        self._is_whole = False
        self._failure: Exception | None = None
        self._elapsed_s = 0.0

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def ask_to_stop(self) -> None:
        """End it with the frames so far, without waiting for it."""
        self._is_stopped = True
        self._run.ask_to_end()

    def stop(self) -> None:
        """End it with the frames so far, and wait until its outputs are finished. May be called twice."""
        self.ask_to_stop()
        self._run.close()
        if self._thread.ident is not None:
            self._thread.join()

    def summary(self) -> dict[str, Any]:
        """See `run_to_files`, with the source and what it failed with."""
        counts = self._recorder.summary(self._pipeline.manifest, self._pipeline.counters, self._elapsed_s)
        failure = self._failure
        return {
            "source": self._recorder.name,
            **counts,
            "interrupted": not self._is_whole and failure is None,
            "error": None if failure is None else cause_of(failure, self._recorder.frames),
        }

    def _record(self) -> None:
        started_s = time.perf_counter()
        try:
            with self._recorder, self._recorder.kept_on_failure(StopRequest()):
                for result in self._run:
                    self._recorder.add(result)
                    self._count()
                self._is_whole = not self._is_stopped
            self._recorder.save_background(self._pipeline)
        except Exception as error:
            self._failure = error
            report_failure(self._place, self._recorder.name, error, self._recorder.frames)
        finally:
            self._elapsed_s = time.perf_counter() - started_s
            self._run.close()


def _stop(cameras: Sequence[_Camera]) -> None:
    """All at once: to leave a source that does not answer takes a second."""
    stopping = [threading.Thread(target=camera.stop) for camera in cameras]
    for thread in stopping:
        thread.start()
    for thread in stopping:
        thread.join()
