"""What packets tell that FFmpeg's decoders do not: pictures that never came, and JPEGs that were cut off."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

HEAD_BYTES = 65536
"""The first slice of a packet is looked for in so many of its first bytes."""

PROOF = 8
"""A gap counts after so many pictures in a row whose numbers followed each other."""

SLICE, KEY_SLICE, PARAMETERS = 1, 5, 7
"""Types of NAL units."""

HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""Profiles whose parameter sets describe the colour format."""

_START = re.compile(rb"\x00\x00\x01")


# Where a stream was damaged on its way into the container, the container's time stamps continue without a
# gap. The numbers of the pictures (frame_num; ITU-T H.264, 7.3.3 and 7.4.3) show what is missing.
class _Bits:
    """Reads a NAL unit bit by bit. Raises ValueError at its end."""

    def __init__(self, unit: bytes) -> None:
        content = unit[1:].replace(b"\0\0\3", b"\0\0")  # emulation prevention
        self._text = "".join(f"{byte:08b}" for byte in content[:256])
        self._at = 0

    def number(self, bits: int) -> int:
        self._at += bits
        return int(self._text[self._at - bits : self._at], 2)

    def code(self) -> int:
        """An unsigned Exp-Golomb code. The signed ones have the same length."""
        zeros = self._text.index("1", self._at) - self._at
        self._at += zeros
        return self.number(zeros + 1) - 1


@dataclass(frozen=True, slots=True)
class _Parameters:
    number_bits: int
    has_plane_id: bool
    has_gaps: bool


def _parameters(unit: bytes) -> _Parameters:
    """Of a sequence parameter set (7.3.2.1.1)."""
    bits = _Bits(unit)
    profile = bits.number(24) >> 16
    bits.code()
    has_plane_id = profile in HIGH_PROFILES and _skip_colour_format(bits)
    number_bits = bits.code() + 4
    order = bits.code()
    if order == 0:
        bits.code()
    elif order == 1:
        bits.number(1)
        for _ in range(2):
            bits.code()
        for _ in range(bits.code()):
            bits.code()
    bits.code()
    return _Parameters(number_bits, has_plane_id, bool(bits.number(1)))


def _skip_colour_format(bits: _Bits) -> bool:
    """Whether the planes are coded apart."""
    chroma = bits.code()
    has_plane_id = chroma == 3 and bool(bits.number(1))
    bits.code()
    bits.code()
    bits.number(1)
    if bits.number(1):
        raise ValueError("scaling lists are not read")
    return has_plane_id


class FrameNumbers:
    """How many pictures are missing before each packet of one stream."""

    def __init__(self, extradata: bytes | None) -> None:
        """extradata: of the codec, where the container has it: parameters, and the kind of packets."""
        head = extradata or b""
        self._length_bytes = (head[4] & 3) + 1 if len(head) > 6 and head[0] == 1 else 0
        self._parameters: _Parameters | None = None
        self._last: int | None = None
        self._unread = self._in_order = 0
        self._before_gap: int | None = None
        self.was_wrong = False
        """Whether the packet counted last shows that the gap before the one before it was none."""
        if self._length_bytes:
            size = int.from_bytes(head[6:8], "big")
            self._learn(head[8 : 8 + size])

    def gap(self, packet: Any) -> int:
        """Pictures that are missing between the packet before and this one; 0 where that is not known."""
        self.was_wrong = False
        unit = self._first_slice(bytes(memoryview(packet)[:HEAD_BYTES]))
        number = None if unit is None else self._number(unit)
        if unit is None or number is None or self._parameters is None or self._parameters.has_gaps:
            self._unread += 1
            return 0
        last, self._last = self._last, number
        unread, self._unread = self._unread, 0
        if not unit[0] & 0x60 and last is not None:  # no reference picture: the next one has the same number
            self._last = (number - 1) % (1 << self._parameters.number_bits)
        if last is None or packet.is_keyframe or number == last:
            self._before_gap = None
            return 0
        return self._counted(last, number, unread, 1 << self._parameters.number_bits)

    def _counted(self, last: int, number: int, unread: int, count: int) -> int:
        missing = (number - last - 1) % count
        if self._before_gap is not None:
            self.was_wrong = missing > 0 and (number - self._before_gap - 1) % count <= 1
            self._before_gap = None
        is_proved = self._in_order >= PROOF and 0 < missing - unread < count // 2
        self._in_order = 0 if missing else self._in_order + 1
        if not is_proved:
            return 0
        self._before_gap = last
        return missing - unread

    def _first_slice(self, content: bytes) -> bytes | None:
        for unit in self._units(content):
            kind = unit[0] & 31 if unit else 0
            if kind == PARAMETERS:
                self._learn(unit)
            elif kind in (SLICE, KEY_SLICE):
                return unit
        return None

    def _units(self, content: bytes) -> Iterator[bytes]:
        if not self._length_bytes:
            starts = [found.end() for found in _START.finditer(content)]
            yield from (content[start : start + 1024] for start in starts)
            return
        place = 0
        while place + self._length_bytes < len(content):
            size = int.from_bytes(content[place : place + self._length_bytes], "big")
            place += self._length_bytes
            yield content[place : place + min(size, 1024)]
            place += size

    def _learn(self, unit: bytes) -> None:
        try:
            self._parameters = _parameters(unit)
        except (ValueError, IndexError):
            self._parameters = None

    def _number(self, unit: bytes) -> int | None:
        """frame_num of a slice (7.3.3); None if it is not the first one of a picture, or damaged."""
        if self._parameters is None:
            return None
        bits = _Bits(unit[:64])
        try:
            first, kind, _ = bits.code(), bits.code(), bits.code()
            if first or kind > 9:
                return None
            if self._parameters.has_plane_id:
                bits.number(2)
            return bits.number(self._parameters.number_bits)
        except ValueError:
            return None


END_BYTES = 65536
"""The end marker of a JPEG is looked for in so many of its last bytes: cameras pad."""

HIDDEN_FRAMES = frozenset({"vp8", "vp9", "av1", "libdav1d", "libaom-av1", "mpeg4", "msmpeg4v3", "vc1"})
"""Codecs with packets that show no picture: there a packet without picture is no loss by itself."""

REORDERED = 64
"""A picture is shown before so many later packets are decoded, or never. (H.264 and HEVC: 16.)"""


class Jpegs:
    """Finds JPEGs that were cut off: FFmpeg fills their rest with grey without a message."""

    def __init__(self) -> None:
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
