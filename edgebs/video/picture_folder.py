"""A folder of pictures as a source."""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from edgebs.errors import SourceError
from edgebs.image import check_frame
from edgebs.tensors import Frame
from edgebs.video import Losses, Source, SourceFrame
from edgebs.video.bit_depth import EightBits, ValueRange
from edgebs.video.picture_file import read_picture

PICTURES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip
"""Endings of files that are taken for pictures, in any case."""

SIDE_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "system volume information")
"""Folders that systems put beside the user's own, in lower case. They mirror names, not pictures."""


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture. Hidden ones are not: macOS puts ._1.jpg beside 1.jpg."""
    return not name.startswith(".") and Path(name).suffix.lower() in PICTURES


def is_side_folder(name: str) -> bool:
    """Whether a folder of that name is hidden, or made by a system."""
    return name.startswith(".") or name.lower() in SIDE_FOLDERS


def picture_files(folder: Path) -> list[Path]:
    """The pictures directly in `folder`, in natural order: 2 before 10, upper case as lower case.

    Broken links are among them: the reader reports them. Raises SourceError where the folder
    cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name
                for entry in entries
                # Not folders, and not pipes, which would block whoever opens them.
                if is_picture(entry.name) and (entry.is_file() or (entry.is_symlink() and not entry.is_dir()))
            ]
    except OSError as cause:
        raise SourceError(f"{folder} cannot be listed: {cause.strerror}. Check its permissions.") from cause
    return [folder / name for name in sorted(names, key=natural_key)]


def natural_key(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """Sorts frame2 before frame10, digits before letters, and names that differ in case by their numbers."""
    parts = re.split(r"(\d+)", name.casefold())
    # isdecimal is what \d matches; the name itself decides between 1.png and 01.png.
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts], name


def require_one_kind(files: list[Path]) -> None:
    """Raise SourceError where pictures differ only in their ending, as a preview beside each frame does."""
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        by_stem[file.stem].append(file)
    for same in by_stem.values():
        endings = {file.suffix.lower() for file in same}
        if len(endings) > 1:
            names = " and ".join(file.name for file in same)
            raise SourceError(
                f"{same[0].parent} holds {names}, two pictures of one name: both would be frames. Move one "
                f"kind ({', '.join(sorted(endings))}) into another folder."
            )


logger = logging.getLogger(__name__)

NAMED = 10
"""Unreadable pictures that are named one by one; after these, only their number is logged, at the end."""


def picture_folder(
    folder: Path, *, loop: bool, fps: float | None, value_range: ValueRange | None = None
) -> Source:
    """The pictures of `folder` in natural order; one that cannot be read is named and left out.

    Its index is left out too, and the next frame carries the number of missing ones: masks stay in step.
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
