"""One camera's frames to masks: while frame t is segmented, the cue of frame t+1 is computed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, overload

import numpy as np

from edgebs.cues.clock import check_time
from edgebs.cues.cue import BackgroundCue, Cue
from edgebs.cues.held import Feedback
from edgebs.cues.kept import damaged, load_background, save_background
from edgebs.errors import BundleError
from edgebs.image import PROBABILITY_REPAIR, check_frame, mask_at, network_frame, require_finite
from edgebs.tensors import Array, Frame
from edgebs.video.bit_depth import EightBits, ValueRange
from edgebs.video.open import SourceFrame, open_source
from edgebs.workers import Clock, Counters, Result, Run, Turn, Turns, TwoStageRun, Work

if TYPE_CHECKING:
    from edgebs.backends import Backend
    from edgebs.bundle.manifest import Manifest
    from edgebs.video.open import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameInFlight:
    """A frame on its way from `begin` to `finish`."""

    warming_up: bool
    """Whether the history is still shorter than the longest interval."""
    small: Frame | None = None
    cue: Mapping[str, Array] = field(default_factory=dict)
    """The host's inputs of the segmentation network."""
    slot_id: int = -1
    """Which of the device's runs it is, or which frame since the last reset."""
    device_ms: dict[str, float] = field(default_factory=dict)
    """Time of each stage on the device, filled by `finish` where it is measured."""


class Runner(Protocol):
    """Both networks of one camera. `begin` is called by one thread at a time, and `finish` by one."""

    @property
    def cue(self) -> Cue | None:
        """What computes the cue on the host; None where it never comes there."""

    def begin(self, small: Frame, captured_s: float | None) -> FrameInFlight:
        """Take the next frame, (h, w, 3) uint8 at network size, and start on it.

        At most three frames may be between `begin` and `finish`.
        """

    def finish(self, begun: FrameInFlight) -> Array:
        """Its foreground probability, (h, w) float32. Overwritten by the next call."""

    def trace(self, small: Frame, captured_s: float | None) -> tuple[Array, Array]:
        """The cue (1, K, h, w) and probability (h, w) of the next frame. Overwritten by later calls."""

    def segment(self, small: Frame, cue: Mapping[str, Array]) -> Array:
        """The probability of a frame with a given cue; the history stays as it is. Overwritten as above."""

    def remember(self, small: Frame, captured_s: float | None) -> None:
        """Take the next frame into the history without computing anything."""

    def reset(self) -> None:
        """Forget the history: the next frame is the first of a scene."""

    def descriptions(self) -> dict[str, str]:
        """What runs each stage, for reports."""

    def close(self) -> None:
        """Free what is held. May be called twice."""


class HostRunner:
    """Host arrays between cue and segmentation, and a call of each per frame."""

    def __init__(self, segment: Backend, cue: Cue) -> None:
        """Own both from here on."""
        self.cue: Cue = cue
        self._segment = segment
        self._feedback = Feedback(cue)

    def begin(self, small: Frame, captured_s: float | None) -> FrameInFlight:
        number = self._feedback.before_frame()
        output = self.cue.update(small, captured_s)
        return FrameInFlight(warming_up=output.warming_up, small=small, cue=output.tensors, slot_id=number)

    def finish(self, begun: FrameInFlight) -> Array:
        assert begun.small is not None
        probability = self.segment(begun.small, begun.cue)
        self._feedback.found(begun.slot_id, probability)
        return probability

    def trace(self, small: Frame, captured_s: float | None) -> tuple[Array, Array]:
        begun = self.begin(small, captured_s)
        return begun.cue["cue"], self.finish(begun)

    def segment(self, small: Frame, cue: Mapping[str, Array]) -> Array:
        probability: Array = self._segment.infer({"frame": small[np.newaxis], **cue})["probability"][0]
        return probability

    def remember(self, small: Frame, captured_s: float | None) -> None:
        self._feedback.before_frame()
        self.cue.remember(small, captured_s)

    def reset(self) -> None:
        self._feedback.clear()
        self.cue.reset()

    def descriptions(self) -> dict[str, str]:
        return {"segment": self._segment.description, "cue": self.cue.description}

    def close(self) -> None:
        self.cue.close()
        self._segment.close()


__all__ = ["Counters", "Pipeline", "Result", "Run"]


class Pipeline(AbstractContextManager["Pipeline"]):
    """Two stages, two workers, one camera. Engines are owned: closing the pipeline closes them."""

    @overload
    def __init__(self, manifest: Manifest, segment: Backend, cue: Cue) -> None: ...
    @overload
    def __init__(self, manifest: Manifest, segment: Runner) -> None: ...
    def __init__(self, manifest: Manifest, segment: Backend | Runner, cue: Cue | None = None) -> None:
        """Use `edgebs.load`; built by hand only from a fake backend in a test.

        segment: a network, with the cue beside it on the host; or a path that holds both.
        """
        self.manifest = manifest
        self.counters = Counters()
        self._path: Runner
        if cue is None:
            self._path = cast(Runner, segment)
        else:
            self._path = HostRunner(cast("Backend", segment), cue)
        self._cue: Cue | None = self._path.cue
        self._turns = Turns()
        self._next_index = 0
        self._restored: Mapping[str, Array] | None = None

    def process(
        self, frame: Frame, captured_s: float | None = None, *, value_range: ValueRange | None = None
    ) -> Result:
        """Segment one frame now, in the caller's thread, with the history of the frames before it.

        frame: (H, W, 3) uint8 BGR; with value_range, see `open_source`, also grey and of other depths.
        captured_s: seconds of any clock, or None. Raises SourceError for anything else: that frame was never
        there, and the next one goes on from the one before it. Raises NotFinite where a network gives NaN.
        Raises RuntimeError while another thread is in `process` or uses a `run`. A run that this thread has
        left is ended, as by `run`.
        """
        turn = Turn()
        try:
            if not self._turns.take(turn):
                raise RuntimeError("the pipeline is running; process() and run() cannot overlap")
            index = self._next_index
            arrived_s = time.perf_counter()
            if value_range is not None:
                frame = EightBits(value_range).frame(frame, f"frame {index}")
            work = self._run_cue(
                SourceFrame(image=frame, captured_s=captured_s, index=index), index, arrived_s
            )
            result = self._run_segment(work)
            self._next_index += 1
            return result
        finally:
            self._turns.release(turn)

    def run(
        self,
        source: str | Path | int | Source | Iterable[Frame],
        *,
        frames: int | None = None,
        value_range: ValueRange | None = None,
    ) -> Run:
        """One result per frame of `source`, in order, both stages overlapping.

        source: a video file, image folder, camera index, URL, open `Source`, or any iterable of
        (H, W, 3) uint8 BGR frames, read in a worker thread. Frames are passed on, not copied: an iterable
        must yield a new array each time, as cv2.VideoCapture.read() does. frames: stop after that many.
        value_range: see `open_source`, for frames of more than 8 bits.
        The history starts empty. Leaving the loop ends the workers. An error in a worker is raised here
        as StageError with the frame's index, after the results of the frames before it; so is a frame or a
        time stamp that `process` refuses. A source that cannot be opened is SourceError here and now.
        One run at a time: an older run of this pipeline is ended where its thread is the one that calls, or
        has ended (an interrupted notebook cell leaves a run so); asking it for another result is RuntimeError
        then. While another thread uses the older one, RuntimeError is raised here.
        """
        turn = Turn()
        try:
            if not self._turns.take(turn):
                raise RuntimeError(
                    "the pipeline is already running; one run at a time, or one pipeline per camera"
                )
            opened = open_source(source, value_range=value_range)
            self.reset()
            self.counters = Counters()
            release = partial(self._turns.release, turn)
            stages = TwoStageRun(opened, frames, self.counters, self._run_cue, self._run_segment, release)
            run = Run(stages)
            turn.give_to(run, stages)
            return run
        except BaseException:
            self._turns.release(turn)
            raise

    def segment(self, small: Frame, cue: Mapping[str, Array]) -> Array:
        """Foreground probability (h, w) float32 of a frame at network size with a given cue.

        The array is overwritten by the next call.
        """
        return self._path.segment(small, cue)

    def trace(self, frame: Frame, captured_s: float | None) -> tuple[Array, Array]:
        """The cue (1, K, h, w) and probability (h, w) of a frame: what `process` computes inside, for parity.

        Both are overwritten by later calls. Raises SourceError as `process`.
        """
        return self._path.trace(*self._small(frame, captured_s))

    def remember(self, frame: Frame, captured_s: float | None) -> None:
        """Put a frame into the history without computing anything: a slow pipeline warms up quickly.

        Raises SourceError as `process`.
        """
        self._path.remember(*self._small(frame, captured_s))

    def descriptions(self) -> dict[str, str]:
        """What runs each stage, for reports."""
        return self._path.descriptions()

    def reset(self) -> None:
        """Forget the history, as between two scenes. What was restored or frozen is the background again."""
        self._path.reset()
        if self._restored is not None:
            self.require_background_cue().restore(self._restored)
        self._next_index = 0

    def save_background(self, path: str | Path) -> None:
        """Write what is known of the scene to an .npz file, whole or not at all; also while `run` is active.

        Raises BundleError if the cue keeps no background or has none yet, SinkError.
        """
        save_background(Path(path), self.manifest, self._known_background())

    def restore_background(self, path: str | Path) -> None:
        """Start with a saved background, now and whenever the history is forgotten, as `run` does.

        Raises BundleError for a file of another model, size or weights, or a damaged one.
        """
        cue = self.require_background_cue()
        background = load_background(Path(path), self.manifest)
        try:
            cue.restore(background)
        except (KeyError, ValueError) as cause:
            raise damaged(Path(path), cause) from cause
        self._restored = background

    def freeze_background(self) -> None:
        """Stop the update of the background. Raises BundleError if there is none yet."""
        self._known_background()
        self.require_background_cue().freeze(True)

    def unfreeze_background(self) -> None:
        """Let frames change the background again."""
        self.require_background_cue().freeze(False)

    def require_background_cue(self) -> BackgroundCue:
        """The cue, where it keeps a background. Raises BundleError where it does not."""
        cue: object = self._cue
        if not isinstance(cue, BackgroundCue):
            raise BundleError(
                f"the cue '{self.manifest.cue.kind}' of {self.manifest.name} keeps no background: it looks "
                "back a few frames only. Leave --background out, or use a bundle of another model."
            )
        return cue

    def _known_background(self) -> Mapping[str, Array]:
        background = self.require_background_cue().background()
        if not background:
            raise BundleError("there is no background yet: run some frames first, or restore a saved one.")
        return background

    def close(self) -> None:
        """End a run that is still active and free the engines. May be called twice."""
        turn = Turn()
        try:
            # Waits for process() in other threads: freeing an engine that runs crashes the process.
            self._turns.close(turn)
            self._path.close()
        finally:
            self._turns.release(turn)

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run_cue(self, source: SourceFrame, index: int, arrived_s: float) -> Work:
        clock = Clock()
        small, captured_s = self._small(source.image, source.captured_s)
        source = replace(source, captured_s=captured_s)
        pre_ms = clock.lap()
        begun = self._path.begin(small, captured_s)
        return Work(source, index, arrived_s, begun, {"pre": pre_ms, "cue": clock.lap()})

    def _small(self, frame: Frame, captured_s: float | None) -> tuple[Frame, float | None]:
        """A frame at network size, and its time stamp: checked here, for all cues, before they see them."""
        checked_s = check_time(captured_s)
        return network_frame(check_frame(frame), self.manifest.size), checked_s

    def _run_segment(self, work: Work) -> Result:
        clock = Clock()
        probability = self._path.finish(work.begun).copy()
        require_finite(probability, f"the foreground probability of frame {work.index}", PROBABILITY_REPAIR)
        work.stages_ms["segment"] = clock.lap()
        work.stages_ms.update(work.begun.device_ms)
        height, width = work.source.image.shape[:2]
        mask = mask_at(probability, (height, width), self.manifest)
        work.stages_ms["post"] = clock.lap()
        return Result(
            index=work.index,
            frame=work.source.image,
            mask=mask,
            probability=probability,
            captured_s=work.source.captured_s,
            latency_ms=(time.perf_counter() - work.arrived_s) * 1e3,
            stages_ms=work.stages_ms,
            warming_up=work.begun.warming_up,
            missing_before=work.source.missing_before,
        )
