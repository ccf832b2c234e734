"""Paths for libraries of C++ and Rust, which take UTF-8 alone: others crash there, or are refused.

Where a library takes bytes, give it bytes. This is for those that take a name only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgebs.errors import EdgebsError

_DESCRIPTORS = Path("/proc/self/fd")


@contextmanager
def library_path(path: Path, error: type[EdgebsError] = EdgebsError) -> Iterator[Path]:
    """The file or folder at `path` under a name that is UTF-8, while the block runs.

    What lies beside a file is found there too, unless it is the last part of `path` that is not UTF-8.
    Raises `error` where there is no such name on this system, and OSError where `path` cannot be opened.
    """
    if is_utf8(path):
        yield path
        return
    if not _DESCRIPTORS.is_dir():
        raise error(
            f"{path} has a name that is not UTF-8, or not in this locale, which a library here cannot open. "
            "Rename it, or set LC_ALL=C.UTF-8."
        )
    is_named = is_utf8(Path(path.name))
    descriptor = os.open(path.parent if is_named else path, os.O_RDONLY)
    opened = _DESCRIPTORS / str(descriptor)
    try:
        yield opened / path.name if is_named else opened
    finally:
        os.close(descriptor)


def is_utf8(path: Path) -> bool:
    """Whether every library can be given this path: it holds no byte that is not text in this locale."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
