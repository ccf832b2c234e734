"""A folder of pictures as a source."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from edgebs.errors import SourceError
from edgebs.image import check_frame
from edgebs.tensors import Frame
from edgebs.video.bit_depth import EightBits, ValueRange
from edgebs.video.losses import Losses
from edgebs.video.pictures.names import PICTURES, picture_files, require_one_kind
from edgebs.video.pictures.read import read_picture
from edgebs.video.source import Source, SourceFrame

logger = logging.getLogger(__name__)

NAMED = 10
"""Unreadable pictures that are named one by one; after these, only their number is told, at the end."""


def picture_folder(
    folder: Path, *, loop: bool, fps: float | None, value_range: ValueRange | None = None
) -> Source:
    """The pictures of `folder` in natural order; one that cannot be read is named and left out.

    Its index is left out too, and the next frame says how many are missing: masks stay in step.
    The first readable picture settles size and depth.
    Raises SourceError for a folder without a readable picture; while it is read, for a picture of another
    size or depth.
    """
    files = picture_files(folder)
    if not files:
        raise SourceError(_nothing_in(folder))
    require_one_kind(files)
    pictures = _Pictures(folder, files, EightBits(value_range))
    return Source(
        pictures.frames(loop=loop, fps=fps),
        name=str(folder),
        fps=fps,
        frame_count=None if loop else len(files),
        size=pictures.size,
        losses=pictures.losses,
    )


def _nothing_in(folder: Path) -> str:
    entries = list(folder.iterdir())
    inside = next((entry for entry in entries if entry.name.lower() == "input" and entry.is_dir()), None)
    return (
        f"{folder} holds no picture ({len(entries)} other entries). Pictures are files that end in "
        f"{', '.join(PICTURES)}." + (f" Did you mean {inside}?" if inside else "")
    )


class _Pictures:
    """The files being read."""

    def __init__(self, folder: Path, files: list[Path], depth: EightBits) -> None:
        self._folder, self._files, self._depth = folder, files, depth
        self._unread: list[Path] = []
        # Each loss is named where it happens.
        self.losses = Losses(is_reported=True)
        self.size: tuple[int, int] | None = None
        first = self._first()
        self.size = (first.shape[0], first.shape[1])
        if depth.note:
            logger.warning("%s", depth.note)

    def frames(self, *, loop: bool, fps: float | None) -> Iterator[SourceFrame]:
        index, last_good = 0, -1
        while index < len(self._files) or loop:
            file = self._files[index % len(self._files)]
            try:
                frame = self._read(file, index)
            except _Unreadable as reason:
                if index < len(self._files):
                    self._leave_out(file, index, reason)
                if index - last_good > len(self._files):  # for a whole round: the folder is gone
                    raise SourceError(str(reason)) from reason
            else:
                missing, last_good = index - last_good - 1, index
                yield SourceFrame(frame, index / fps if fps else None, index, missing)
            index += 1
            if index == len(self._files):
                self._tell_unread()

    def _first(self) -> Frame:
        first_reason: _Unreadable | None = None
        for index, file in enumerate(self._files):
            try:
                return self._read(file, index)
            except _Unreadable as reason:
                first_reason = first_reason or reason
        raise SourceError(
            f"none of {len(self._files)} pictures in {self._folder} can be read. The first: {first_reason}"
        )

    def _read(self, file: Path, index: int) -> Frame:
        try:
            picture = read_picture(file)
        except SourceError as reason:
            raise _Unreadable(str(reason)) from reason
        name = f"picture {file} (frame {index})"
        frame = self._depth.frame(picture.values, name, picture.own_range)
        return check_frame(frame, self.size, name=name)

    def _leave_out(self, file: Path, index: int, reason: _Unreadable) -> None:
        self._unread.append(file)
        self.losses.missing += 1
        if len(self._unread) <= NAMED:
            logger.warning("frame %d is left out: %s", index, reason)

    def _tell_unread(self) -> None:
        if not self._unread:
            return
        names = ", ".join(file.name for file in self._unread[:NAMED])
        logger.warning(
            "%s: %d of %d pictures could not be read and were left out: %s%s; masks repeat the one "
            "before, so that they stay in step",
            self._folder,
            len(self._unread),
            len(self._files),
            names,
            ", …" if len(self._unread) > NAMED else "",
        )


class _Unreadable(SourceError):
    """One picture that is left out."""
