"""bench/speed/__init__.py: engines in turns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from bench.speed import WARM_UP, interleaved_ms
from edgebs.tensors import Array


class Clock:
    """Stands still, except while an engine runs."""

    def __init__(self) -> None:
        self.s = 0.0

    def perf_counter(self) -> float:
        return self.s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("bench.speed.time", made)
    return made


class Engine:
    """Takes so many milliseconds a call, the first calls far longer."""

    def __init__(self, name: str, order: list[str], ms: float, clock: Clock) -> None:
        self.name, self.order, self.ms, self.clock = name, order, ms, clock
        self.inputs, self.outputs, self.description = {}, {}, name
        self.calls = 0

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        self.calls += 1
        self.order.append(self.name)
        self.clock.s += (self.ms if self.calls > WARM_UP else 40) / 1e3
        return feed

    def close(self) -> None:
        """Nothing to free."""


def test_engines_take_turns_and_the_warm_up_does_not_count(clock: Clock) -> None:
    order: list[str] = []
    engines = {name: Engine(name, order, ms, clock) for name, ms in (("fp16", 6.0), ("int8", 2.0))}
    times = interleaved_ms(engines, {"x": np.zeros(1)}, rounds=4, round_seconds=0.0)
    assert order[2 * WARM_UP :] == ["fp16", "int8", "int8", "fp16", "fp16", "int8", "int8", "fp16"]
    assert times == pytest.approx({"fp16": 6.0, "int8": 2.0})


def test_a_short_call_is_repeated_until_its_turn_is_long_enough(clock: Clock) -> None:
    engine = Engine("int8", [], 3.0, clock)
    times = interleaved_ms({"int8": engine}, {}, rounds=2, round_seconds=0.02)
    assert engine.calls == WARM_UP + 2 * 7  # 7 calls of 3 ms are the first 20 ms and more
    assert times["int8"] == pytest.approx(3.0)
