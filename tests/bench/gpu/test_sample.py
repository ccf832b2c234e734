"""bench/gpu/sample.py: samples of a GPU while something else runs."""

from __future__ import annotations

import threading
from typing import Any

from bench.gpu.sample import GpuMonitor, GpuSample, summary
from edgebs.errors import BackendError


class Card:
    """Gives these samples, then the last one for ever; fails after `lives` of them."""

    def __init__(self, *samples: GpuSample, lives: int = 1000) -> None:
        self.what, self.settings = "a card by a fake", {"driver": "580.1"}
        self._samples, self._lives = list(samples), lives
        self.closed = self.reads = 0
        self.looked_at = threading.Event()
        """Set at the third look, or when the card is lost."""

    def read(self) -> GpuSample:
        self._lives -= 1
        self.reads += 1
        if self.reads == 3 or self._lives < 0:
            self.looked_at.set()
        if self._lives < 0:
            raise BackendError("NVML: GPU is lost")
        return self._samples.pop(0) if len(self._samples) > 1 else self._samples[0]

    def close(self) -> None:
        self.closed += 1


def watched(card: Card) -> GpuMonitor:
    with GpuMonitor(card, interval_seconds=0.001) as monitor:
        assert card.looked_at.wait(60)
    return monitor


def test_the_summary_has_median_and_largest_of_what_was_told() -> None:
    samples = [GpuSample(power_w=watts, temperature_c=60.0) for watts in (10.0, 30.0, 20.0)]
    seen: dict[str, Any] = summary(samples)
    assert seen == {
        "samples": 3,
        "power_w": {"p50": 20.0, "max": 30.0, "min": 10.0},
        "temperature_c": {"p50": 60.0, "max": 60.0, "min": 60.0},
        "throttled": {},
    }


def test_throttling_is_a_warning_that_says_why_and_how_often() -> None:
    held = GpuSample(throttled=("power limit",))
    seen = summary([held, held, held, GpuSample()])
    assert seen["throttled"] == {"power limit": 0.75}
    monitor = watched(Card(held))
    assert monitor.warnings() == [
        "a card by a fake was throttled (power limit) in 100 % of the samples: the figures are those of a "
        "held-back GPU. Cool it, raise its power mode or limit, and measure again"
    ]


def test_a_card_that_is_not_throttled_gives_no_warning_and_many_samples() -> None:
    card = Card(GpuSample(utilisation_percent=98.0))
    monitor = watched(card)
    assert monitor.warnings() == []
    assert monitor.to_json()["samples"] >= 3
    assert monitor.to_json()["settings"] == {"driver": "580.1"}
    assert card.closed == 1


def test_a_card_that_is_lost_ends_the_samples_and_not_the_measurement() -> None:
    monitor = watched(Card(GpuSample(power_w=10.0), lives=2))
    record = monitor.to_json()
    assert (record["samples"], record["failure"]) == (2, "NVML: GPU is lost")
    assert monitor.warnings() == ["a card by a fake: NVML: GPU is lost"]
