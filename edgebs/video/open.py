"""Opens whatever frames come from: a video file, a folder of pictures, a camera, an address, an iterable."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sized
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote_to_bytes

from edgebs.errors import SourceError
from edgebs.image import check_frame
from edgebs.tensors import Frame
from edgebs.text.addresses import source_name
from edgebs.video.bit_depth import EightBits, ValueRange
from edgebs.video.pictures.folder import picture_folder
from edgebs.video.pictures.names import PICTURES
from edgebs.video.source import Source, SourceFrame
from edgebs.video.streams import address, camera, gstreamer, pipe, video_file

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
    Raises ValueError for a range that is none.
    """
    if isinstance(spec, Source):
        return _mapped(spec, value_range)
    if isinstance(spec, bool) or not isinstance(spec, str | Path | int | Iterable):
        raise SourceError(f"cannot read frames from a {type(spec).__name__}. {_KINDS}")
    if isinstance(spec, str | Path | int):
        return _open_named(spec, loop=loop, fps=fps, timeout_s=timeout_s, value_range=value_range)
    return _from_iterable(spec, loop=loop, fps=fps, value_range=value_range)


_KINDS = (
    "Give a video file, a folder of pictures, a camera's number, an rtsp:// or http:// address, "
    "or an iterable of (H, W, 3) uint8 BGR arrays."
)


def _open_named(
    spec: str | Path | int,
    *,
    loop: bool,
    fps: float | None,
    timeout_s: float,
    value_range: ValueRange | None,
) -> Source:
    path = local_path(str(spec))
    if path.is_dir():
        return picture_folder(path, loop=loop, fps=fps, value_range=value_range)
    return _open_stream(str(spec), path, loop=loop, fps=fps, timeout_s=timeout_s, value_range=value_range)


def _open_stream(
    text: str,
    path: Path,
    *,
    loop: bool,
    fps: float | None,
    timeout_s: float,
    value_range: ValueRange | None,
) -> Source:
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
