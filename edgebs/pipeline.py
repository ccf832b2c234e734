"""One camera's frames to masks: while frame t is segmented, the cue of frame t+1 is computed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from edgebs.backends import Backend
from edgebs.channel import Channel
from edgebs.cues import Cue
from edgebs.errors import StageError
from edgebs.manifest import Manifest
from edgebs.preprocess import check_frame, mask_from_probability, network_frame
from edgebs.sources import Source, SourceFrame, open_source
from edgebs.tensors import Array, Frame

QUEUE_FRAMES = 1
"""Frames waiting between two stages. One keeps both stages busy; more would only add latency.

The cue stage reads its next frame when this place is free, so a frame is at most two segmentations old.
"""

LEAVE_S = 1.0
"""How long leaving waits for the workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the pipeline says of one frame."""

    index: int
    """Position in the stream, from 0."""
    frame: Frame
    """The frame itself, at the camera's size."""
    mask: Frame
    """(H, W) uint8, 0 background, 255 foreground, at the frame's own size."""
    probability: Array
    """(h, w) float32 in [0, 1], foreground, at network size."""
    captured_s: float | None
    """The source's time stamp, where it has one."""
    latency_ms: float
    """From the frame's arrival from the source to its mask, waiting between stages included."""
    stages_ms: Mapping[str, float]
    """read (source), pre (resize), cue, segment, post."""
    warming_up: bool
    """Whether the history was still shorter than the longest interval."""


@dataclass(slots=True)
class Counters:
    """Frames of the current or last run. frames_in = frames_out + frames_dropped once it has ended."""

    frames_in: int = 0
    frames_out: int = 0
    frames_dropped: int = 0
    """Frames that were on their way when the run ended early."""


@dataclass(slots=True)
class _Work:
    """A frame on its way."""

    source: SourceFrame
    index: int
    arrived_s: float
    small: Frame
    stages_ms: dict[str, float]
    cue: Mapping[str, Array] = field(default_factory=dict)
    warming_up: bool = False


class _Clock:
    """Milliseconds since the last lap."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        elapsed_ms = (now - self._last) * 1e3
        self._last = now
        return elapsed_ms


class Pipeline:
    """Two stages, two workers, one camera. Engines are owned: closing the pipeline closes them."""

    def __init__(self, manifest: Manifest, segment: Backend, cue: Cue) -> None:
        """Use `edgebs.load`; built by hand only from a fake backend in a test."""
        self.manifest = manifest
        self.counters = Counters()
        self._segment = segment
        self._cue = cue
        self._running = threading.Lock()
        self._next_index = 0
        self._run: _Run | None = None

    def process(self, frame: Frame, captured_s: float | None = None) -> Result:
        """Segment one frame now, in the caller's thread, with the history of the frames before it.

        frame: (H, W, 3) uint8 BGR. Raises SourceError for anything else, RuntimeError while `run` is active.
        """
        if not self._running.acquire(blocking=False):
            raise RuntimeError("the pipeline is running; process() and run() cannot overlap")
        try:
            index = self._next_index
            arrived_s = time.perf_counter()
            work = self._cued(SourceFrame(image=frame, captured_s=captured_s, index=index), index, arrived_s)
            result = self._segmented(work)
            self._next_index += 1
            return result
        finally:
            self._running.release()

    def run(
        self, source: str | Path | int | Source | Iterable[Frame], *, frames: int | None = None
    ) -> Iterator[Result]:
        """Yield one result per frame of `source`, in order, both stages overlapping.

        source: a video file, image folder, camera index, URL, open `Source`, or any iterable of
        (H, W, 3) uint8 BGR frames; read in a worker thread. frames: stop after that many.
        The history starts empty. Leaving the loop ends the workers. An error in a worker is raised here
        as StageError with the frame's index, after the results of the frames before it.
        """
        opened = source if isinstance(source, Source) else open_source(source)
        with closing(_Run(self, opened, frames)) as run:
            yield from run.results()

    def segment(self, small: Frame, cue: Mapping[str, Array]) -> Array:
        """Foreground probability (h, w) float32 of a frame at network size with a given cue.

        The array is overwritten by the next call.
        """
        probability: Array = self._segment.infer({"frame": small[np.newaxis], **cue})["probability"][0]
        return probability

    def trace(self, frame: Frame, captured_s: float | None) -> tuple[Array, Array]:
        """The cue (1, K, h, w) and probability (h, w) of a frame: what `process` computes inside, for parity.

        Both are overwritten by later calls.
        """
        small = network_frame(frame, self.manifest.size)
        cue = self._cue.update(small, captured_s).tensors
        return cue["cue"], self.segment(small, cue)

    def remember(self, frame: Frame, captured_s: float | None) -> None:
        """Put a frame into the history without computing anything: a slow pipeline warms up quickly."""
        self._cue.remember(network_frame(frame, self.manifest.size), captured_s)

    def descriptions(self) -> dict[str, str]:
        """What runs each stage, for reports."""
        return {"segment": self._segment.description, "cue": self._cue.description}

    def reset(self) -> None:
        """Forget the history, as between two scenes."""
        self._cue.reset()
        self._next_index = 0

    def close(self) -> None:
        """End a run that is still active and free the engines. May be called twice."""
        if self._run is not None:
            self._run.close()
        self._cue.close()
        self._segment.close()

    def __enter__(self) -> Pipeline:
        """The pipeline itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _cued(self, source: SourceFrame, index: int, arrived_s: float) -> _Work:
        clock = _Clock()
        check_frame(source.image)
        small = network_frame(source.image, self.manifest.size)
        work = _Work(source, index, arrived_s, small, {"pre": clock.lap()})
        output = self._cue.update(small, source.captured_s)
        work.cue, work.warming_up = output.tensors, output.warming_up
        work.stages_ms["cue"] = clock.lap()
        return work

    def _segmented(self, work: _Work) -> Result:
        clock = _Clock()
        probability = self.segment(work.small, work.cue).copy()
        work.stages_ms["segment"] = clock.lap()
        height, width = work.source.image.shape[:2]
        mask = mask_from_probability(probability, (height, width), self.manifest.threshold)
        work.stages_ms["post"] = clock.lap()
        return Result(
            index=work.index,
            frame=work.source.image,
            mask=mask,
            probability=probability,
            captured_s=work.source.captured_s,
            latency_ms=(time.perf_counter() - work.arrived_s) * 1e3,
            stages_ms=work.stages_ms,
            warming_up=work.warming_up,
        )


class _Run:
    """The two workers of one `Pipeline.run`, and their end."""

    def __init__(self, pipeline: Pipeline, source: Source, frames: int | None) -> None:
        if not pipeline._running.acquire(blocking=False):
            raise RuntimeError(
                "the pipeline is already running; one run at a time, or one pipeline per camera"
            )
        self._pipeline = pipeline
        self._source = source
        self._frames = frames
        self._counters = pipeline.counters = Counters()
        self._cued: Channel[_Work | StageError] = Channel(QUEUE_FRAMES)
        self._done: Channel[Result | StageError] = Channel(QUEUE_FRAMES)
        self._closed = False
        pipeline.reset()
        pipeline._run = self
        self._workers = [
            threading.Thread(target=work, name=f"edgebs-{work.__name__.strip('_')}", daemon=True)
            for work in (self._cue_stage, self._segment_stage)
        ]
        for worker in self._workers:
            worker.start()

    def results(self) -> Iterator[Result]:
        while (item := self._done.get()) is not None:
            if isinstance(item, StageError):
                raise item
            self._counters.frames_out += 1
            yield item

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._cued.cancel()
        self._done.cancel()
        deadline = time.monotonic() + LEAVE_S
        for worker in self._workers:
            if worker is not threading.current_thread():
                worker.join(max(0.0, deadline - time.monotonic()))
        self._counters.frames_dropped = self._counters.frames_in - self._counters.frames_out
        self._pipeline._run = None
        self._pipeline._running.release()

    def _cue_stage(self) -> None:
        index, stage = 0, "source"
        try:
            with closing(self._source) as source:
                frames = iter(source)
                while self._frames is None or index < self._frames:
                    stage = "source"
                    if not self._cued.wait_for_room():
                        return
                    clock = _Clock()
                    item = next(frames, None)
                    # A source that blocked past the end of the run must not touch the next run's history.
                    if item is None or self._closed:
                        break
                    read_ms, arrived_s = clock.lap(), time.perf_counter()
                    self._counters.frames_in += 1
                    stage = "cue"
                    work = self._pipeline._cued(item, index, arrived_s)
                    work.stages_ms["read"] = read_ms
                    if not self._cued.put(work):
                        return
                    index += 1
        except Exception as cause:
            self._cued.put(_failure(stage, index, cause))
        finally:
            self._cued.finish()

    def _segment_stage(self) -> None:
        index = 0
        try:
            while (item := self._cued.get()) is not None:
                if isinstance(item, StageError):
                    self._done.put(item)
                    return
                index = item.index
                if not self._done.put(self._pipeline._segmented(item)):
                    return
        except Exception as cause:
            self._done.put(_failure("segment", index, cause))
        finally:
            # The cue stage may be waiting for room.
            self._cued.cancel()
            self._done.finish()


def _failure(stage: str, index: int, cause: Exception) -> StageError:
    error = StageError(stage, index, cause)
    error.__cause__ = cause
    return error
