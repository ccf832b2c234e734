"""Where masks go: a video of masks, a folder of PNG files, a video with the foreground drawn on the frames.

A sink writes under a temporary name beside its target and renames at `close`, so a target that exists is
whole. Leaving its `with` block by an exception discards what was written.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import cv2

from edgebs.errors import SinkError
from edgebs.files import Partial
from edgebs.image import overlay
from edgebs.tensors import Array, Frame
from edgebs.video.encode import FRAMES_PER_CHECK, TIMELESS, Codec, VideoWriter, require_space

logger = logging.getLogger(__name__)

FINE = (("qmin", "2"), ("qmax", "3"))
"""Constant quality, near the best."""
LOSSLESS = Codec("ffv1", "gray")
PLAYABLE = Codec("mpeg4", "yuv420p", FINE)
MASK_CODECS = {".mkv": LOSSLESS, ".avi": LOSSLESS, ".mp4": PLAYABLE}
"""FFV1 gives 0 and 255 back. MPEG-4 is for players: cut at 128, a few edge pixels differ."""
OTHER_FORMATS = (
    ".mov", ".m4v", ".webm", ".mpg", ".mpeg", ".m2v", ".ts", ".mts", ".m2ts", ".vob", ".wmv",
    ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".ogg", ".mxf", ".y4m", ".yuv", ".h264",
    ".264", ".h265", ".265", ".hevc", ".av1", ".ivf", ".gif", ".apng", ".png", ".jpg", ".jpeg",
    ".jpe", ".jp2", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".heic", ".ppm", ".pgm", ".pbm",
    ".pnm", ".exr", ".raw", ".npy", ".npz", ".zip", ".tar",
)  # fmt: skip
"""Endings of files that masks are not written as; any other ending belongs to the name of a folder."""
OVERLAY_CODECS = {".mkv": PLAYABLE, ".avi": Codec("mjpeg", "yuvj420p", FINE), ".mp4": PLAYABLE}
DEFAULT_FPS = 25.0
"""For sources that know no rate."""


class Sink(AbstractContextManager["Sink"], Protocol):
    """Takes the results of one stream in order. A context manager: leaving by an exception discards."""

    def write(self, frame: Frame, mask: Frame, probability: Array, time_s: float | None = None) -> None:
        """Add one result. frame (H, W, 3) uint8, mask (H, W) uint8 0/255, probability (h, w) float32.

        time_s: when the frame was taken, rising, for a video of variable rate.
        """

    def close(self) -> None:
        """Finish, check and name the output. Raises SinkError when it is not whole. May be called twice."""

    def discard(self) -> None:
        """Stop and remove what was written. Does nothing after `close`."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close it, or after an exception discard it."""
        self.discard() if kind is not None else self.close()


def open_mask_sink(
    path: str | Path,
    size: tuple[int, int] | None,
    fps: float | None,
    *,
    force: bool = False,
    has_variable_rate: bool = False,
) -> Sink:
    """A sink for masks: a video for a path that ends in .mkv, .avi (lossless) or .mp4, else a PNG folder.

    A folder may have dots in its name, masks.v1; an ending of another format, .mov or .png, is refused.
    size: (height, width), or None to learn it from the first mask. fps: frames/s, or None for 25.
    force: replace what is there. has_variable_rate: store the frames' times (not in .avi: a warning).
    Raises SinkError where the output exists, or cannot be written.
    """
    target = Path(path)
    ending = target.suffix.lower()
    if not target.is_dir() and (ending in MASK_CODECS or ending in OTHER_FORMATS):
        return VideoSink(
            target,
            size,
            fps,
            codecs=MASK_CODECS,
            draw=None,
            force=force,
            has_variable_rate=has_variable_rate,
        )
    return MaskFolder(target, force=force)


def open_overlay_sink(
    path: str | Path,
    size: tuple[int, int] | None,
    fps: float | None,
    *,
    force: bool = False,
    has_variable_rate: bool = False,
) -> Sink:
    """A sink for people to look at: the frames with the foreground drawn, as .mp4, .avi or .mkv.

    Arguments as for `open_mask_sink`. A frame of odd size gets one more row or column.
    """
    return VideoSink(
        Path(path),
        size,
        fps,
        codecs=OVERLAY_CODECS,
        draw=overlay,
        force=force,
        has_variable_rate=has_variable_rate,
    )


class VideoSink(Sink):
    """A video with one picture per result; the codec follows from the file's ending."""

    def __init__(
        self,
        path: Path,
        size: tuple[int, int] | None,
        fps: float | None,
        *,
        codecs: Mapping[str, Codec],
        draw: Callable[[Frame, Frame], Frame] | None,
        force: bool,
        has_variable_rate: bool,
    ) -> None:
        """draw: the picture of a frame and its mask; None stores the mask itself, in grey."""
        if path.suffix.lower() not in codecs:
            raise SinkError(
                f"{path} has no known video format: '{path.suffix}'. Known endings: {', '.join(codecs)}."
                + (" Masks also go to a folder of PNG files: any other name." if draw is None else "")
            )
        if path.exists() and (path.is_dir() or not force):
            raise _exists(path, force=force)
        _require_writable(path)
        self._path, self._codec = path, codecs[path.suffix.lower()]
        self._fps, self._draw, self._force = fps or DEFAULT_FPS, draw, force
        self._has_variable_rate = has_variable_rate
        if has_variable_rate and path.suffix.lower() in TIMELESS:
            logger.warning(
                "the frames come at a variable rate, and %s plays them at %g frames/s, because AVI stores no "
                "times. Name it .mkv to keep them.",
                path,
                self._fps,
            )
        self._size: tuple[int, int] | None = None
        self._writer: VideoWriter | None = None
        self._has_frames = False
        if size is not None:
            self._open(size)

    def _open(self, size: tuple[int, int]) -> VideoWriter:
        is_odd = bool(size[0] % 2 or size[1] % 2)
        if self._draw is None and is_odd and self._codec is not LOSSLESS:
            raise SinkError(
                f"{self._path} cannot hold masks of {size[1]}x{size[0]}: MPEG-4 has even sizes only. Name it "
                ".mkv or .avi, or write a folder of PNG files: a path without an ending."
            )
        self._size = size
        self._writer = VideoWriter(
            self._path,
            self._codec,
            size if self._draw is None else (size[0] + size[0] % 2, size[1] + size[1] % 2),
            self._fps,
            has_variable_rate=self._has_variable_rate,
        )
        return self._writer

    def write(
        self,
        frame: Frame,
        mask: Frame,
        probability: Array,  # noqa: ARG002
        time_s: float | None = None,
    ) -> None:
        picture = mask if self._draw is None else self._draw(frame, mask)
        size = (picture.shape[0], picture.shape[1])
        writer = self._writer or self._open(size)
        if size != self._size:
            raise SinkError(f"{self._path} holds pictures (H, W) = {self._size}, and one of {size} came.")
        padding = (0, size[0] % 2, 0, size[1] % 2)
        if self._draw is not None and any(padding):
            picture = cv2.copyMakeBorder(picture, *padding, cv2.BORDER_REPLICATE)
        writer.write(picture, time_s)
        self._has_frames = True

    def close(self) -> None:
        if self._writer is not None and not self._has_frames:
            self.discard()
            logger.warning("no frame came: %s was not written", self._path)
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if self._path.exists() and not self._force:  # it appeared meanwhile
            writer.discard()
            raise _exists(self._path, force=False)
        writer.finish()
        logger.info("wrote %s", self._path)

    def discard(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()


class MaskFolder(Sink):
    """Masks as 000000.png, 000001.png, ...: 8-bit grey, 0 and 255."""

    def __init__(self, folder: Path, *, force: bool = False) -> None:
        """Replaces an empty folder always, and with `force` one that holds nothing but such masks."""
        if folder.exists() and not (folder.is_dir() and _is_replaceable(folder, force=force)):
            raise _exists(folder, force=force, is_folder=True)
        _require_writable(folder)
        self._folder, self._force, self._frames = folder, force, 0
        self._partial = Partial(folder, "folder")
        self._is_open = True

    def write(
        self,
        frame: Frame,  # noqa: ARG002
        mask: Frame,
        probability: Array,  # noqa: ARG002
        time_s: float | None = None,  # noqa: ARG002
    ) -> None:
        if self._frames % FRAMES_PER_CHECK == 0:
            require_space(self._folder)
        file = self._partial.path / f"{self._frames:06d}.png"
        is_encoded, content = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        try:
            if not is_encoded or file.write_bytes(content.tobytes()) != len(content):
                raise SinkError(f"{file} was not written whole. Check the disk.")
        except OSError as error:
            raise SinkError(
                f"{self._folder} cannot be written: {error.strerror}. Free some space."
            ) from error
        self._frames += 1

    def close(self) -> None:
        if not self._is_open:
            return
        if self._folder.exists() and not _is_replaceable(self._folder, force=self._force):
            self.discard()
            raise _exists(self._folder, force=self._force, is_folder=True)
        if self._frames == 0:
            self.discard()
            logger.warning("no frame came: %s was not written", self._folder)
            return
        self._is_open = False
        self._partial.keep()
        logger.info("wrote %d masks to %s", self._frames, self._folder)

    def discard(self) -> None:
        if self._is_open:
            self._is_open = False
            self._partial.discard()


def _is_replaceable(folder: Path, *, force: bool) -> bool:
    names = [entry.name for entry in folder.iterdir()]
    return not names or (force and not any(map(_is_foreign, names)))


def _is_foreign(name: str) -> bool:
    return not (len(name) == 10 and name[:6].isdecimal() and name[6:] == ".png")


def _exists(path: Path, *, force: bool, is_folder: bool = False) -> SinkError:
    """Why `path` is not replaced. is_folder: whether a folder of masks is to be written."""
    if not path.is_dir():
        repair = "or replace it with --force"
        if is_folder:
            repair = "or remove that file: a folder of masks never replaces one"
        return SinkError(f"{path} exists already. Choose another name, {repair}.")
    if not is_folder:
        return SinkError(f"{path} exists already and is a folder, which no video replaces. Name a file.")
    foreign = sorted(filter(_is_foreign, (entry.name for entry in path.iterdir())))
    if foreign:
        return SinkError(
            f"{path} exists already and holds other things than masks, '{foreign[0]}' first: it is not "
            "replaced, with --force neither. Choose another name."
        )
    assert not force
    return SinkError(
        f"{path} exists already and holds masks. Choose another name, or replace it with --force."
    )


def _require_writable(path: Path) -> None:
    """Find out now, not after an hour, and make the folder that will hold `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise SinkError(f"{path} cannot be written: {error.strerror} ({path.parent}).") from error
    require_space(path)
