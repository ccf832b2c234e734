"""What packets tell that FFmpeg's decoders do not: pictures that never came, and JPEGs that were cut off."""

from __future__ import annotations

from collections import deque
from typing import Any

from edgebs.video.film.h264_numbers import FrameNumbers

END_BYTES = 65536
"""The end marker of a JPEG is looked for in so many of its last bytes: cameras pad."""
HIDDEN_FRAMES = frozenset({"vp8", "vp9", "av1", "libdav1d", "libaom-av1", "mpeg4", "msmpeg4v3", "vc1"})
"""Codecs with packets that show no picture: there a packet without picture is no loss by itself."""

REORDERED = 64
"""A picture is shown before so many later packets are decoded, or never. (H.264 and HEVC: 16.)"""


class Jpegs:
    """Tells JPEGs that were cut off, of which FFmpeg fills the rest with grey and says nothing."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._have_ends = False

    def is_cut(self, packet: Any) -> bool:
        """Whether the end marker is missing, in a stream whose pictures had it so far."""
        if not packet.size:
            return False
        # Searched from the end, where it nearly always is.
        has_end = bytes(memoryview(packet)[-END_BYTES:]).rfind(b"\xff\xd9") >= 0
        is_cut = self._have_ends and not has_end
        self._have_ends = self._have_ends or has_end
        return is_cut


class PendingPackets:
    """Packets that have not become pictures yet, by time stamp."""

    def __init__(self, codec: str, numbers: FrameNumbers | None = None, *, is_live: bool = False) -> None:
        """codec: FFmpeg's name. numbers: of the stream's pictures, where they have some.

        is_live: whether a gap in time is no sign of a loss, so that only the numbers are one.
        """
        self._may_hide = codec in HIDDEN_FRAMES
        self._numbers, self._is_live = numbers, is_live
        self._times: dict[int, int] = {}
        """Time stamps, and the number of the packet that brought it."""
        self._skipped: dict[int, int] = {}
        """Pictures that were lost before a packet was made, by its time stamp."""
        self._timeless: deque[int] = deque()
        """Pictures lost before each packet that has no time stamp, in order."""
        self._count = 0
        self._gap_at: int | None = None
        self._decoded: int | None = None
        self._step: int | None = None
        self._shown: int | None = None
        self._errors = 0
        self._is_usable = True
        self._has_key = False

    def add(self, packet: Any) -> bool:
        """Expect the picture of a packet. False if it will show none."""
        self._count += 1
        self._has_key = self._has_key or packet.is_keyframe
        is_shown = self._has_key and not packet.is_discard
        gap = 0 if self._numbers is None else self._gap(packet, self._numbers)
        if is_shown and packet.pts is not None:
            self._times[packet.pts] = self._count
            if gap:
                self._skipped[packet.pts] = gap
        elif is_shown and self._numbers is not None:
            self._timeless.append(gap)
        return bool(is_shown)

    def fail(self) -> None:
        """A packet was not decoded."""
        self._errors += 1

    def shown(self, pts: int | None, *, is_interlaced: bool) -> tuple[int, int]:
        """The losses before the picture of `pts`, which are forgotten then.

        First: how many packets gave no picture and should have. Second: how many pictures are lost that no
        packet stands for, and no gap in time.
        """
        if pts is None and self._timeless:
            return 0, self._timeless.popleft()
        if pts is None or pts not in self._times:
            # Time stamps that are not those of the packets say nothing about packets.
            self._is_usable = self._is_usable and not self._times
            self._times.clear()
            self._skipped.clear()
            return 0, 0
        late = self._late(pts)
        newest = self._times[pts]
        skipped = sum(self._skipped.pop(time, 0) for time in (*late, pts))
        self._shown = pts
        self._times = {
            time: count
            for time, count in self._times.items()
            if time not in late and time != pts and count > newest - REORDERED
        }
        if not self._is_usable:
            return 0, 0
        if self._may_hide or is_interlaced:
            lost = min(len(late), self._errors)
            self._errors -= lost
            return lost, skipped
        return len(late), skipped

    def _late(self, pts: int) -> set[int]:
        """Of the packets that should have been shown between the picture before and this one.

        What is due before both belongs to the next part of a joined file, whose times begin again.
        """
        is_restart = self._shown is None or pts <= self._shown
        return {time for time in self._times if time < pts and (is_restart or time > (self._shown or 0))}

    def _gap(self, packet: Any, numbers: FrameNumbers) -> int:
        gap = numbers.gap(packet)
        if numbers.was_wrong and self._gap_at is not None:
            self._skipped.pop(self._gap_at, None)
        before, self._decoded = self._decoded, packet.dts
        self._gap_at = packet.pts
        if before is None or packet.dts is None:
            return gap
        step, usual = packet.dts - before, self._step
        self._step = step if step > 0 else usual
        # A gap in time is counted by its length.
        is_in_time = usual is not None and 0 < step < 1.5 * usual
        return gap if self._is_live or is_in_time else 0
