"""Opens whatever frames come from: a video file, a folder of pictures, a camera, an address, an iterable."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path

import cv2
import numpy as np

from edgebs.errors import SourceError
from edgebs.preprocess import check_frame
from edgebs.source import Source, SourceFrame
from edgebs.tensors import Frame
from edgebs.video_sources import address, camera, gstreamer, video_file

__all__ = ["Source", "SourceFrame", "SourceSpec", "open_source"]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")

SourceSpec = str | Path | int | Source | Iterable[Frame] | Iterable[SourceFrame]
"""What `open_source` takes."""


def open_source(
    spec: SourceSpec, *, loop: bool = False, fps: float | None = None, timeout_s: float = 10.0
) -> Source:
    """A source for `spec`, opened: what cannot be read is refused here, as SourceError.

    spec: a video file; a folder of pictures (PNG, JPEG, BMP, in natural order: 2 before 10); a camera's
    number (0 or "0") or device ("/dev/video0"); an rtsp:// or http:// address; a GStreamer pipeline
    ("... ! appsink"); a `Source`, returned as it is; any iterable of (H, W, 3) uint8 BGR arrays or of
    `SourceFrame`s. Arrays are passed on, not copied.
    loop: repeat a file, folder or list endlessly, with times that go on.
    fps: frames/s of a folder or an iterable, which have no times of their own; replaces a file's own times.
    timeout_s: how long a stream may take to open, and to send a frame.
    """
    if isinstance(spec, Source):
        return spec
    if isinstance(spec, bool) or not isinstance(spec, str | Path | int | Iterable):
        raise SourceError(f"cannot read frames from a {type(spec).__name__}. {_KINDS}")
    if isinstance(spec, str | Path | int):
        return _open_named(spec, loop=loop, fps=fps, timeout_s=timeout_s)
    return _from_iterable(spec, loop=loop, fps=fps)


_KINDS = (
    "Give a video file, a folder of pictures, a camera's number, an rtsp:// or http:// address, "
    "or an iterable of (H, W, 3) uint8 BGR arrays."
)


def _open_named(spec: str | Path | int, *, loop: bool, fps: float | None, timeout_s: float) -> Source:
    text = str(spec)
    path = Path(text.removeprefix("file://"))
    if path.is_dir():
        return _folder(path, loop=loop, fps=fps)
    if path.is_file() and path.suffix.lower() in PICTURES:
        raise SourceError(f"{path} is one picture, and a source is many: give its folder, {path.parent}")
    if path.is_file():
        return video_file(path, loop=loop, fps=fps)
    is_live = text.isdecimal() or re.fullmatch(r"/dev/video\d+", text) or " ! " in text
    if is_live and loop:
        raise SourceError(
            f"'{text}' is live and cannot be repeated: give a file, or leave out the repeating."
        )
    if is_live and " ! " in text:
        return gstreamer(text, timeout_s=timeout_s)
    if is_live:
        return camera(int(text.removeprefix("/dev/video")), timeout_s=timeout_s)
    if "://" in text and not text.startswith("file://"):
        return address(text, loop=loop, timeout_s=timeout_s)
    raise SourceError(f"no such file or folder: {path}{_neighbour(path)}. {_KINDS}")


def _neighbour(path: Path) -> str:
    """Where the path stops existing, so that a typing error is found at once."""
    parent = path.absolute().parent
    while not parent.is_dir():
        parent = parent.parent
    return f" (the last folder on the way that exists: {parent})"


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """Sorts frame2 before frame10; digits before letters."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", path.name)]


def _folder(folder: Path, *, loop: bool, fps: float | None) -> Source:
    files = sorted((file for file in folder.iterdir() if file.suffix.lower() in PICTURES), key=_natural)
    if not files:
        found = sum(1 for _ in folder.iterdir())
        hint = f" Did you mean {folder / 'input'}?" if (folder / "input").is_dir() else ""
        raise SourceError(
            f"{folder} holds no picture ({found} other entries). "
            f"Pictures are files that end in {', '.join(PICTURES)}.{hint}"
        )
    first = _picture(files[0], 0)
    size = (first.shape[0], first.shape[1])
    return Source(
        _folder_frames(files, size, loop=loop, fps=fps),
        name=str(folder),
        fps=fps,
        frame_count=None if loop else len(files),
        size=size,
    )


def _folder_frames(
    files: list[Path], size: tuple[int, int], *, loop: bool, fps: float | None
) -> Iterator[SourceFrame]:
    index = 0
    while index < len(files) or loop:
        file = files[index % len(files)]
        image = check_frame(_picture(file, index), size, name=f"picture {file} (frame {index})")
        yield SourceFrame(image, index / fps if fps else None, index)
        index += 1


def _picture(file: Path, index: int) -> Frame:
    """The picture as BGR; grey and transparent ones are converted."""
    content = file.read_bytes()
    # libjpeg fills the rest of a cut-off JPEG with grey and only says so on stderr.
    is_cut = file.suffix.lower() in (".jpg", ".jpeg") and b"\xff\xd9" not in content[-4096:]
    image = None
    if content and not is_cut:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        reason = (
            "it is empty" if not content else "it is cut off" if is_cut else "it is damaged or no picture"
        )
        raise SourceError(
            f"{file} (frame {index}) cannot be read: {reason} ({len(content)} bytes). "
            "Copy it again, or remove it from the folder."
        )
    return check_frame(image, name=str(file))


def _from_iterable(
    frames: Iterable[Frame] | Iterable[SourceFrame], *, loop: bool, fps: float | None
) -> Source:
    name = f"frames from a {type(frames).__name__}"
    if loop and iter(frames) is frames:
        raise SourceError(
            f"{name} can be read only once and cannot be repeated: give a list, file or folder."
        )
    count = len(frames) if isinstance(frames, Sized) and not loop else None
    return Source(_iterable_frames(frames, name, loop=loop, fps=fps), name=name, fps=fps, frame_count=count)


def _iterable_frames(
    frames: Iterable[Frame] | Iterable[SourceFrame], name: str, *, loop: bool, fps: float | None
) -> Iterator[SourceFrame]:
    index = 0
    size = None
    while True:
        start = index
        for item in frames:
            image, captured_s = item, index / fps if fps else None
            if isinstance(item, SourceFrame):
                image, captured_s = item.image, item.captured_s if fps is None else captured_s
            checked = check_frame(image, size, name=f"frame {index} of {name}")
            size = (checked.shape[0], checked.shape[1])
            yield SourceFrame(checked, captured_s, index)
            index += 1
        if not loop or index == start:
            return
