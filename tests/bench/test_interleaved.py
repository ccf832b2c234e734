"""bench/interleaved.py: engines in turns."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pytest

from bench.interleaved import WARM_UP, interleaved_ms
from edgebs.tensors import Array


class Sleeper:
    """Takes so many milliseconds a call, the first calls far longer."""

    def __init__(self, name: str, order: list[str], ms: float) -> None:
        self.name, self.order, self.ms = name, order, ms
        self.inputs, self.outputs, self.description = {}, {}, name
        self.calls = 0

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        self.calls += 1
        self.order.append(self.name)
        time.sleep((self.ms if self.calls > WARM_UP else 40) / 1e3)
        return feed

    def close(self) -> None:
        """Nothing to free."""


def test_engines_take_turns_and_the_warm_up_does_not_count() -> None:
    order: list[str] = []
    engines = {name: Sleeper(name, order, ms) for name, ms in (("fp16", 6.0), ("int8", 2.0))}
    times = interleaved_ms(engines, {"x": np.zeros(1)}, rounds=4, round_seconds=0.0)
    assert order[2 * WARM_UP :] == ["fp16", "int8", "int8", "fp16", "fp16", "int8", "int8", "fp16"]
    assert 6 <= times["fp16"] < 30
    assert times["int8"] < times["fp16"]


def test_a_short_call_is_repeated_until_its_turn_is_long_enough() -> None:
    engine = Sleeper("int8", [], 1.0)
    times = interleaved_ms({"int8": engine}, {}, rounds=2, round_seconds=0.02)
    assert engine.calls > WARM_UP + 2
    assert times["int8"] == pytest.approx(1.0, abs=5)
