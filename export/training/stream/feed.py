"""Batches from sequences: rendered ahead, held for their later uses, stacked, a few batches in advance."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from export.training.stream.replay import Replay, Use
from export.training.stream.workers import PATIENCE_S, Render, Sample, rendered
from export.training.tasks.task import Batch

T = TypeVar("T")
AHEAD = 3
"""Batches made in advance."""
Augment = Callable[[Sample, np.random.Generator], Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """How samples become batches."""

    per_sequence: int = 6
    """Samples that are used of each sequence: what samples.py gives."""
    replay: int = 1
    """Uses of each sample."""
    reservoir: int = 4096
    """Samples held for later uses, at most (about; never less than two sequences a use)."""
    workers: int = 1
    """Processes that render; 0 renders in the caller's thread."""

    def order(self, seed: int) -> Replay:
        """The order of the stream."""
        sequences = self.reservoir // (self.per_sequence * self.per_sequence * self.replay)
        return Replay(
            seed=seed, per_sequence=self.per_sequence, replay=self.replay, block=min(max(2, sequences), 64)
        )


def batches(
    render: Render, augment: Augment, feed: Feed, seed: int, batch: int, start_step: int
) -> Iterator[Batch]:
    """Endless batches of `frame`, `cue` and `labels`. Closing ends the processes that render."""
    order = feed.order(seed)
    position = start_step * batch
    sequences = rendered(render, seed, order.first_sequence(position), feed.workers)
    try:
        samples = _samples(sequences, order, position)
        while True:
            chosen = [
                augment(next(samples), np.random.default_rng((seed, position + place)))
                for place in range(batch)
            ]
            position += batch
            yield stacked(chosen)
    finally:
        sequences.close()  # type: ignore[attr-defined]  # a generator


def stacked(samples: list[Sample]) -> Batch:
    """Samples of one size as a batch."""
    frames, cues, labels = zip(*samples, strict=True)
    return {"frame": np.stack(frames), "cue": np.stack(cues), "labels": np.stack(labels)}


def _samples(sequences: Iterator[tuple[int, list[Sample]]], order: Replay, position: int) -> Iterator[Sample]:
    held: dict[int, list[Sample]] = {}
    number = order.round_at(position)
    offset = position - order.start_of_round(number)
    uses = order.round(number)
    done = {use.sequence for use in uses[:offset] if use.is_last}
    uses = uses[offset:]
    while True:
        for use in uses:
            while use.sequence not in held:
                index, samples = next(sequences)
                if index not in done:
                    held[index] = samples
            yield _taken(held, use)
        number += 1
        uses = order.round(number)


def _taken(held: dict[int, list[Sample]], use: Use) -> Sample:
    samples = held.pop(use.sequence) if use.is_last else held[use.sequence]
    return samples[use.slot % len(samples)]


class Ahead(Generic[T]):
    """Reads an iterator in a thread of its own, a few items ahead; a context manager."""

    def __init__(self, items: Iterator[T], depth: int = AHEAD) -> None:
        """Own `items` from here on: it is closed, where it can be, by the thread that reads it."""
        self._queue: queue.Queue[T | BaseException | None] = queue.Queue(depth)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(items,), daemon=True, name="batches")
        self._thread.start()

    def _read(self, items: Iterator[T]) -> None:
        try:
            for item in items:
                if not self._put(item):
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    def _put(self, item: T | BaseException | None) -> bool:
        while not self._ended.is_set():
            try:
                self._queue.put(item, timeout=PATIENCE_S)
            except queue.Full:
                continue
            return True
        return False

    def take(self, is_stopped: Callable[[], bool]) -> T | None:
        """The next item; None at the end, or once `is_stopped` says so. Raises what the iterator raised."""
        while not is_stopped():
            try:
                item = self._queue.get(timeout=PATIENCE_S)
            except queue.Empty:
                continue
            if isinstance(item, BaseException):
                raise item
            return item
        return None

    def close(self) -> None:
        """End the thread and close the iterator."""
        self._ended.set()
        self._thread.join(30)

    def __enter__(self) -> Ahead[T]:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
