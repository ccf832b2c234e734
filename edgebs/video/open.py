"""Opens whatever frames come from: a video file, a folder of pictures, a camera, an address, an iterable."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import cv2

from edgebs.errors import SourceError
from edgebs.image import check_frame
from edgebs.tensors import Frame
from edgebs.text import source_name
from edgebs.video import Source, SourceFrame
from edgebs.video.bit_depth import EightBits, ValueRange
from edgebs.video.film import Film, film_source
from edgebs.video.film.container import (
    NotOpened,
    address_film,
    is_endless,
    live_decoder,
    open_address,
    open_file,
    open_pipe,
)
from edgebs.video.live import Capture, Feed, LiveClock, LiveFrame, has_backend, has_own_times, live_source
from edgebs.video.picture_folder import PICTURES, picture_folder

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

        def reopen() -> Film:
            return address_film(_opened_address(url, name, timeout_s), url, name, timeout_s)

        return film_source(film, reopen, loop=loop, fps=None, value_range=value_range)
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
    """Whether this is an MP4 or MOV without the index of its frames (moov)."""
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


__all__ = ["Source", "SourceFrame", "SourceSpec", "open_source"]

SourceSpec = str | Path | int | Source | Iterable[Frame] | Iterable[SourceFrame]
"""What `open_source` takes."""


def open_source(
    spec: SourceSpec,
    *,
    loop: bool = False,
    fps: float | None = None,
    timeout_s: float = 10.0,
    value_range: ValueRange | None = None,
) -> Source:
    """A source for `spec`, opened: what cannot be read is refused here, as SourceError.

    spec: a video file, a pipe ("-" is the standard input) or a file:// address; a folder of pictures (PNG,
    JPEG, BMP, TIFF, WebP, JPEG 2000 and PNM, in natural order: 2 before 10; one that cannot be read is named
    in a warning and left out, its index too); a camera's number (0 or "0") or device ("/dev/video0"); an
    rtsp:// or http:// address; a GStreamer pipeline ("... ! appsink"); a `Source`, returned as it is; any
    iterable of (H, W, 3) uint8 BGR arrays or of `SourceFrame`s. Arrays are passed on, not copied.
    loop: repeat a file, folder or list endlessly, with times that go on.
    fps: frames/s of a folder or an iterable, which have no times of their own; replaces a file's own times.
    timeout_s: how long a stream may take to open, and to send a frame.
    value_range: (low, high), the values that become 0 and 255 in every frame; the others are cut to them.
    With it arrays may also be (H, W), and of any integer or floating type. Without it 16-bit pictures use
    the file's own range where the first one fills it, with a warning, and are refused where it does not.
    Raises ValueError for an invalid range.
    """
    if isinstance(spec, Source):
        return _mapped(spec, value_range)
    if isinstance(spec, bool) or not isinstance(spec, str | Path | int | Iterable):
        raise SourceError(f"cannot read frames from a {type(spec).__name__}. {_KINDS}")
    if isinstance(spec, str | Path | int):
        return _open_named(str(spec), loop=loop, fps=fps, timeout_s=timeout_s, value_range=value_range)
    return _from_iterable(spec, loop=loop, fps=fps, value_range=value_range)


_KINDS = (
    "Give a video file, a folder of pictures, a camera's number, an rtsp:// or http:// address, "
    "or an iterable of (H, W, 3) uint8 BGR arrays."
)


def _open_named(
    text: str,
    *,
    loop: bool,
    fps: float | None,
    timeout_s: float,
    value_range: ValueRange | None,
) -> Source:
    path = local_path(text)
    if path.is_dir():
        return picture_folder(path, loop=loop, fps=fps, value_range=value_range)
    if path.is_file() and path.suffix.lower() in PICTURES:
        raise SourceError(f"{path} is one picture, and a source is many: give its folder, {path.parent}")
    if path.is_file():
        return video_file(path, loop=loop, fps=fps, value_range=value_range)
    if path.is_fifo() or (path.is_char_device() and not re.fullmatch(r"/dev/video\d+", text)):
        return pipe(path, loop=loop, fps=fps, value_range=value_range)
    is_live = re.fullmatch(r"(/dev/video)?\d{1,6}", text, re.ASCII) or " ! " in text
    if is_live and loop:
        raise SourceError(
            f"'{source_name(text)}' is live and cannot be repeated: give a file, or leave out the repeating."
        )
    if is_live and " ! " in text:
        return _mapped(gstreamer(text, timeout_s=timeout_s), value_range)
    if is_live:
        return _mapped(camera(int(text.removeprefix("/dev/video")), timeout_s=timeout_s), value_range)
    if "://" in text and not text.lower().startswith("file://"):
        return address(text, loop=loop, timeout_s=timeout_s, value_range=value_range)
    name = source_name(text) if "@" in text else path
    raise SourceError(f"no such file or folder: {name}{_neighbour(path)}. {_KINDS}")


def local_path(text: str) -> Path:
    """The path that a name stands for: `file://` addresses are decoded, `-` is the standard input."""
    if text == "-":
        return Path("/dev/stdin")
    if not text.lower().startswith("file:"):
        return Path(text)
    text = f"file:{text[5:]}"
    address = text.removeprefix("file://localhost" if text.startswith("file://localhost/") else "file://")
    plain = Path(address)
    # Such addresses used to be taken as they are: a file that has that very name comes first.
    if plain.exists():
        return plain
    name = os.fsdecode(unquote_to_bytes(os.fsencode(address)))
    if "\0" in name:
        raise SourceError(f"{text!r} is no file: a name holds no zero byte.")
    return Path(name)


def _neighbour(path: Path) -> str:
    """Where the path stops existing, so that a typing error is found at once."""
    parent = path.absolute().parent
    while not parent.is_dir():
        parent = parent.parent
    return f" (the last folder on the way that exists: {parent})"


def _mapped(source: Source, value_range: ValueRange | None) -> Source:
    """The source with its frames through `value_range`, where there is one."""
    if value_range is None:
        return source
    return Source(
        _mapped_frames(source, EightBits(value_range)),
        name=source.name,
        fps=source.fps,
        frame_count=source.frame_count,
        size=source.size,
        is_live=source.is_live,
        has_variable_rate=source.has_variable_rate,
        losses=source.losses,
        release=source.close,
    )


def _mapped_frames(source: Source, depth: EightBits) -> Iterator[SourceFrame]:
    for item in source:
        image = depth.frame(item.image, f"frame {item.index} of {source.name}")
        yield replace(item, image=image)


def _from_iterable(
    frames: Iterable[Frame] | Iterable[SourceFrame],
    *,
    loop: bool,
    fps: float | None,
    value_range: ValueRange | None,
) -> Source:
    name = f"frames from a {type(frames).__name__}"
    if loop and iter(frames) is frames:
        raise SourceError(
            f"{name} can be read only once and cannot be repeated: give a list, file or folder."
        )
    count = len(frames) if isinstance(frames, Sized) and not loop else None
    depth = EightBits(value_range)
    frames_checked = _iterable_frames(frames, name, depth, loop=loop, fps=fps)
    return Source(frames_checked, name=name, fps=fps, frame_count=count)


def _iterable_frames(
    frames: Iterable[Frame] | Iterable[SourceFrame],
    name: str,
    depth: EightBits,
    *,
    loop: bool,
    fps: float | None,
) -> Iterator[SourceFrame]:
    index = 0
    size = None
    while True:
        start = index
        for item in frames:
            image, captured_s = item, index / fps if fps else None
            if isinstance(item, SourceFrame):
                image, captured_s = item.image, item.captured_s if fps is None else captured_s
            which = f"frame {index} of {name}"
            checked = check_frame(depth.frame(image, which), size, name=which)
            size = (checked.shape[0], checked.shape[1])
            yield SourceFrame(checked, captured_s, index)
            index += 1
        if not loop or index == start:
            return
