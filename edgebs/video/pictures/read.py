"""One picture file as an array: the only place where pictures are decoded.

A frame keeps its depth here (`edgebs.video.bit_depth` makes 8 bits of it), loses its transparency, and is
upright as its EXIF orientation says. What a mask means is decided in bench/scored/masks.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from edgebs.errors import SourceError
from edgebs.tensors import Array, Frame
from edgebs.video.bit_depth import EightBits, ValueRange
from edgebs.video.capture import quiet_opencv
from edgebs.video.pictures.damage import JPEG, PNG, damage, png_chunks

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
    """The range that the file says its values have; None where it says nothing, as of 32 bits."""

    def __repr__(self) -> str:
        """Shape, not data."""
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
    """The picture as (H, W, 3) uint8 BGR, by the range that its file says. Raises SourceError."""
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
        # Tag 254, NewSubfileType: bit 0 says that it is a smaller copy of another one.
        is_copy = any(
            _number(content, tag, 2, order) == 254 and _number(content, tag + 8, 4, order) & 1 for tag in tags
        )
        pages += not is_copy
        offset = _number(content, offset + 2 + 12 * count, 4, order)
    return max(pages, 1)


def _number(content: bytes, offset: int, length: int, order: Literal["little", "big"]) -> int:
    return int.from_bytes(content[offset : offset + length], order)
