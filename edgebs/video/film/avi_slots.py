"""Positions of frames in an AVI file, which has no time stamps: a frame's time is its number.

Where part of a file is damaged, FFmpeg finds the next chunk and counts on, as if nothing were missing. The
index at the end of the file says which chunk that is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

AHEAD = 4
"""Packets that are compared with the index to recognise a place."""
DROPPED_BYTES = 1
"""Chunks of 0 and 1 byte stand for a frame that the recorder dropped."""
TAIL_BYTES = 64 << 20
"""The index is looked for in that much of the end of a file: 4 million chunks."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """An entry of the index."""

    offset: int
    """In bytes, from a point that is the same for all chunks."""
    size: int
    """Of its data, in bytes."""


def avi_index(path: Path, stream: int) -> tuple[Chunk, ...]:
    """Chunks of one stream in order, from the `idx1` table of an AVI file; empty where there is none."""
    length = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, length - TAIL_BYTES))
        tail = file.read()
    start = tail.rfind(b"idx1")
    if start < 0 or start + 8 > len(tail):
        return ()
    table = tail[start + 8 : start + 8 + int.from_bytes(tail[start + 4 : start + 8], "little")]
    kinds = {f"{stream:02d}{kind}".encode() for kind in ("dc", "db")}
    entries = (table[place : place + 16] for place in range(0, len(table) - 15, 16))
    return tuple(
        Chunk(int.from_bytes(entry[8:12], "little"), int.from_bytes(entry[12:16], "little"))
        for entry in entries
        if entry[:4] in kinds
    )


class Slots:
    """Gives each picture the number of its chunk. Pictures come in the order of chunks, a few later."""

    def __init__(self, index: Sequence[Chunk]) -> None:
        """index: of the intact file; may be empty, then packets are counted."""
        self._index = index
        self._places = {chunk.offset: place for place, chunk in enumerate(index)}
        self._base: int | None = None
        self._next = 0
        self._shown: deque[int] = deque()
        self._last = -1

    def add(self, packets: Sequence[Chunk]) -> None:
        """A packet was read. packets: it and those that follow, with their positions in the file."""
        if self._base is None and self._index:
            self._base = packets[0].offset - self._index[0].offset
        size = packets[0].size
        slot = self._found(packets)
        self._next = slot + 1
        if size > DROPPED_BYTES:
            self._shown.append(slot)

    def fail(self) -> None:
        """The packet read last was not decoded: it will show no picture."""
        if self._shown:
            self._shown.pop()

    def next_shown(self) -> int:
        """The number of the next picture."""
        self._last = self._shown.popleft() if self._shown else self._last + 1
        return self._last

    def _found(self, packets: Sequence[Chunk]) -> int:
        if self._base is None:
            return self._next
        first = packets[0]
        place = self._places.get(first.offset - self._base, -1)
        if place >= self._next and self._index[place].size == first.size:
            return place
        # Bytes are missing from the file: what follows moved. Chunks are recognised by sizes and distances.
        for place in range(self._next, len(self._index)):
            base = first.offset - self._index[place].offset
            if base < self._base and self._agrees(place, packets):
                self._base = base
                return place
        return self._next

    def _agrees(self, place: int, packets: Sequence[Chunk]) -> bool:
        shift = packets[0].offset - self._index[place].offset
        chunks = self._index[place : place + len(packets)]
        return all(
            chunk.size == packet.size and packet.offset - chunk.offset == shift
            for chunk, packet in zip(chunks, packets, strict=False)
        )
