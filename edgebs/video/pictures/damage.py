"""Whether a picture file is whole, seen from its bytes: decoders fill what is missing, or write to stderr."""

from __future__ import annotations

import re
import struct
import zlib

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"

_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""A marker between coded data: neither a stuffed 0xFF (followed by 0) nor a restart (D0 to D7)."""
_SOI, _EOI, _TEM = 0xD8, 0xD9, 0x01
_FREE = (*range(0xE0, 0xF0), 0xFE)
"""Markers of segments that hold what a program likes, also other pictures: APP0 to APP15, and comments."""
_NEXT_PICTURE = b"\xff\xd8\xff"
"""Inside a table it means that the table was cut off and another picture follows."""


def damage(content: bytes) -> str | None:
    """What is wrong with the bytes of a picture, as "it is cut off"; None where nothing can be seen here.

    Knows JPEG and PNG. What follows the picture's end does not count: cameras pad their files, and append
    second pictures and data of their own.
    """
    if not content:
        return "it is empty"
    if content.startswith(JPEG):
        return "it is cut off" if _is_cut_jpeg(content) else None
    if content.startswith(PNG):
        return _png_damage(content)
    return None


def _is_cut_jpeg(content: bytes) -> bool:
    """Whether the first picture ends before its end-of-image marker (ITU-T T.81, annex B).

    Segments are skipped by their length, so that the thumbnail inside one, a JPEG itself, is not taken for
    the picture; after each scan header the coded data are searched for the next marker.
    """
    position = len(JPEG)
    while (found := _MARKER.search(content, position)) is not None:
        marker, position = found.group(1)[0], found.end()
        if marker == _EOI:
            return False
        if marker == _SOI:  # the next picture begins inside this one
            return True
        if marker == _TEM:  # has no length
            continue
        length = int.from_bytes(content[position : position + 2], "big")
        segment = content[position : position + length]
        if length < 2 or len(segment) < length or (marker not in _FREE and _NEXT_PICTURE in segment):
            return True
        position += length
    return True


def png_chunks(content: bytes) -> list[tuple[bytes, bytes, bool]]:
    """Name, data and whether the checksum holds of each chunk, to the end of the picture or of the bytes."""
    chunks, position = [], len(PNG)
    while position + 12 <= len(content):
        length, name = struct.unpack(">I4s", content[position : position + 8])
        data = content[position + 8 : position + 8 + length]
        stored = content[position + 8 + length : position + 12 + length]
        is_whole = len(data) == length and stored == zlib.crc32(data, zlib.crc32(name)).to_bytes(4, "big")
        chunks.append((name, data, is_whole))
        position += 12 + length
        if name == b"IEND":
            break
    return chunks


def _png_damage(content: bytes) -> str | None:
    chunks = png_chunks(content)
    # Lower case begins the names of chunks that a decoder may leave out.
    broken = [name for name, _, is_whole in chunks if not is_whole and name[:1].isupper()]
    if not chunks or chunks[-1][0] != b"IEND":
        return "it is cut off"
    if broken:
        return f"it is damaged (checksum of chunk {broken[0].decode('ascii', 'replace')})"
    return None
