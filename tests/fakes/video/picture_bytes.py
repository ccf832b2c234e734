"""Picture files of every kind, byte by byte: what encoders do not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np


def png(
    rows: Sequence[bytes],
    width: int,
    *,
    depth: int = 8,
    colour_type: int = 0,
    chunks: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """A PNG of packed rows. colour_type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    coded = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", coded), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png16(values: np.ndarray, *, significant_bits: int | None = None) -> bytes:
    """A grey PNG of 16 bits, with the chunk sBIT where `significant_bits` is given."""
    chunks = () if significant_bits is None else ((b"sBIT", bytes([significant_bits])),)
    rows = [row.astype(">u2").tobytes() for row in values]
    return png(rows, values.shape[1], depth=16, chunks=chunks)


def jpeg(level: int = 90, size: tuple[int, int] = (48, 64), *, progressive: bool = False) -> bytes:
    """A JPEG with some texture around `level`."""
    rng = np.random.default_rng(level)
    picture = np.clip(level + rng.integers(-20, 20, (*size, 3)), 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)])[1])


def with_exif(content: bytes, *, orientation: int = 1, thumbnail: bytes = b"") -> bytes:
    """A JPEG with an EXIF segment: an orientation, and a thumbnail that has its own end-of-image marker."""
    entry = struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + bytes(4) + thumbnail
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]


def write_pictures(folder: Path, contents: dict[str, bytes]) -> Path:
    """A folder with these files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def thermal(count: int = 60, size: tuple[int, int] = (120, 160), seed: int = 0) -> tuple[np.ndarray, ...]:
    """Counts (T, H, W) uint16 from 7000 to 8500 of a still scene with a warm box that moves; its masks."""
    rng = np.random.default_rng(seed)
    height, width = size
    scene = cv2.GaussianBlur(rng.random(size), (0, 0), 3)
    scene = cv2.normalize(scene, None, 7000, 7700, cv2.NORM_MINMAX)
    box = cv2.normalize(cv2.GaussianBlur(rng.random(size), (0, 0), 2), None, 8000, 8500, cv2.NORM_MINMAX)
    frames, masks = np.empty((count, *size), np.uint16), np.zeros((count, *size), bool)
    for index in range(count):
        frame = scene + rng.normal(0, 5, size)
        x = (index - 12) * width // 50
        if index >= 12:
            masks[index, height // 3 : 2 * height // 3, max(x, 0) : x + width // 6] = True
        frames[index] = np.where(masks[index], box, frame).clip(7000, 8500)
    return frames, masks
