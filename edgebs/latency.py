"""Latency in the three numbers that reports give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def latency_percentiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    """p50, p90 and p99 in milliseconds; zeros where nothing was timed."""
    p50, p90, p99 = (float(value) for value in np.percentile(list(latencies_ms) or [0.0], (50, 90, 99)))
    return {"p50": p50, "p90": p90, "p99": p99}
