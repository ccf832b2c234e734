"""No test may bet on the clock: time belongs to benchmarks. Count steps, modules and calls; compare order."""

from __future__ import annotations

from pathlib import Path

import pytest
from whole.rules.clock_bets import bets_in

TESTS = Path(__file__).parents[2]
HERE = Path(__file__).name
ALLOWED = {
    ("edgebs/test_pipeline.py", "test_every_stage_is_timed_and_latency_covers_them"): (
        "a whole is at least the sum of its parts, at any speed"
    ),
    (
        "edgebs/test_pipeline.py",
        "test_a_run_that_another_thread_closes_while_it_starts_frees_the_pipeline",
    ): "the join must run out: the thread waits for a lock that its caller holds",
    ("edgebs/video/test_open.py", "test_a_live_stream_has_arrival_times_and_its_end_is_an_error"): (
        "time stamps are put in order; how far they are apart does not count"
    ),
}
"""(file, test) of what must stay, and why it holds on the busiest machine."""


def test_no_test_bets_on_the_clock() -> None:
    found = {}
    for file in sorted(file for file in TESTS.rglob("*.py") if file.name != HERE):  # its examples are bets
        for bet in bets_in(file.read_text(encoding="utf-8")):
            place = (str(file.relative_to(TESTS)), bet.test)
            found[place] = f"tests/{place[0]}:{bet.line} {bet.test}: {bet.why}"
    refused = [said for place, said in found.items() if place not in ALLOWED]
    assert refused == [], "\n" + "\n".join(refused)
    assert set(ALLOWED) <= set(found), "what is allowed is there no more"


BETS = {
    "duration": "started = time.monotonic()\nrun()\nassert time.monotonic() - started < 1.5",
    "imported by name": "assert perf_counter() - before < 3",
    "wall clock": "took = time.time() - begun\nassert took < 2",
    "through a function": (
        "def seconds_for(n):\n    begun = time.perf_counter()\n    return time.perf_counter() - begun\n"
        "def test_a():\n    fastest = min(seconds_for(5) for _ in range(5))\n    assert fastest < 0.5e-3"
    ),
    "fields": "assert second.seconds < first.seconds",
    "keys": "assert run['latency_ms']['p50'] < 1.5 * frame_ms",
    "rate": "assert 20 < record['fps']",
    "deadline": "deadline = time.monotonic() + 30",
    "thread": "reader.join(2)",
    "event": "assert is_inside.wait(1)",
    "process": "process.communicate(timeout=30)",
    "in a program": "CODE = 'import time\\nb = time.time()\\nassert time.time() - b < 1'",
    "minutes": "COMMAND = 'train edge --minutes 1 --threads 1'",
    "piece of a program": "timed = f't = time.perf_counter()\\n{code}\\nprint(time.perf_counter() - t)'",
}


@pytest.mark.parametrize("source", BETS.values(), ids=BETS.keys())
def test_a_bet_is_seen(source: str) -> None:
    assert bets_in(source)


FINE = {
    "watchdog": "process.communicate(timeout=120)\nreader.join(WATCHDOG_S)\nassert done.wait(WATCHDOG_S)",
    "deadline": "end_s = time.monotonic() + 300",
    "order": "assert record['fps'] > 0\nassert result.captured_s == [0.0, 0.1]",
    "words": "', '.join(names)\nos.path.join(a, 'b')",
    "counts": "assert len(losses) == STEPS\nassert losses[-1] < losses[0]",
    "program": "CODE = 'import time; time.sleep(1)'",
}


@pytest.mark.parametrize("source", FINE.values(), ids=FINE.keys())
def test_what_holds_on_a_slow_machine_is_let_be(source: str) -> None:
    assert bets_in(source) == []
