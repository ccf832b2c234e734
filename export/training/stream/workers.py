"""Processes that render sequences, read in the order of their numbers however fast each process is."""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import edgebs.errors
from edgebs.errors import EdgebsError, ExportError
from edgebs.tensors import Array

Sample = tuple[Array, Array, Array]
"""Frame (h, w, 3) uint8 BGR, cue (K, h, w) float, CDnet labels (h, w) uint8. Where a network that is trained
computes the cue, what that is fed stands in its place: (3 R, h, w) uint8, the planes of R frames."""
Render = Callable[[int, int], list[Sample]]
"""(seed, index) -> the samples of that sequence. Must pickle, and import no torch."""
QUEUED = 4
"""Sequences that a process may be ahead."""
PATIENCE_S = 0.5
"""How often a waiting side looks whether the other one still lives."""


def rendered(
    render: Render, seed: int, first: int, workers: int
) -> Generator[tuple[int, list[Sample]], None, None]:
    """Sequences `first`, `first + 1`, ... with their numbers, without end; closing ends the processes.

    workers: processes; 0 renders in this one. Raises ExportError when one dies or fails.
    """
    if workers <= 0:
        index = first
        while True:
            yield index, _checked(render(seed, index), index)
            index += 1
    context = multiprocessing.get_context("spawn")
    queues = [context.Queue(QUEUED) for _ in range(workers)]
    processes = [
        context.Process(
            target=_work, args=(render, seed, first + number, workers, queues[number]), daemon=True
        )
        for number in range(workers)
    ]
    try:
        for process in processes:
            with _without_signals():
                process.start()
        index = first
        while True:
            number = (index - first) % workers
            yield index, _received(queues[number], processes[number], index)
            index += 1
    finally:
        _end(processes, queues)


@contextmanager
def _without_signals() -> Iterator[None]:
    """A process that is started inside never gets SIGINT, SIGTERM or SIGHUP: it inherits the mask.

    They go to all processes of a terminal or a systemd service, and ending these is their parent's business.
    A handler set by the process itself would be too late: it needs a second for its imports.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(render: Render, seed: int, first: int, stride: int, out: Any) -> None:
    """In a process of its own, which `_without_signals` started."""
    import cv2

    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    index = first
    while True:
        try:
            message: Any = _checked(render(seed, index), index)
        except Exception as error:
            message = (type(error).__name__, str(error))
        while True:
            try:
                out.put(message, timeout=PATIENCE_S)
                break
            except queue.Full:
                # A parent that was killed cannot end its children: they must notice.
                if parent is None or not parent.is_alive():
                    out.cancel_join_thread()
                    return
        if isinstance(message, tuple):
            return
        index += stride


def _checked(samples: list[Sample], index: int) -> list[Sample]:
    """The samples, a cue of numbers in float16: half of what travels and of what is held."""
    if not samples:
        raise ExportError(f"sequence {index} has no sample: its renderer must give at least one.")
    return [
        (
            np.ascontiguousarray(frame),
            # Frames are left alone: samples of a sequence share them, on their way too.
            cue if cue.dtype == np.uint8 else np.ascontiguousarray(cue.astype(np.float16, copy=False)),
            np.ascontiguousarray(labels),
        )
        for frame, cue, labels in samples
    ]


def _received(messages: Any, process: Any, index: int) -> list[Sample]:
    while True:
        # Asked before the queue is: what a process sent before it ended is still read.
        was_alive = process.is_alive()
        try:
            message = messages.get(timeout=PATIENCE_S)
            break
        except queue.Empty:
            if not was_alive:
                raise ExportError(
                    f"the process that renders sequence {index} ended with exit code {process.exitcode}. "
                    "Where that is -9, memory ran out: use fewer --workers or a smaller --reservoir. "
                    "Then go on with --resume."
                ) from None
    if isinstance(message, tuple):
        kind, text = message
        error = getattr(edgebs.errors, kind, None)
        if isinstance(error, type) and issubclass(error, EdgebsError) and kind != "StageError":
            raise error(text)
        raise ExportError(f"rendering sequence {index} failed: {kind}: {text}")
    samples: list[Sample] = message
    return samples


def _end(processes: list[Any], queues: list[Any]) -> None:
    for process in processes:
        if process.pid is not None:
            # They hold nothing, and get no SIGTERM.
            process.kill()
    for process in processes:
        if process.pid is not None:
            process.join()
    for messages in queues:
        messages.cancel_join_thread()
        messages.close()
