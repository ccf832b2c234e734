"""Waiting in tests: for an event, with a limit that only a hang reaches."""

from __future__ import annotations

import time
from collections.abc import Callable

WATCHDOG_S = 120.0
"""Far beyond what the busiest machine needs; no test waits that long where all is well."""


def wait_until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Return when the condition holds. Raises TimeoutError after WATCHDOG_S."""
    end_s = time.monotonic() + WATCHDOG_S
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError(f"{what} did not come within {WATCHDOG_S:g} s")
        time.sleep(0.01)
