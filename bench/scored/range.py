"""temporalROI.txt of CDnet: the numbers of the first and the last scored frame."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from pathlib import Path

from edgebs.errors import SourceError

ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # UTF-32 begins as UTF-16 does, and comes first.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""By byte order mark: Notepad on Windows writes one."""

_FORM = "must hold two frame numbers, the first and the last scored one, like 300 1099"


def scored_range(file: Path, frames: Collection[int]) -> tuple[int, int]:
    """First and last scored frame, as numbers of file names; between them white space, commas or semicolons.

    frames: the numbers of the frames that are there. Raises SourceError for anything but two numbers, for a
    last one before the first, and for numbers that count from 0 where the files count from 1.
    """
    text = _text(file)
    words = [word for word in re.split(r"[\s,;]+", text) if word]
    if len(words) != 2 or not all(re.fullmatch(r"[0-9]{1,9}", word) for word in words):
        raise SourceError(f"{file} {_FORM}; it holds {' '.join(words)[:60]!r}.")
    first, last = (int(word) for word in words)
    if last < first:
        raise SourceError(f"{file} {_FORM}; it holds {first} {last}, the other way round.")
    if first == 0 and frames and min(frames) == 1:
        raise SourceError(
            f"{file} holds {first} {last} and counts from 0; the frames are numbered {min(frames)} to "
            f"{max(frames)}. Count as the file names do."
        )
    return first, last


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as cause:
        raise SourceError(f"{file} cannot be read: {cause.strerror}. Check its permissions.") from cause
    encoding = next((name for mark, name in ENCODINGS if content.startswith(mark)), "utf-8")
    return content.decode(encoding, errors="replace")
