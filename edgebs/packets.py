"""What packets tell that FFmpeg's decoders do not: pictures that never came, and JPEGs that were cut off."""

from __future__ import annotations

from typing import Any

END_BYTES = 65536
"""The end marker of a JPEG is looked for in so many of its last bytes: cameras pad."""
HIDDEN_FRAMES = frozenset({"vp8", "vp9", "av1", "libdav1d", "libaom-av1", "mpeg4", "msmpeg4v3", "vc1"})
"""Codecs with packets that show no picture: there a packet without picture is no loss by itself."""


class Jpegs:
    """Tells JPEGs that were cut off, of which FFmpeg fills the rest with grey and says nothing."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._have_ends = False

    def is_cut(self, packet: Any) -> bool:
        """Whether the end marker is missing, in a stream whose pictures had it so far."""
        if not packet.size:
            return False
        has_end = b"\xff\xd9" in bytes(packet)[-END_BYTES:]
        is_cut = self._have_ends and not has_end
        self._have_ends = self._have_ends or has_end
        return is_cut


class PendingPackets:
    """Packets that have not become pictures yet, by time stamp."""

    def __init__(self, codec: str) -> None:
        """codec: FFmpeg's name."""
        self._may_hide = codec in HIDDEN_FRAMES
        self._times: set[int] = set()
        self._errors = 0
        self._is_usable = True
        self._has_key = False

    def add(self, packet: Any) -> bool:
        """Expect the picture of a packet. False if it will show none."""
        self._has_key = self._has_key or packet.is_keyframe
        is_shown = self._has_key and not packet.is_discard
        if is_shown and packet.pts is not None:
            self._times.add(packet.pts)
        return bool(is_shown)

    def fail(self) -> None:
        """A packet was not decoded."""
        self._errors += 1

    def shown(self, pts: int | None, *, is_interlaced: bool) -> int:
        """How many packets before `pts` gave no picture and should have. Forgets them."""
        if pts is None or pts not in self._times:
            # Time stamps that are not those of the packets say nothing about packets.
            self._is_usable = self._is_usable and not self._times
            self._times.clear()
            return 0
        late = {time for time in self._times if time < pts}
        self._times -= late
        self._times.discard(pts)
        if not self._is_usable:
            return 0
        if self._may_hide or is_interlaced:
            lost = min(len(late), self._errors)
            self._errors -= lost
            return lost
        return len(late)
