"""Whose turn it is on a pipeline: one process() or one run() at a time."""

from __future__ import annotations

import sys
import threading
import weakref

from edgebs.channel import Latch
from edgebs.workers import Run, Stages


class Turn:
    """The use of a pipeline by one call of process(), or by a run until it has ended."""

    def __init__(self) -> None:
        """Of the calling thread."""
        self.over = Latch()
        self._caller = threading.get_ident()
        self._stages: Stages | None = None
        self._run: weakref.ref[Run] | None = None

    def give_to(self, run: Run, stages: Stages) -> None:
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
        """Free."""
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
