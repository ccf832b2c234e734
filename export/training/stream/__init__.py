"""Batches of samples, rendered ahead by other processes.

Rendering costs more than a step of a small network, so each sample may be used several times, far apart. The
order is a pure function of the position: nothing has to be stored to resume a run, and the number of
rendering processes cannot change it.

Sequences come in blocks of `block`. In round g, block g is used for the first time, in the order of
rendering, and each of the `uses - 1` blocks before it once more. Within each half of a round old sequences
are shuffled, so that two uses of one sequence are at least half a round apart.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from edgebs.tensors import Array
from export.training.stream.workers import PATIENCE_S, Render, Sample, rendered

Batch = Mapping[str, Array]
"""Arrays by name, the first axis counting samples."""


@dataclass(frozen=True, slots=True)
class Use:
    """One place in the stream."""

    sequence: int
    slot: int
    """Which of the sequence's samples."""
    is_last: bool
    """Whether the sequence is needed no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The order of the stream."""

    seed: int
    per_sequence: int
    """Samples of a sequence, at least 1."""
    replay: int = 1
    """Uses of each sample, at least 1."""
    block: int = 16
    """Sequences in a block, at least 2."""

    def __post_init__(self) -> None:
        """Raise ValueError for counts that give no stream."""
        if self.per_sequence < 1 or self.replay < 1 or self.block < 2:
            raise ValueError(f"counts of samples, uses and sequences in a block are too small: {self}")

    @property
    def uses(self) -> int:
        """How often a sequence appears."""
        return self.per_sequence * self.replay

    @property
    def held(self) -> int:
        """Sequences held at once, at most."""
        return self.uses * self.block

    def start_of_round(self, number: int) -> int:
        """Position at which round `number` starts: the first rounds have fewer blocks to draw from."""
        short = min(number, self.uses)
        return self.block * (short * (short + 1) // 2 + self.uses * (number - short))

    def round_at(self, position: int) -> int:
        """The round that holds `position`."""
        full = self.start_of_round(self.uses)
        if position >= full:
            return self.uses + (position - full) // (self.block * self.uses)
        number = 0
        while self.start_of_round(number + 1) <= position:
            number += 1
        return number

    def first_sequence(self, position: int) -> int:
        """The oldest sequence that may be needed at `position` or later."""
        return max(0, self.round_at(position) - self.uses + 1) * self.block

    def round(self, number: int) -> list[Use]:
        """All uses of one round, in order."""
        ages = range(min(number + 1, self.uses))
        orders = [self._order(number, age) for age in ages]
        return [
            Use(
                (number - age) * self.block + int(orders[age][place]),
                age % self.per_sequence,
                age == self.uses - 1,
            )
            for place in range(self.block)
            for age in ages
        ]

    def _order(self, number: int, age: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        places = np.arange(self.block)
        if age > 0:
            rng = np.random.default_rng((self.seed, number, age))
            half = self.block // 2
            places = np.concatenate([rng.permutation(places[:half]), rng.permutation(places[half:])])
        return places


T = TypeVar("T")
PREFETCHED = 3
"""Batches made in advance."""
Augment = Callable[[Sample, np.random.Generator], Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """How samples become batches."""

    per_sequence: int = 6
    """Samples that are used of each sequence: as many as its renderer makes."""
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
) -> Generator[Batch, None, None]:
    """Endless batches of `frame`, `cue` and `labels`. Closing ends the processes that render."""
    order = feed.order(seed)
    position = start_step * batch
    with closing(rendered(render, seed, order.first_sequence(position), feed.workers)) as sequences:
        samples = _samples(sequences, order, position)
        while True:
            chosen = [
                augment(next(samples), np.random.default_rng((seed, position + place)))
                for place in range(batch)
            ]
            position += batch
            yield stacked(chosen)


def stacked(samples: Sequence[Sample]) -> Batch:
    """Samples of one size as a batch."""
    frames, cues, labels = zip(*samples, strict=True)
    return {"frame": np.stack(frames), "cue": np.stack(cues), "labels": np.stack(labels)}


def in_batches(samples: Sequence[Sample], size: int = 16) -> list[Batch]:
    """Samples of one size as batches of `size`, the last one with the rest."""
    return [stacked(samples[start : start + size]) for start in range(0, len(samples), size)]


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


class Prefetcher(Generic[T]):
    """Reads an iterator in a thread of its own, a few items ahead; a context manager."""

    def __init__(self, items: Iterator[T], depth: int = PREFETCHED) -> None:
        """Own `items` from here on: it is closed, where it can be, by the thread that reads it."""
        self._queue: queue.Queue[T | BaseException | None] = queue.Queue(depth)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(items,), name="batches")
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
        """The next item; None at the end or once `is_stopped()` is true. Raises what the iterator raised."""
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
        """Close the iterator and wait for the thread to end, which takes as long as the item in hand.

        Without a limit: the interpreter aborts where a thread still runs C++ code when it ends.
        """
        self._ended.set()
        self._thread.join()

    def __enter__(self) -> Prefetcher[T]:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
