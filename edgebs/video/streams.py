"""Sources of moving pictures: video files, pipes and addresses by FFmpeg, cameras and GStreamer by OpenCV."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2

from edgebs.errors import SourceError
from edgebs.text.addresses import source_name
from edgebs.video.bit_depth import EightBits, ValueRange
from edgebs.video.capture import Capture, has_backend
from edgebs.video.film.container import (
    NotOpened,
    address_film,
    is_endless,
    live_decoder,
    open_address,
    open_file,
    open_pipe,
)
from edgebs.video.film.film import Film, film_source
from edgebs.video.live import Feed, LiveFrame, live_source
from edgebs.video.live_clock import LiveClock, has_own_times
from edgebs.video.source import Source

TEXT = (".txt", ".nfo", ".asc", ".ans", ".diz", ".vt")
"""FFmpeg reads these as films of a terminal, letter by letter."""


def video_file(path: Path, *, loop: bool, fps: float | None, value_range: ValueRange | None) -> Source:
    """A video file, from its first frame. fps: believe this rate instead of the file's own times."""
    return film_source(
        _opened_file(path), lambda: _opened_file(path), loop=loop, fps=fps, value_range=value_range
    )


def pipe(path: Path, *, loop: bool, fps: float | None, value_range: ValueRange | None) -> Source:
    """A video that is read from a named pipe or /dev/stdin, once."""
    if loop:
        raise SourceError(
            f"{path} is a pipe and cannot be repeated: give a file, or leave out the repeating."
        )
    film = _opened_pipe(path)
    return film_source(film, lambda: film, loop=False, fps=fps, value_range=value_range)


def camera(number: int, *, timeout_s: float) -> Source:
    """A camera of this machine. (V4L2 has its own limit of 10 s per frame; timeout_s is for the message.)"""
    capture = Capture(number)
    if not capture.is_open:
        present = ", ".join(sorted(str(device) for device in Path("/dev").glob("video*"))) or "none"
        raise SourceError(
            f"camera {number} cannot be opened (devices here: {present}). Check the cable, the permissions "
            "of /dev/video* (group `video`), and that no other program uses it."
        )
    return _captured(f"camera {number}", capture, timeout_s)


def address(url: str, *, loop: bool, timeout_s: float, value_range: ValueRange | None) -> Source:
    """A stream (rtsp://, http://), or a video file behind http://. timeout_s: to open, and for each frame."""
    name = source_name(url)
    container = _opened_address(url, name, timeout_s)
    if not is_endless(container, url):
        film = address_film(container, url, name, timeout_s)
        return film_source(
            film, lambda: _reopened(url, name, timeout_s), loop=loop, fps=None, value_range=value_range
        )
    if loop:
        container.close()
        raise SourceError(f"{name} is live and cannot be repeated: give a file, or leave out the repeating.")
    return _streamed(container, name, timeout_s, EightBits(value_range))


def gstreamer(pipeline: str, *, timeout_s: float) -> Source:
    """A GStreamer pipeline that ends in `appsink`, where OpenCV was built with GStreamer."""
    if not has_backend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"this OpenCV was built without GStreamer and cannot run the pipeline '{source_name(pipeline)}'. "
            "Wheels from PyPI never have it: use the system's OpenCV (on Jetson it comes with JetPack; leave "
            "out the extras `headless` and `gui`), or give a file or an rtsp:// address."
        )
    capture = Capture(pipeline, cv2.CAP_GSTREAMER)
    if not capture.is_open:
        raise SourceError(
            f"GStreamer cannot start '{source_name(pipeline)}'. It must end in `! videoconvert ! "
            "video/x-raw,format=BGR ! appsink`; "
            "try it in gst-launch-1.0 with `fakesink` in place of `appsink`."
        )
    return _captured(f"GStreamer pipeline '{source_name(pipeline)}'", capture, timeout_s)


def _opened_file(path: Path) -> Film:
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is empty (0 bytes). Copy or record it again.")
    if path.suffix.lower() in TEXT:
        raise SourceError(f"{path} is a text, not a video.")
    try:
        return open_file(path, str(path))
    except NotOpened as error:
        reason = str(error)
    if _lacks_moov(path):
        raise SourceError(
            f"{path} has no index (no 'moov' box): the recording or the copy was cut off before its end, and "
            "an MP4 cannot be read without it. Copy it again; where power may fail, record MKV."
        )
    raise SourceError(f"{path} cannot be read as a video: {reason}. See what it is with: ffprobe '{path}'")


def _opened_pipe(path: Path) -> Film:
    try:
        return open_pipe(path, str(path))
    except NotOpened as error:
        raise SourceError(
            f"{path} is a pipe that cannot be read as a video: {error}. Write a format into it that needs no "
            "seeking, such as MKV or MPEG-TS: ffmpeg -i IN -c copy -f matroska - | edgebs run ... --source -"
        ) from None


def _opened_address(url: str, name: str, timeout_s: float) -> Any:
    started_s = time.monotonic()
    try:
        return open_address(url, timeout_s)
    except NotOpened as error:
        raise SourceError(
            f"{name} cannot be opened ({error}; tried for {time.monotonic() - started_s:.1f} s). "
            f"Check the address, the user and password, and that it plays here: ffplay '{name}'"
        ) from None


def _reopened(url: str, name: str, timeout_s: float) -> Film:
    return address_film(_opened_address(url, name, timeout_s), url, name, timeout_s)


def _streamed(container: Any, name: str, timeout_s: float, depth: EightBits) -> Source:
    clock = LiveClock(uses_stamps=has_own_times(container.format.name))
    try:
        decoder, fps = live_decoder(container, name, timeout_s)
    except NotOpened as error:
        raise SourceError(f"{name} cannot be used: {error}. Check the address.") from None

    def read() -> LiveFrame | None:
        picture = decoder.read()
        if picture is None:
            return None
        image = depth.frame(picture.image, f"a frame of {name}", picture.own_range)
        captured_s = clock.captured_s(picture.time_s, picture.arrived_s)
        return LiveFrame(image, captured_s, picture.lost + picture.skipped, picture.is_damaged)

    return live_source(
        Feed(
            name=name,
            fps=fps,
            timeout_s=timeout_s,
            read=read,
            close=decoder.close,
            is_closed=lambda: decoder.is_closed,
        )
    )


def _captured(name: str, capture: Capture, timeout_s: float) -> Source:
    def read() -> LiveFrame | None:
        image = capture.read()
        return None if image is None else LiveFrame(image, time.monotonic())

    return live_source(
        Feed(
            name=name,
            fps=capture.fps,
            timeout_s=timeout_s,
            read=read,
            close=capture.close,
            is_closed=lambda: capture.is_closed,
        )
    )


def _lacks_moov(path: Path) -> bool:
    """Whether this is an MP4 or MOV without the box that says where the frames are."""
    length, position = path.stat().st_size, 0
    kinds: list[bytes] = []
    with path.open("rb") as file:
        while position + 8 <= length and len(kinds) < 100:
            file.seek(position)
            head = file.read(16)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            size = int.from_bytes(head[8:16], "big") if size == 1 else size
            kinds.append(kind)
            if size < 8:
                break
            position += size
    return kinds[:1] == [b"ftyp"] and b"moov" not in kinds
