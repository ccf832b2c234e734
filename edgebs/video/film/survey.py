"""What the first packets of a container say of its video streams: which one is the film, and its rate."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import av

PACKETS = 250
"""Looked at, of the stream that has most."""
PACKETS_IN_ALL = 20_000
"""Looked at, of sound and pictures together."""
REGULAR_SHARE = 0.9
"""A stream is of constant rate if so many of its steps are one frame long."""
STEP_TOLERANCE = 0.25
"""How far a step may be from a whole number of frames, in frames."""
FASTEST = 1000
"""Frames/s; what is more is no rate."""
COVER_RATIO = 8
"""A stream with so many times fewer pictures than another one is a cover or a list of thumbnails."""
STILL = ("attached_pic", "still_image", "timed_thumbnails")
"""Dispositions of streams that hold a cover or thumbnails."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The first packets of each video stream, by its index."""

    times_s: dict[int, list[float]]
    """Time stamps in seconds, sorted; of packets that have one."""
    counts: dict[int, int]
    """Packets seen."""

    def packets(self, stream: Any) -> int:
        """How many packets of the stream were seen."""
        return self.counts.get(stream.index, 0)

    def is_regular(self, stream: Any, fps: float) -> bool:
        """Whether the time stamps are those of a constant rate of `fps` frames/s (with gaps, if damaged)."""
        tolerance = STEP_TOLERANCE + fps * float(stream.time_base)
        steps = self._steps_s(stream)
        return sum(abs(step * fps - 1) <= tolerance for step in steps) >= REGULAR_SHARE * len(steps)

    def typical_rate(self, stream: Any) -> float | None:
        """Frames/s of the most usual step, None where there are too few."""
        steps = self._steps_s(stream)
        middle = median(steps) if len(steps) > 1 else 0.0
        return 1 / middle if middle * FASTEST >= 1 else None

    def _steps_s(self, stream: Any) -> list[float]:
        # The last ones may lack frames that are displayed before, and come later in the file.
        times = self.times_s.get(stream.index, [])[: PACKETS - 16]
        return [after - before for before, after in pairwise(times)]


def survey(container: Any) -> Survey:
    """Read the first packets. The container is of no use afterwards."""
    videos = {stream.index for stream in container.streams.video}
    times: dict[int, list[float]] = {index: [] for index in videos}
    counts = dict.fromkeys(videos, 0)
    try:
        for count, packet in enumerate(container.demux()):
            if packet.size and packet.stream_index in videos:
                stamp = packet.dts if packet.pts is None else packet.pts
                counts[packet.stream_index] += 1
                if stamp is not None:
                    times[packet.stream_index].append(float(stamp * packet.time_base))
            if count >= PACKETS_IN_ALL or max(counts.values(), default=0) >= PACKETS:
                break
    except av.FFmpegError:
        pass  # the film is judged by what was read, and its errors are those of the reading
    return Survey({index: sorted(stamps) for index, stamps in times.items()}, counts)


def film_stream(container: Any, seen: Survey | None) -> tuple[Any | None, Sequence[Any]]:
    """The stream that is the film, None where there is none, and all that could be one.

    Covers and thumbnails are passed over, and streams of few pictures where another has many; then the
    default stream comes first, then larger pictures, then the order in the file.
    """
    films = [stream for stream in container.streams.video if _is_film(stream)]
    if not films:
        return None, ()
    lengths = {stream.index: _pictures(stream, seen) for stream in films}
    longest = max(lengths.values())
    films = [stream for stream in films if lengths[stream.index] * COVER_RATIO >= longest]
    best = max(films, key=lambda stream: (_is_default(stream), stream.width * stream.height, -stream.index))
    return best, films


def frame_rate(stream: Any, seen: Survey | None) -> tuple[float | None, bool]:
    """Frames/s, None if the container has no plausible value; and whether the rate is constant.

    The rates that FFmpeg guesses are checked with the time stamps: some codecs name another one.
    """
    guesses = [float(rate) for rate in (stream.guessed_rate, stream.average_rate) if rate]
    # Rejects 90000, which is a time base and no rate.
    guesses = [rate for rate in guesses if 0 < rate <= FASTEST]
    if seen is None:
        return (guesses[0], True) if guesses else (None, False)
    measured = seen.typical_rate(stream)
    for rate in (*guesses, *([] if measured is None else [measured])):
        if seen.is_regular(stream, rate):
            return rate, True
    return guesses[-1] if guesses else measured, False


def promised_frames(container: Any, stream: Any, fps: float | None) -> int | None:
    """Frames of the stream by its container, None if it has no number."""
    length_s = length(container, stream)
    by_time = round(length_s * fps) if length_s and fps else None
    if stream.frames and by_time and "mp4" in container.format.name:
        # Frames before the start of an edit list are counted, and not read. (The length of an AVI follows
        # from what the file holds.)
        return min(int(stream.frames), by_time)
    return int(stream.frames) or by_time


def length(container: Any, stream: Any) -> float | None:
    """Length of the stream in seconds, by its container."""
    end_s = _end(container, stream)
    if end_s is None or "matroska" not in container.format.name or stream.start_time is None:
        return end_s
    # Matroska stores the end; pictures may begin later than at 0, for example after a cut.
    return max(0.0, end_s - float(stream.start_time * stream.time_base))


def _end(container: Any, stream: Any) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if tag is not None and any(map(float, tag.groups())):
        hours, minutes, seconds = map(float, tag.groups())
        return hours * 3600 + minutes * 60 + seconds
    # The length of all streams: sound may go on after the pictures.
    is_alone = len(container.streams) == 1
    return container.duration / av.time_base if container.duration and is_alone else None


def _is_film(stream: Any) -> bool:
    if stream.codec_context is None:
        return False
    names = {name for name in STILL if getattr(av.stream.Disposition, name, 0) & stream.disposition}
    return not names


def _is_default(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.default)


def _pictures(stream: Any, seen: Survey | None) -> int:
    """Pictures in the stream, as far as known; 2 where nothing is."""
    known = max(stream.frames, 0 if seen is None else seen.packets(stream))
    return int(known) if known or seen is not None else PACKETS


AHEAD = 4
"""Packets that are compared with the index to recognise a place."""

DROPPED_BYTES = 1
"""Chunks of 0 and 1 byte stand for a frame that the recorder dropped."""

TAIL_BYTES = 64 << 20
"""The index is looked for in that much of the end of a file: 4 million chunks."""


# An AVI file has no time stamps: the time of a frame is its number. Behind a damaged part FFmpeg takes the
# next chunk and counts on without a gap. The index at the end of the file gives the true number of that
# chunk.
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
