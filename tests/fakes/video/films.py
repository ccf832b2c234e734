"""Small films for tests, written by PyAV: numbered pictures, and the places of their packets in the file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SIZE = (48, 64)


def numbered(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A grey picture with its number in its level, and noise above, so that no two packets are alike."""
    picture = np.full((*size, 3), 10 * number % 250, np.uint8)
    picture[:16] = np.random.default_rng(number).integers(0, 256, (16, size[1], 3))
    return picture


def number_of(image: np.ndarray) -> int:
    """The number of a picture of `numbered`."""
    return round(float(image[32:].mean()) / 10)


def add_video(
    container: Any, codec: str, *, fps: Fraction | int = 20, size: tuple[int, int] = SIZE, **attributes: Any
) -> Any:
    """A video stream in a container that is being written."""
    stream = container.add_stream(codec, rate=fps, options={"qmin": "2", "qmax": "3"})
    stream.height, stream.width = size
    stream.pix_fmt = {"mjpeg": "yuvj420p", "ffv1": "bgr0"}.get(codec, "yuv420p")
    stream.codec_context.gop_size = 1
    for name, value in attributes.items():
        setattr(stream.codec_context, name, value)
    return stream


def encode(stream: Any, image: np.ndarray, pts: int | None = None) -> Any:
    """The packets of one picture."""
    frame = av.VideoFrame.from_ndarray(image, format="bgr24")
    frame.pts = pts
    for name in ("color_trc",):
        setattr(frame, name, getattr(stream.codec_context, name))
    return stream.encode(frame)


def write_film(
    path: Path,
    frames: int = 20,
    *,
    codec: str = "mjpeg",
    fps: Fraction | int = 20,
    stamps: Sequence[int] | None = None,
    **attributes: Any,
) -> Path:
    """Numbered pictures. stamps: their times in frames, else 0, 1, 2, ..."""
    with av.open(f"file:{path}", "w") as container:
        stream = add_video(container, codec, fps=fps, **attributes)
        for number in range(frames):
            pts = number if stamps is None else stamps[number]
            container.mux(encode(stream, numbered(number), pts))
        container.mux(stream.encode(None))
    return path


def packet_places(path: Path) -> list[tuple[int, int]]:
    """(position, size) of each packet's data in the file, in bytes."""
    content = path.read_bytes()
    with av.open(f"file:{path}") as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    # Not `packet.pos`: in MKV that is the header's.
    return [(content.index(packet), len(packet)) for packet in packets]


def overwrite(path: Path, places: Iterable[tuple[int, int]], value: int = 0) -> None:
    """Damage a file: fill ranges of bytes."""
    content = bytearray(path.read_bytes())
    for position, size in places:
        content[position : position + size] = bytes([value]) * size
    path.write_bytes(content)


def cut_out(path: Path, start: int, end: int) -> None:
    """Damage a file: remove a range of bytes."""
    content = path.read_bytes()
    path.write_bytes(content[:start] + content[end:])
