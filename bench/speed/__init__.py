"""Frames per second, latency and memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

from edgebs.backends import Backend
from edgebs.tensors import Array

WARM_UP = 3
ROUNDS = 15
ROUND_SECONDS = 0.05
"""A turn lasts at least that long: single runs of small networks are mostly noise."""


def interleaved_ms(
    engines: Mapping[str, Backend],
    feed: Mapping[str, Array],
    *,
    rounds: int = ROUNDS,
    round_seconds: float = ROUND_SECONDS,
) -> dict[str, float]:
    """Median wall time of one call, in milliseconds, of each engine.

    The engines take turns, and every second round runs backwards, so that whatever else the machine does
    meets all of them alike. Copies to and from a device are part of a call.
    """
    for engine in engines.values():
        for _ in range(WARM_UP):
            engine.infer(feed)
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(rounds):
        for name in list(engines) if turn % 2 == 0 else reversed(list(engines)):
            taken[name].append(_one_turn_ms(engines[name], feed, round_seconds))
    return {name: statistics.median(times) for name, times in taken.items()}


def _one_turn_ms(engine: Backend, feed: Mapping[str, Array], seconds: float) -> float:
    calls, started_s = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - started_s < seconds:
        engine.infer(feed)
        calls += 1
    return (time.perf_counter() - started_s) * 1e3 / calls
