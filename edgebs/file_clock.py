"""When the frames of a file were taken, and whether the file holds all that it promises."""

from __future__ import annotations


class FileClock:
    """Capture times of a file's frames: the container's positions where they advance, else counted frames.

    Positions matter where the rate varies, as in recordings of phones and web cameras, and where frames are
    missing. They are not to be trusted blindly: OpenCV gives 0 for the last frame of some AVI files, and for
    every frame of a raw stream.
    """

    def __init__(self, fps: float | None, *, trusts_container: bool) -> None:
        """fps: frames/s; without it there are no times."""
        self._frame_s = 1 / fps if fps else None
        self._trusts_container = trusts_container
        self._now_s: float | None = None
        self._position_s: float | None = None  # within this pass; None before its first frame

    def tick(self, position_s: float) -> float | None:
        """The time of the frame just read, in seconds: later than the one before, also across passes."""
        if self._frame_s is None:
            return None
        if self._now_s is None or self._position_s is None:
            self._position_s = position_s if self._trusts_container else 0.0
            self._now_s = self._position_s if self._now_s is None else self._now_s + self._frame_s
            return self._now_s
        step_s = position_s - self._position_s
        if not (self._trusts_container and step_s > 0):
            step_s = self._frame_s
        self._position_s += step_s
        self._now_s += step_s
        return self._now_s

    def rewind(self) -> None:
        """The file starts again; times go on."""
        self._position_s = None

    @property
    def end_s(self) -> float:
        """Where the last frame of this pass ends in the file, in seconds."""
        return (self._position_s or 0.0) + (self._frame_s or 0.0)


def is_truncated(promised: int, decoded: int, *, fps: float | None, end_s: float) -> bool:
    """Whether a file that promises `promised` frames was cut off after `decoded`, which end at `end_s`.

    Real files promise a few frames more than they hold (seen: 2 of 200, B-frames before the first key frame;
    2 of 750). A cut one also stops early in time, which is asked as well because the promise of an MKV is
    only duration x rate, wrong where the rate varies.
    """
    tolerated = min(max(3.0, 0.02 * promised), 25.0)
    if promised - decoded <= tolerated or not fps:
        return promised - decoded > tolerated
    return promised - end_s * fps > tolerated
