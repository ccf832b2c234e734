"""Writes a video under a temporary name and proves, before it gets its own name, that it can be read."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from edgebs.errors import SinkError
from edgebs.files import Partial

SPARE_BYTES = 16 << 20
"""Writing stops with an error while this much is left on the disk: a full disk harms more than this run."""
FRAMES_PER_CHECK = 64
FORMATS = {".mkv": "matroska", ".avi": "avi", ".mp4": "mp4"}
TIMELESS = (".avi",)
"""Endings of formats that count frames and store no times."""
LONGEST_TICK = 65535
"""MPEG-4 stores the length of a frame as a fraction of 16-bit numbers."""
TIMES_PER_S = 1000
"""Resolution of times where the rate varies. MKV has no finer one."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How pictures are compressed."""

    encoder: str
    """FFmpeg's name."""
    colour: str
    """FFmpeg's name of the pixel format."""
    options: tuple[tuple[str, str], ...] = ()


class VideoWriter:
    """One video file in the making."""

    def __init__(
        self, path: Path, codec: Codec, size: tuple[int, int], fps: float, *, has_variable_rate: bool = False
    ) -> None:
        """size: (height, width). The file appears at `path` when `finish` succeeds.

        has_variable_rate: store the times of `write` instead of a constant rate, where the format can.
        """
        self._path, self._frames = path, 0
        self._stores_times = path.suffix.lower() not in TIMELESS
        self._tick_s = _tick(path, fps)
        if has_variable_rate and self._stores_times:
            self._tick_s = Fraction(1, TIMES_PER_S)
        self._frame_s = 1 / fps
        self._start_s: float | None = None
        self._ticks = -1
        self._partial = Partial(path)
        try:
            self._open(codec, size, fps)
        except (av.FFmpegError, ValueError, OSError) as error:
            self.discard()
            reason = getattr(error, "strerror", None) or error
            raise SinkError(
                f"{path} cannot be written: this FFmpeg has no encoder {codec.encoder} for {path.suffix}, or "
                f"refuses {size[1]}x{size[0]} at {fps:g} frames/s ({reason}). Masks can go to a folder of "
                "PNG files instead: a path without an ending."
            ) from error

    def _open(self, codec: Codec, size: tuple[int, int], fps: float) -> None:
        self._container: Any = None
        container = av.open(f"file:{self._partial.path}", "w", format=FORMATS[self._path.suffix.lower()])
        self._container = container
        rate = 1 / _tick(self._path, fps)
        self._stream: Any = container.add_stream(codec.encoder, rate=rate, options=dict(codec.options))
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = codec.colour
        self._stream.codec_context.time_base = self._tick_s
        container.start_encoding()

    def write(self, picture: npt.NDArray[np.uint8], time_s: float | None = None) -> None:
        """Add a frame: (H, W, 3) BGR, or (H, W) for a grey video. time_s: when it is shown, rising."""
        if self._frames % FRAMES_PER_CHECK == 0:
            require_space(self._path)
        frame = av.VideoFrame.from_ndarray(picture, format="gray" if picture.ndim == 2 else "bgr24")
        frame.pts, frame.time_base = self._next_ticks(time_s), self._tick_s
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise self._not_written(f"frame {self._frames} cannot be stored", error) from error
        self._frames += 1

    def finish(self) -> None:
        """Close the file, check that it holds every frame, and give it its name."""
        last = f"the last of {self._frames} frames cannot be read back"
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            is_whole = self._has_last_frame()
        except (av.FFmpegError, OSError) as error:
            raise self._not_written(last, error) from error
        if not is_whole:
            raise self._not_written(last)
        self._partial.keep()

    def discard(self) -> None:
        try:
            if self._container is not None:
                self._container.close()
        except (av.FFmpegError, OSError):
            pass  # what cannot be finished is removed
        self._partial.discard()

    def _next_ticks(self, time_s: float | None) -> int:
        """The time of the next frame in ticks: the given one, else one frame after the last."""
        following = self._ticks + max(1, round(self._frame_s / float(self._tick_s)))
        if self._frames == 0:
            following, self._start_s = 0, time_s
        elif self._stores_times and time_s is not None and self._start_s is not None:
            following = max(self._ticks + 1, round((time_s - self._start_s) / float(self._tick_s)))
        self._ticks = following
        return following

    def _has_last_frame(self) -> bool:
        """The header of a file that was cut off still counts every frame: decode the last one itself."""
        with av.open(f"file:{self._partial.path}") as written:
            stream = written.streams.video[0]
            last = round(self._ticks * self._tick_s / stream.time_base)
            written.seek(last, stream=stream)
            times = [frame.pts for frame in written.decode(stream) if frame.pts is not None]
        return bool(times) and abs(times[-1] - last) * stream.time_base <= self._tick_s / 2

    def _not_written(self, what: str, error: OSError | None = None) -> SinkError:
        size_bytes = self._partial.path.stat().st_size if self._partial.path.exists() else 0
        self.discard()
        free_bytes = shutil.disk_usage(self._path.parent).free
        reason = "" if error is None else f"{error.strerror}; "
        return SinkError(
            f"{self._path} was not written: {what} ({reason}{size_bytes} bytes, {free_bytes >> 20} MiB "
            "free). Free some space or lift the quota."
        )


def _tick(path: Path, fps: float) -> Fraction:
    """The length of a frame in seconds, as every format can store it. Raises SinkError."""
    if 1 / LONGEST_TICK < fps < LONGEST_TICK:  # also rejects NaN
        tick = (1 / Fraction(fps)).limit_denominator(LONGEST_TICK)
        if tick.numerator > LONGEST_TICK:
            tick = 1 / Fraction(fps).limit_denominator(LONGEST_TICK)
        return tick
    raise SinkError(
        f"{path} cannot be written: no video has {fps} frames/s. Give a rate between 0.001 and 1000."
    )


def require_space(path: Path) -> None:
    """Raise SinkError while the disk that holds `path` is as good as full."""
    free_bytes = shutil.disk_usage(path.parent).free
    if free_bytes < SPARE_BYTES:
        raise SinkError(
            f"{path} cannot be written on: its disk is full ({free_bytes >> 20} MiB free). "
            "Free some space, or write elsewhere."
        )
