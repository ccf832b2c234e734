"""Seconds of a scene as one camera counts them, whatever clock its source has."""

from __future__ import annotations

CORRECTED_S = 2.0
"""A step back of a clock by at most this is a correction; a larger one is another recording."""


class SceneClock:
    """Time since the start, without pauses: what nobody watched has not passed."""

    def __init__(self, nominal_fps: float, longest_step_s: float) -> None:
        """nominal_fps: of sources without time stamps. longest_step_s: of a step: more was a pause."""
        self._frame_s = 1 / nominal_fps
        self._longest_step_s = longest_step_s
        self.now_s = 0.0
        self._last_s: float | None = None

    def tick(self, captured_s: float | None) -> bool:
        """Take the time of the next frame, or None. Returns whether another recording begins with it."""
        last_s = self._last_s
        known_s = 0.0 if last_s is None else last_s + self._frame_s
        self._last_s = known_s if captured_s is None else captured_s
        step_s = 0.0 if last_s is None else self._last_s - last_s
        self.now_s += min(max(step_s, 0.0), self._longest_step_s)
        return step_s < -CORRECTED_S

    def reset(self) -> None:
        """Start anew with the next frame."""
        self.now_s, self._last_s = 0.0, None
