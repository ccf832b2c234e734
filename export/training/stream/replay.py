"""Which sample of which sequence stands where in the stream of training samples.

Rendering is dearer than a step of a small network, so every sample may be used several times, far apart. The
order is a pure function of the position: nothing has to be stored to resume, and the number of processes
that render cannot change it.

Sequences come in blocks of `block`. In round g, block g is used for the first time, in the order in which it
is rendered, and each of the `uses - 1` blocks before it once more. Within each half of a round old sequences
are shuffled, so two uses of one sequence are at least half a round apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
