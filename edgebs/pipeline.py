"""One camera's frames to masks: while frame t is segmented, the cue of frame t+1 is computed."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from edgebs.backends import Backend
from edgebs.cleanup import clean
from edgebs.cues import Cue
from edgebs.manifest import Manifest
from edgebs.preprocess import check_frame, mask_from_probability, network_frame
from edgebs.run import Clock, Counters, Result, Run, Stages, Work
from edgebs.sources import Source, SourceFrame, open_source
from edgebs.tensors import Array, Frame

__all__ = ["Counters", "Pipeline", "Result", "Run"]


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
        self._run: weakref.ref[Run] | None = None

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

    def run(self, source: str | Path | int | Source | Iterable[Frame], *, frames: int | None = None) -> Run:
        """One result per frame of `source`, in order, both stages overlapping.

        source: a video file, image folder, camera index, URL, open `Source`, or any iterable of
        (H, W, 3) uint8 BGR frames, read in a worker thread. Frames are passed on, not copied: an iterable
        must yield a new array each time, as cv2.VideoCapture.read() does. frames: stop after that many.
        The history starts empty. Leaving the loop ends the workers. An error in a worker is raised here
        as StageError with the frame's index, after the results of the frames before it. A source that
        cannot be opened is SourceError here and now.
        """
        if not self._running.acquire(blocking=False):
            raise RuntimeError(
                "the pipeline is already running; one run at a time, or one pipeline per camera"
            )
        try:
            opened = open_source(source)
        except BaseException:
            self._running.release()
            raise
        self.reset()
        self.counters = Counters()
        stages = Stages(opened, frames, self.counters, self._cued, self._segmented, self._running.release)
        run = Run(stages)
        self._run = weakref.ref(run)
        return run

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
        run = self._run() if self._run is not None else None
        if run is not None:
            run.close()
        # A process() in another thread is let finish: freeing an engine that runs crashes the process.
        with self._running:
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

    def _cued(self, source: SourceFrame, index: int, arrived_s: float) -> Work:
        clock = Clock()
        check_frame(source.image)
        small = network_frame(source.image, self.manifest.size)
        work = Work(source, index, arrived_s, small, {"pre": clock.lap()})
        output = self._cue.update(small, source.captured_s)
        work.cue, work.warming_up = output.tensors, output.warming_up
        work.stages_ms["cue"] = clock.lap()
        return work

    def _segmented(self, work: Work) -> Result:
        clock = Clock()
        probability = self.segment(work.small, work.cue).copy()
        work.stages_ms["segment"] = clock.lap()
        height, width = work.source.image.shape[:2]
        mask = mask_from_probability(probability, (height, width), self.manifest.threshold)
        if self.manifest.cleanup.is_on:
            mask = clean(mask, self.manifest.cleanup)
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
