"""How far a plan's builder is: TensorRT's nested phases as two growing numbers, and a way to stop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Progress = Callable[[int, int], None]
GoOn = Callable[[], bool]
"""Asked at every step; False stops the builder."""


class Steps:
    """Steps done, and steps known so far: TensorRT tells a phase's steps only when the phase starts."""

    def __init__(self, progress: Progress) -> None:
        """progress: called with (done, known) at every step."""
        self._progress = progress
        self._known = 0
        self._done = 0
        self._open: dict[str, int] = {}

    def started(self, phase: str, steps: int) -> None:
        """A phase begins, with so many steps."""
        self._open[phase] = steps
        self._known += steps
        self._progress(self._done, self._known)

    def stepped(self, phase: str) -> None:
        """One step of a phase is done."""
        if self._open.get(phase, 0) > 0:
            self._open[phase] -= 1
            self._done += 1
            self._progress(self._done, self._known)

    def finished(self, phase: str) -> None:
        """A phase is over: the steps that it left out count as done."""
        self._done += self._open.pop(phase, 0)
        self._progress(self._done, self._known)


def watch_build(trt: Any, config: Any, progress: Progress | None, go_on: GoOn) -> None:
    """Report the builder's steps to `progress` and ask `go_on`, where this TensorRT can (10.0 and later)."""
    if not hasattr(trt, "IProgressMonitor"):
        return
    steps = Steps(progress if progress is not None else _unheard)

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            del parent_phase
            steps.started(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            del step
            steps.stepped(phase_name)
            return go_on()

        def phase_finish(self, phase_name: str) -> None:
            steps.finished(phase_name)

    config.progress_monitor = Monitor()


def _unheard(done: int, known: int) -> None:
    """Steps that nobody asked for."""
