"""Where each frame of a file lies in time, which frames are missing, and whether the file is whole."""

from __future__ import annotations

from edgebs.video import Gap, Losses
from edgebs.video.film.decode import Picture

JUMP_S = 10.0
"""A longer gap that the length of the file does not explain is a new start of its time stamps, no loss."""

PAUSE_S = 60.0
"""A longer gap is a pause of the recording (motion, a schedule): masks are not repeated for hours."""


class TimeLine:
    """Positions and capture times of a file's frames, in the order of display.

    Positions count frames of the time line, missing ones included. A file of constant rate has one position
    per 1/fps, and a gap in its time stamps is frames that are missing. In a file of variable rate only
    packets that were not decoded are.
    """

    def __init__(
        self,
        fps: float | None,
        losses: Losses,
        *,
        is_regular: bool,
        length_s: float | None = None,
        replaced_fps: float | None = None,
    ) -> None:
        """fps: of the file. is_regular: whether a gap in its time stamps is frames that are missing.

        length_s: the length in the container. replaced_fps: times are counted at this rate.
        """
        self._fps, self._losses, self._is_regular = fps, losses, is_regular
        self._length_s, self._replaced_fps = length_s, replaced_fps
        self.position = -1
        """Of the last frame, from 0, in the present pass over the file."""
        self._start_s: float | None = None
        self._stamp_s: float | None = None
        self._slot = -1
        self._now_s = 0.0
        self._before_s = 0.0
        self._is_first = self._is_first_pass = True

    def place(self, picture: Picture, *, is_after_error: bool = False) -> tuple[float | None, int]:
        """Capture time in seconds (None without a rate), and how many frames are missing before this one.

        Times rise from frame to frame, also from one pass to the next. is_after_error: whether something
        could not be decoded since the file was opened.
        """
        if self._is_first:
            missing = self._begin(picture, is_after_error)
        elif picture.slot is not None:
            missing = max(0, picture.slot - self._slot - 1)
        else:
            missing = self._missing_by_time(picture)
        self._slot = -1 if picture.slot is None else picture.slot
        time_s = self._time(picture, missing)
        if missing and self._is_first_pass:
            self._losses.add_gap(Gap(self.position + 1, missing, self._time_of(self.position + 1)))
        self.position += missing + 1
        if picture.is_damaged and self._is_first_pass:
            self._losses.add_damaged(self.position)
        return time_s, missing

    def rewind(self) -> None:
        """The file starts again; times go on."""
        self._before_s = self._now_s + self._frame_s
        self.position, self._is_first_pass = -1, False
        self._stamp_s = self._start_s = None
        self._is_first = True

    @property
    def end_s(self) -> float:
        """Where the last frame of this pass ends, in seconds from the start of the file."""
        return self._now_s - self._before_s + self._frame_s

    @property
    def _rate(self) -> float | None:
        return self._replaced_fps or self._fps

    @property
    def _frame_s(self) -> float:
        return 1 / self._rate if self._rate else 0.0

    def _begin(self, picture: Picture, is_after_error: bool) -> int:
        """The time line starts with the first key frame of the file, also where that is damaged."""
        self._is_first = False
        missing = picture.lost if picture.slot is None else picture.slot
        missing = missing if is_after_error else 0
        if picture.time_s is not None:
            self._start_s = picture.time_s - missing / self._fps if self._fps else picture.time_s
            self._stamp_s = picture.time_s
        return missing

    def _missing_by_time(self, picture: Picture) -> int:
        if picture.time_s is None or self._stamp_s is None:
            return picture.lost + picture.skipped
        step_s = picture.time_s - self._stamp_s
        if self._is_jump(step_s, picture.time_s):
            self._losses.jumps += 1
            self._stamp_s = None
            return 0
        if self._is_regular and self._fps:
            if step_s > PAUSE_S + self._frame_s:
                self._losses.add_pause(self.position + 1, step_s)
                return 0
            if self._start_s is not None:
                # Times run on as if nothing were missing there.
                self._start_s -= picture.skipped / self._fps
            return max(0, round(step_s * self._fps) - 1) + picture.skipped
        return picture.lost + picture.skipped

    def _is_jump(self, step_s: float, time_s: float) -> bool:
        if step_s < -JUMP_S:
            return True
        start_s = self._start_s or 0.0
        is_inside = self._length_s is not None and time_s - start_s <= self._length_s + 1.0
        return self._is_regular and step_s > JUMP_S + self._frame_s and not is_inside

    def _time(self, picture: Picture, missing: int) -> float | None:
        if self._rate is None:
            return None
        step_s = (missing + 1) * self._frame_s
        if self._replaced_fps or picture.time_s is None or picture.slot is not None:
            time_s = self._before_s + (self.position + 1 + missing) * self._frame_s
        elif self._stamp_s is None and self.position >= 0:  # after a jump
            time_s = self._now_s + step_s
            self._start_s = picture.time_s - (time_s - self._before_s)
        else:
            time_s = self._before_s + picture.time_s - (self._start_s or 0.0)
        if picture.time_s is not None:
            self._stamp_s = picture.time_s
        if self.position >= 0 and time_s <= self._now_s:
            time_s = self._now_s + step_s
        self._now_s = time_s
        return time_s

    def _time_of(self, position: int) -> float | None:
        return position / self._rate if self._rate else None


def is_truncated(promised: int, position: int, *, fps: float | None, end_s: float) -> bool:
    """Whether a file that promises `promised` frames was cut off after `position` of them, at `end_s`.

    Real files promise a few frames more than they hold (seen: 2 of 200, B-frames before the first key frame;
    2 of 750). A cut one also stops early in time, which is asked as well because the promise of an MKV is
    only duration x rate, wrong where the rate varies.
    """
    tolerated = min(max(3.0, 0.02 * promised), 25.0)
    if promised - position <= tolerated or not fps:
        return promised - position > tolerated
    return promised - end_s * fps > tolerated
