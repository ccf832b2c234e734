"""Which files of a folder are its pictures, and in which order."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

from edgebs.errors import SourceError

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

    Links that lead nowhere are among them: what reads them says so. Raises SourceError where the folder
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
