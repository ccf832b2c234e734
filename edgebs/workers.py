"""The two workers of one run: while one segments frame t, the other computes the cue of frame t+1."""

from __future__ import annotations

import _thread
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from edgebs.errors import StageError
from edgebs.tensors import Array, Frame

if TYPE_CHECKING:
    from edgebs.pipeline import FrameInFlight
    from edgebs.video.open import Source, SourceFrame

T = TypeVar("T")


# A channel and a latch that either worker can end at any moment. The main thread reads from a channel, and
# there Ctrl-C raises KeyboardInterrupt at any bytecode. In the methods of threading.Condition and Event that
# leaves a lock taken, or releases a free one. So both classes consist of single calls of queue.SimpleQueue
# and list, which an interruption cannot split.
class _End:
    """In the place of an item: no more will come."""


class Channel(Generic[T]):
    """Holds at most `capacity` items. `finish` lets the reader drain it; `cancel` wakes both sides at once.

    For one writer. queue.Queue can be neither finished nor cancelled before Python 3.13, and polling it with
    a timeout would put the timeout into the latency of leaving.
    """

    def __init__(self, capacity: int) -> None:
        self._items: SimpleQueue[T | _End] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        self._cancelled = False
        for _ in range(capacity):
            self._room.put(None)

    def wait_for_room(self) -> bool:
        """Wait until an item can be put at once; False when the channel was cancelled instead.

        A writer that asks before it starts on an item keeps nothing finished in hand, so items do not age.
        """
        self._room.get()
        self._room.put(None)
        return not self._cancelled

    def put(self, item: T) -> bool:
        """Wait for room and append; False when the channel was cancelled instead."""
        self._room.get()
        if self._cancelled:
            self._room.put(None)
            return False
        self._items.put(item)
        return True

    def get(self) -> T | None:
        """Wait for the next item; None when finished and empty, or cancelled."""
        item = self._items.get()
        if self._cancelled or isinstance(item, _End):
            self._items.put(_End())  # for the next call
            return None
        self._room.put(None)
        return item

    def finish(self) -> None:
        """No more items will come; what is inside can still be read."""
        self._items.put(_End())

    def cancel(self) -> None:
        """Drop what is inside and release both sides."""
        self._cancelled = True
        with suppress(Empty):
            while True:
                self._items.get_nowait()
        self._items.put(_End())
        self._room.put(None)


class Latch:
    """Opens once, and stays open."""

    def __init__(self) -> None:
        self.is_open = False
        self._waiting: list[SimpleQueue[None]] = []

    def open(self) -> None:
        """Release all that wait now and later."""
        self.is_open = True
        for bell in list(self._waiting):
            bell.put(None)

    def wait(self) -> None:
        """Return once it is open."""
        bell: SimpleQueue[None] = SimpleQueue()
        self._waiting.append(bell)
        # Asked after the bell was hung: `open` either rings it or had been called.
        if not self.is_open:
            bell.get()


QUEUE_FRAMES = 1
"""Frames waiting between two stages. One keeps both stages busy; more would only add latency.

The cue stage reads its next frame when this place is free, so a frame is at most two segmentations old.
"""

LEAVE_S = 1.0
"""How long leaving waits for the workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one frame."""

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
    """read (source), pre (resize), cue, segment, post. On a GPU `cue` is the CPU's part until all is queued,
    and `segment` its wait; device_upload, device_cue, ... are GPU times, with DeviceOptions.timed."""
    warming_up: bool
    """Whether the history was still shorter than the longest interval."""
    missing_before: int = 0
    """Frames that are missing in the source between the frame before and this one."""


@dataclass(slots=True)
class Counters:
    """Frames of the current or last run. frames_in = frames_out + frames_dropped once it has ended."""

    frames_in: int = 0
    frames_out: int = 0
    frames_dropped: int = 0
    """Frames that were on their way when the run ended early."""


@dataclass(slots=True)
class Work:
    """A frame on its way from one stage to the other."""

    source: SourceFrame
    index: int
    arrived_s: float
    begun: FrameInFlight
    stages_ms: dict[str, float]


class Clock:
    """Milliseconds since the last lap."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Milliseconds since the last call, or since the start."""
        now = time.perf_counter()
        elapsed_ms = (now - self._last) * 1e3
        self._last = now
        return elapsed_ms


class TwoStageRun:
    """Both workers, the channels between them, and the supervisor that starts and ends them.

    Threads hold this; the caller holds `Run`. The caller may be the main thread, which KeyboardInterrupt hits
    at any bytecode, so it only gives orders, by single calls that cannot be cut in two. What takes locks or
    must be complete happens in the supervisor, a thread that receives no signals.
    """

    def __init__(
        self,
        source: Source,
        frames: int | None,
        counters: Counters,
        cue: Callable[[SourceFrame, int, float], Work],
        segment: Callable[[Work], Result],
        ended: Callable[[], None],
    ) -> None:
        """cue, segment: the stages, each called by one worker. ended: called once, when nothing runs."""
        self._source, self._frames, self._counters = source, frames, counters
        self._cue, self._segment, self._ended = cue, segment, ended
        self._run_cue: Channel[Work | StageError] = Channel(QUEUE_FRAMES)
        self._done: Channel[Result | StageError] = Channel(QUEUE_FRAMES)
        self._workers = [
            threading.Thread(target=work, name=f"edgebs-{work.__name__.strip('_')}", daemon=True)
            for work in (self._cue_stage, self._segment_stage)
        ]
        self._supervisor = threading.Thread(target=self._supervise, name="edgebs-run", daemon=True)
        self._is_reading = False
        self._is_begun = False
        self._beginning = threading.Lock()
        self._end_asked: SimpleQueue[None] = SimpleQueue()
        self._over = Latch()
        self.is_ending = False
        """Whether the end was requested or reached."""
        self.user = threading.get_ident()
        """The thread that made the run, then the one that took the last result."""

    def next(self) -> Result | None:
        """The next result; None after the last one. Raises StageError where a worker failed."""
        self.user = threading.get_ident()
        if self.is_ending:
            return None
        self._begin()
        item = self._done.get()
        if isinstance(item, StageError):
            raise item
        if item is not None:
            self._counters.frames_out += 1
        return item

    def ask_to_end(self) -> None:
        """Stop both workers, without waiting for them. May be called twice, and by any thread."""
        self.is_ending = True
        self._end_asked.put(None)
        self._begin()

    def end(self) -> None:
        """Stop both workers and wait for them. Only a worker that waits for its source is left to itself."""
        self.ask_to_end()
        # A worker cannot wait for itself: its source may close the run, or the garbage collector may.
        if threading.get_ident() not in [thread.ident for thread in (*self._workers, self._supervisor)]:
            self._over.wait()

    @property
    def is_over(self) -> bool:
        """Whether both workers have ended."""
        return self._over.is_open

    def _begin(self) -> None:
        """Start the supervisor, once."""
        if not self._is_begun:
            # One call. Thread.start() takes locks, and an interruption in it leaves the run half started.
            _thread.start_new_thread(self._start_supervisor, ())
            self._is_begun = True

    def _start_supervisor(self) -> None:
        if self._beginning.acquire(blocking=False):  # never released: the first one starts it
            try:
                self._supervisor.start()
            except RuntimeError:  # no more threads
                self._supervise()

    def _supervise(self) -> None:
        try:
            self._start_workers()
            self._end_asked.get()
            self._run_cue.cancel()
            self._done.cancel()
            self._join()
        finally:
            self._counters.frames_dropped = self._counters.frames_in - self._counters.frames_out
            self._ended()
            self._over.open()

    def _start_workers(self) -> None:
        try:
            for worker in self._workers:
                # The cue stage closes the source at its end, so it is started also to read nothing.
                worker.start()
        except BaseException as cause:
            self._done.put(_failure("start", 0, cause))
            self._done.finish()

    def _join(self) -> None:
        cue, segment = self._workers
        # A network ends by itself, and must: its engine may be freed next. A source may block for ever.
        if segment.ident is not None:  # else it could not be started
            segment.join()
        if cue.ident is None:
            self._source.close()
        deadline = time.monotonic() + LEAVE_S
        while cue.is_alive() and not (self._is_reading and time.monotonic() > deadline):
            cue.join(0.01)

    def _cue_stage(self) -> None:
        index, stage = 0, "source"
        try:
            with closing(self._source):
                while self._frames is None or index < self._frames:
                    stage = "source"
                    if not self._run_cue.wait_for_room() or self.is_ending:
                        return
                    clock = Clock()
                    item = self._read()
                    if item is None:
                        return
                    read_ms, arrived_s = clock.lap(), time.perf_counter()
                    self._counters.frames_in += 1
                    stage = "cue"
                    work = self._cue(item, index, arrived_s)
                    work.stages_ms["read"] = read_ms
                    self._run_cue.put(work)
                    index += 1
        except BaseException as cause:
            # Also SystemExit: in a thread it would vanish, and the stream end as if it were whole.
            self._run_cue.put(_failure(stage, index, cause))
        finally:
            self._run_cue.finish()

    def _read(self) -> SourceFrame | None:
        self._is_reading = True
        try:
            item = next(self._source, None)
        finally:
            self._is_reading = False
        # A source that blocked past the end of the run must not touch the history of the next one.
        return None if self.is_ending else item

    def _segment_stage(self) -> None:
        index = 0
        try:
            while (item := self._run_cue.get()) is not None:
                if isinstance(item, StageError):
                    self._done.put(item)
                    return
                index = item.index
                if not self._done.put(self._segment(item)):
                    return
        except BaseException as cause:
            self._done.put(_failure("segment", index, cause))
        finally:
            # The cue stage may be waiting for room.
            self._run_cue.cancel()
            self._done.finish()


def _failure(stage: str, index: int, cause: BaseException) -> StageError:
    error = StageError(stage, index, cause)
    error.__cause__ = cause
    return error


class Run(AbstractContextManager["Run"], Iterator[Result]):
    """The results of one run, in order. Leaving the loop, `close`, or letting go of it ends the workers.

    So does an interruption (KeyboardInterrupt) while a result is waited for. Where it hits elsewhere in the
    loop, the traceback may keep the run alive; then the next `run` or `process` of the pipeline ends it.
    """

    def __init__(self, stages: TwoStageRun) -> None:
        """Nothing is read before the first result is taken."""
        self._stages = stages
        self._superseded = False
        # After __del__, which an interruption may cut short.
        weakref.finalize(self, stages.ask_to_end).atexit = False

    def __next__(self) -> Result:
        """The next result.

        Raises StageError with the frame's index where a worker failed, RuntimeError where a later call of the
        pipeline's `run` or `process` ended this run.
        """
        if self._superseded:
            raise RuntimeError(
                "this run was ended by a later run() or process() of its pipeline. One run at a time: use a "
                "pipeline per camera."
            )
        try:
            result = self._stages.next()
        except StageError:
            self.close()
            raise
        except BaseException:
            self._stages.ask_to_end()
            raise
        if result is None:
            self.close()
            raise StopIteration
        return result

    def supersede(self) -> None:
        """End the workers; asking for another result is an error from now on."""
        self._superseded = True
        self.close()

    def ask_to_end(self) -> None:
        """End the workers without waiting for them. May be called by another thread."""
        self._stages.ask_to_end()

    def close(self) -> None:
        """End the workers and wait for them. May be called twice, and by another thread."""
        self._stages.end()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        """A loop that was left holds its iterator no longer: end the workers."""
        # When the interpreter ends, no thread is left that could end anything.
        if not sys.is_finalizing():
            with suppress(Exception):
                self.close()


class Turn:
    """The use of a pipeline by one call of process(), or by a run until it has ended."""

    def __init__(self) -> None:
        self.over = Latch()
        self._caller = threading.get_ident()
        self._stages: TwoStageRun | None = None
        self._run: weakref.ref[Run] | None = None

    def give_to(self, run: Run, stages: TwoStageRun) -> None:
        """From now on the turn is that of a run."""
        self._run, self._stages = weakref.ref(run), stages

    @property
    def is_left(self) -> bool:
        """Whether nobody goes on with it: what the calling thread had begun counts, for here is that thread.

        An interruption leaves such turns: the traceback that is kept of it keeps the run alive.
        """
        user = self._caller if self._stages is None else self._stages.user
        return (
            (self._stages is not None and self._stages.is_ending)
            or (self._run is not None and self._run() is None)
            or user == threading.get_ident()
            or user not in sys._current_frames()
        )

    def end(self, *, superseded: bool) -> bool:
        """End a run and wait for its workers; whether it is over (its own workers cannot wait for it).

        superseded: asking the run for more results is an error then.
        """
        if self._stages is None:
            return True
        run = self._run() if self._run is not None else None
        if run is not None and superseded and not self._stages.is_ending:
            run.supersede()
        self._stages.end()
        return self._stages.is_over


class Turns:
    """The turn that is taken, if any.

    No lock: an interruption before the block that releases a lock leaves it taken for ever.
    Taking and releasing are single calls of dict, and a turn that its thread has left is recognised.
    """

    def __init__(self) -> None:
        self._taken: dict[str, Turn] = {}

    def take(self, turn: Turn) -> bool:
        """Whether `turn` is on now: the one before is over, or was left and has been ended."""
        while (before := self._taken.setdefault("turn", turn)) is not turn:
            if not before.is_left or not before.end(superseded=True):
                return False
            self.release(before)
        return True

    def release(self, turn: Turn) -> None:
        """Let others have it. Does nothing where it is not the turn of `turn`."""
        if self._taken.get("turn") is turn:
            self._taken.pop("turn", None)
        turn.over.open()

    def close(self, turn: Turn) -> None:
        """Wait for process() in other threads and end a run, then take the turn."""
        while (before := self._taken.setdefault("turn", turn)) is not turn:
            if before.end(superseded=False) and before.is_left:
                self.release(before)
            before.over.wait()
