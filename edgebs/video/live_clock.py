"""Capture times of a live stream: when a frame was sent, not when there was time to decode it."""

from __future__ import annotations

OWN_TIMES = frozenset({"rtsp", "rtp", "sdp", "mpegts", "flv", "hls", "matroska", "webm", "mov"})
"""Formats whose packets carry time stamps. For others (MJPEG) FFmpeg makes them up: 25 frames/s."""
CREEP = 1e-3
"""The estimate follows a camera's clock that runs slow by up to this share."""


def has_own_times(format_name: str) -> bool:
    """Whether time stamps of a format come from the camera. format_name: FFmpeg's, as "mov,mp4,m4a"."""
    return not OWN_TIMES.isdisjoint(format_name.split(","))


class LiveClock:
    """Maps a stream's time stamps to `time.monotonic()`.

    A frame cannot arrive before it is sent: the least delay seen is the best estimate of the shift between
    both clocks. Frames that waited, in a buffer or because the caller was slow, then keep the time at which
    they were sent.
    """

    def __init__(self, *, uses_stamps: bool) -> None:
        """uses_stamps: whether the stream's time stamps mean something; else arrival counts."""
        self._uses_stamps = uses_stamps
        self._shift_s: float | None = None
        self._arrived_s = 0.0
        self._last_s = float("-inf")

    def captured_s(self, stamp_s: float | None, arrived_s: float) -> float:
        """Time of a frame on the clock `time.monotonic()`: later than the one before, never after arrival."""
        time_s = arrived_s
        if self._uses_stamps and stamp_s is not None:
            time_s = min(stamp_s + self._shifted(stamp_s, arrived_s), arrived_s)
            if time_s <= self._last_s:  # the stream's time stamps went back
                self._shift_s = arrived_s - stamp_s
                time_s = arrived_s
        self._arrived_s = arrived_s
        self._last_s = max(time_s, self._last_s + 1e-6)
        return self._last_s

    def _shifted(self, stamp_s: float, arrived_s: float) -> float:
        delay_s = arrived_s - stamp_s
        if self._shift_s is None:
            self._shift_s = delay_s
        else:
            self._shift_s = min(self._shift_s + CREEP * (arrived_s - self._arrived_s), delay_s)
        return self._shift_s
