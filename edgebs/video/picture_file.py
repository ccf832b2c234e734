"""One picture file as an array: the only place where pictures are decoded.

A frame keeps its depth here (`edgebs.video.bit_depth` makes 8 bits of it), loses its transparency, and is
upright by its EXIF orientation. What a mask means is decided in bench/scored/masks.py.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from edgebs.errors import SinkError, SourceError
from edgebs.files import atomic_file
from edgebs.tensors import Array, Frame
from edgebs.video.bit_depth import EightBits, ValueRange
from edgebs.video.live import quiet_opencv

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


FRAME = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
"""BGR in the file's depth."""

AS_STORED = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
"""Grey or BGR in the file's depth; the only one that reads floating-point TIFF."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Picture:
    """What a file holds."""

    values: Array
    """(H, W, 3) BGR, or (H, W) grey, in the file's own depth."""
    own_range: ValueRange | None
    """The range of values in the file's header; None if it has none, as with 32 bits."""

    def __repr__(self) -> str:
        return f"Picture({self.values.shape} {self.values.dtype}, own range {self.own_range})"


def read_picture(file: Path, flags: int = FRAME) -> Picture:
    """The picture in `file`. Raises SourceError, naming the file and what is wrong with it.

    flags: FRAME or AS_STORED.
    """
    content = picture_bytes(file)
    values = decoded(content, flags)
    if values is None and flags == FRAME:
        values = decoded(content, AS_STORED)
    if values is None:
        raise SourceError(
            f"{file} cannot be read as a picture: it is damaged or none, or this OpenCV has no "
            f"decoder for it ({len(content)} bytes). {_REPAIR}"
        )
    return Picture(values, _own_range(content, values))


def read_frame(file: Path) -> Frame:
    """The picture as (H, W, 3) uint8 BGR, by the range in its file. Raises SourceError."""
    picture = read_picture(file)
    return EightBits().frame(picture.values, str(file), picture.own_range)


_REPAIR = "Copy it again, or remove it from the folder."


def picture_bytes(file: Path) -> bytes:
    """The file's content. Raises SourceError where it cannot be read, or is not one whole picture."""
    try:
        content = file.read_bytes()
    except OSError as cause:
        raise SourceError(f"{file} cannot be read: {cause.strerror}. {_REPAIR}") from cause
    if (reason := damage(content)) is not None:
        raise SourceError(f"{file} cannot be read as a picture: {reason} ({len(content)} bytes). {_REPAIR}")
    if (pages := _pages(content)) > 1:
        raise SourceError(
            f"{file} holds {pages} pictures (a TIFF of several pages), and only the first would be read. "
            f"Split it into one file a picture, for example with: tiffsplit '{file.name}'"
        )
    return content


def decoded(content: bytes, flags: int) -> Array | None:
    """The picture, or None where OpenCV cannot decode it. flags: cv2.IMREAD_*."""
    if not content:
        return None
    whole = np.frombuffer(content, np.uint8)
    if content.startswith((JPEG, PNG)):
        # Checked already. Setting OpenCV's level is not for threads, and most pictures come this way.
        return _imdecode(whole, flags)
    with quiet_opencv():
        return _imdecode(whole, flags)


def _imdecode(content: Array, flags: int) -> Array | None:
    try:
        values: Array | None = cv2.imdecode(content, flags)
    except cv2.error:
        return None
    return values


def _own_range(content: bytes, values: Array) -> ValueRange | None:
    if values.dtype == np.uint8:
        return 0.0, 255.0
    if values.dtype != np.uint16:
        return None
    if content.startswith(PNG):
        return _png_range(content, values)
    netpbm = re.match(
        rb"P[56]\s(?:\s|#[^\n]*\n)*\d+\s(?:\s|#[^\n]*\n)*\d+\s(?:\s|#[^\n]*\n)*(\d+)\s", content
    )
    return (0.0, float(netpbm.group(1))) if netpbm else (0.0, 65535.0)


def _png_range(content: bytes, values: Array) -> ValueRange:
    """By the chunk sBIT, the number of bits that the camera had.

    The specification has such values scaled to 16 bits; many cameras store them as they are. Scaled values
    end in zeros or in a copy of their first bits.
    """
    bits = next((data[0] for name, data, _ in png_chunks(content) if name == b"sBIT" and data), 16)
    shift = 16 - bits
    if not 0 < shift <= 8 or int(values.max()) >= 1 << bits:
        return 0.0, 65535.0
    low_bits = values & ((1 << shift) - 1)
    is_scaled = bool(((low_bits == 0) | (low_bits == values >> bits)).all())
    return (0.0, 65535.0) if is_scaled else (0.0, float((1 << bits) - 1))


_BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
"""By what a TIFF begins with."""


def _pages(content: bytes) -> int:
    """Pictures in a TIFF, reduced copies of others not counted; 1 for all other files."""
    order = _BYTE_ORDERS.get(content[:4])
    if order is None:
        return 1
    pages, seen, offset = 0, set[int](), _number(content, 4, 4, order)
    while 0 < offset < len(content) and offset not in seen:
        seen.add(offset)
        count = _number(content, offset, 2, order)
        tags = range(offset + 2, offset + 2 + 12 * count, 12)
        # Tag 254, NewSubfileType: bit 0 marks a smaller copy of another picture.
        is_copy = any(
            _number(content, tag, 2, order) == 254 and _number(content, tag + 8, 4, order) & 1 for tag in tags
        )
        pages += not is_copy
        offset = _number(content, offset + 2 + 12 * count, 4, order)
    return max(pages, 1)


def _number(content: bytes, offset: int, length: int, order: Literal["little", "big"]) -> int:
    return int.from_bytes(content[offset : offset + length], order)


def write_picture(file: Path, picture: Array) -> None:
    """Write (H, W) grey or (H, W, 3) BGR uint8 in the format of the file's ending, whole or not at all.

    Raises SinkError for an ending that OpenCV does not know, and where the file cannot be written.
    """
    try:
        is_encoded, content = cv2.imencode(file.suffix.lower() or ".", picture)
    except cv2.error:
        is_encoded = False
    if not is_encoded:
        raise SinkError(f"{file} cannot be written as a picture: '{file.suffix}'. Name it .png or .jpg.")
    with atomic_file(file, SinkError) as temporary:
        temporary.write_bytes(content.tobytes())
