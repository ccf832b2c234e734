"""Files and folders that appear whole or not at all: a temporary name beside the target, then a rename."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgebs.errors import EdgebsError


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _temporary(path: Path) -> Path:
    # The suffix stays last: OpenCV's writers choose the format by it.
    return path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.partial{path.suffix}")


def _discard(path: Path) -> None:
    # Called while another error is on its way to the user: what cannot be removed must not hide it.
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _whole(path: Path, kind: str, error: type[EdgebsError], force: bool) -> Iterator[Path]:
    temporary = _temporary(path)
    try:
        # Inside: a folder that may not be entered, or a name that is too long, is an OSError here already.
        if not force and path.exists():
            raise error(f"{path} exists already. Choose another name, or replace it with --force.")
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "folder":
            temporary.mkdir()
        yield temporary
        _replace(temporary, path)
    except OSError as cause:
        raise error(
            f"{kind} {path} cannot be written: {_reason(cause)}. Nothing was left behind; "
            "free space or choose a writable place."
        ) from cause
    finally:
        _discard(temporary)


def _replace(temporary: Path, path: Path) -> None:
    if not path.is_dir():
        temporary.replace(path)
        return
    # A non-empty folder cannot be renamed over: the old one steps aside first, and back if that fails.
    aside = _temporary(path)
    path.replace(aside)
    try:
        temporary.replace(path)
    except OSError:
        aside.replace(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def atomic_file(path: Path, error: type[EdgebsError], *, force: bool = True) -> Iterator[Path]:
    """Yield a temporary name to write; on success it becomes `path`, on any exception it is removed.

    Raises `error` where `path` exists and `force` is false, and for every OSError inside the block.
    """
    with _whole(path, "file", error, force) as temporary:
        yield temporary


@contextmanager
def atomic_folder(path: Path, error: type[EdgebsError], *, force: bool = False) -> Iterator[Path]:
    """Like `atomic_file`, for a folder: yields an empty temporary folder."""
    with _whole(path, "folder", error, force) as temporary:
        yield temporary
