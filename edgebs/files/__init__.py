"""Files that appear whole or not at all, and files that can be made again.

A file or folder is written in a temporary place beside the target, then renamed. The place is a hidden
folder, .NAME.xxxxxxxx.partial, and its writer holds a lock on it (flock). The lock tells a place in use from
one that a killed process left: the next writer of the same target removes the latter. On file systems
without such locks (NFS) nothing is removed.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import re
import shutil
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from edgebs.errors import EdgebsError, ExportError

if sys.platform != "win32":
    import fcntl


logger = logging.getLogger(__name__)

PARTIAL, REPLACED = "partial", "replaced"
"""Endings of the hidden names: what is being written, and an old folder whose successor is being renamed."""

REMOVAL_TRIES = 5
"""A thread that still writes into a folder may add a file while it is removed."""


class Partial:
    """A file or folder in the making. Write to `path`, then call `keep` or `discard`."""

    path: Path
    """Where to write: a file of the target's name in the hidden folder, or that folder itself."""

    def __init__(self, target: Path, kind: Literal["file", "folder"] = "file", *, mode: int = 0o777) -> None:
        """Make the hidden folder beside `target`; remove those of killed processes. Raises OSError.

        A link is followed: what it leads to is made or replaced, on its own disk, and the link stays.
        """
        target = _followed(target)
        self._target, self._kind = target, kind
        self._lock: int | None = None
        _remove_stale(target)
        try:
            self._make(mode)
        except BaseException:
            self.discard()
            raise
        self.path = self._place if kind == "folder" else self._place / target.name

    def _make(self, mode: int) -> None:
        while True:
            self._place = _hidden(self._target, PARTIAL)
            # Registered before it exists: an interruption in between leaves nothing.
            _open_partials.add(self)
            self._place.mkdir(mode)
            self._lock = _locked(self._place, wait=True)
            if self._place.is_dir():
                return
            # Another process removed it before it was locked.
            _unlock(self._lock)

    def keep(self) -> None:
        """Give it the target's name, and replace what has that name. Raises OSError."""
        with _renaming:
            if self._kind == "folder":
                _replace_folder(self._place, self._target)
            else:
                self.path.replace(self._target)
            _open_partials.discard(self)
        if self._kind == "file":
            _remove(self._place)
        _unlock(self._lock)
        self._lock = None

    def discard(self) -> None:
        """Remove what was written. Does nothing after `keep`; may be called twice."""
        if self in _open_partials:
            _remove(self._place)
            _open_partials.discard(self)
            _unlock(self._lock)
            self._lock = None


def is_endless_link(path: Path) -> bool:
    """Whether it is a link that leads to itself, perhaps through others."""
    return path.is_symlink() and Path(os.path.realpath(path)).is_symlink()


def _followed(target: Path) -> Path:
    if is_endless_link(target):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(target))
    return Path(os.path.realpath(target)) if target.is_symlink() else target


_open_partials: set[Partial] = set()
_renaming = threading.Lock()


if hasattr(os, "register_at_fork"):
    # What a forked child inherits is its parent's to keep or discard.
    os.register_at_fork(after_in_child=_open_partials.clear)


def discard_all() -> None:
    """Remove all that this process is writing: it is about to end, whatever its threads are doing."""
    # Not released: nothing gets its name after this. A rename that hangs (dead network disk) is not awaited.
    _renaming.acquire(timeout=0.5)
    for partial in list(_open_partials):
        partial.discard()
    _remove_empty(list(_made_folders))


_made_folders: list[Path] = []
"""Of `kept_if_filled`, the innermost first."""


@contextmanager
def kept_if_filled(folder: Path) -> Iterator[None]:
    """`folder`, made where it is not there, and removed at the end if it is empty then. Raises OSError."""
    made = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    _made_folders.extend(made)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        _remove_empty(made)
        _made_folders[:] = [path for path in _made_folders if path not in made]


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


# Where an interruption hit between the making of a Partial and the block that discards it.
atexit.register(discard_all)


def _hidden(target: Path, ending: str) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.{ending}")


def _remove(place: Path) -> None:
    # Often called while an error is on its way to the user: what cannot be removed must not hide it.
    for _ in range(REMOVAL_TRIES):
        shutil.rmtree(place, ignore_errors=True)
        if not os.path.lexists(place):
            return


def _locked(folder: Path, *, wait: bool) -> int | None:
    """A descriptor that locks the folder; None where the file system has no locks or another one holds it."""
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _unlock(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _remove_stale(target: Path) -> None:
    """Remove the places of `target` whose writers are dead; give a folder back that was being replaced."""
    hidden = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.({PARTIAL}|{REPLACED})")
    with suppress(OSError):
        for entry in list(os.scandir(target.parent)):
            is_hidden = hidden.fullmatch(entry.name)
            if is_hidden and entry.is_dir(follow_symlinks=False):
                lock = _locked(Path(entry.path), wait=False)
                if lock is not None:
                    _settle_stale(Path(entry.path), target, is_hidden[1])
                    _unlock(lock)


def _settle_stale(place: Path, target: Path, ending: str) -> None:
    if ending == REPLACED and not target.exists():
        place.replace(target)
        logger.warning("%s: restored; a process that was killed had been replacing it", target)
        return
    _remove(place)
    logger.warning("removed %s, left by a process that was killed", place)


def _replace_folder(place: Path, target: Path) -> None:
    if not target.exists():
        place.replace(target)
        return
    # A non-empty folder cannot be renamed over: the old one steps aside first, and back if that fails.
    aside, lock = _hidden(target, REPLACED), _locked(target, wait=True)
    try:
        target.replace(aside)
        place.replace(target)
    except BaseException:
        if aside.exists() and not target.exists():
            aside.replace(target)
        raise
    finally:
        _unlock(lock)
    _remove(aside)


@contextmanager
def _whole(
    path: Path, kind: Literal["file", "folder"], error: type[EdgebsError], force: bool
) -> Iterator[Path]:
    partial: Partial | None = None
    try:
        # Inside: a folder that may not be entered, or a name that is too long, is an OSError here already.
        _require_kind(path, kind, error)
        if not force and path.exists():
            raise error(f"{path} exists already. Choose another name, or replace it with --force.")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Partial(path, kind)
        yield partial.path
        partial.keep()
    except OSError as cause:
        raise error(
            f"{kind} {path} cannot be written: {cause.strerror or cause}. Nothing was left behind; "
            "free space or choose a writable place."
        ) from cause
    finally:
        if partial is not None:
            partial.discard()


def _require_kind(path: Path, kind: str, error: type[EdgebsError]) -> None:
    """A file never replaces a folder, nor a folder a file, also with `force`."""
    if path.exists() and path.is_dir() != (kind == "folder"):
        there = "folder" if path.is_dir() else "file"
        raise error(f"{path} is a {there}, and a {kind} is to be written there. Choose another name.")


@contextmanager
def atomic_file(path: Path, error: type[EdgebsError], *, force: bool = True) -> Iterator[Path]:
    """Yield a temporary name to write; on success it becomes `path`, on any exception it is removed.

    The temporary file has the name of `path`, in a hidden folder beside it.
    Raises `error` where `path` exists and `force` is false, and for every OSError inside the block.
    """
    with _whole(path, "file", error, force) as temporary:
        yield temporary


@contextmanager
def atomic_folder(path: Path, error: type[EdgebsError], *, force: bool = False) -> Iterator[Path]:
    """Like `atomic_file`, for a folder: yields an empty temporary folder."""
    with _whole(path, "folder", error, force) as temporary:
        yield temporary


@contextmanager
def scratch_folder(beside: Path | None = None) -> Iterator[Path]:
    """Yield a hidden folder that is gone afterwards: beside that file or folder, on its disk, or in $TMPDIR.

    Readable by this user alone. What is finished in it can be renamed. Raises OSError.
    """
    target = Path(tempfile.gettempdir()).resolve() / "edgebs" if beside is None else beside.absolute()
    partial = Partial(target, "folder", mode=0o700)
    try:
        yield partial.path
    finally:
        partial.discard()


_DESCRIPTORS = Path("/proc/self/fd")


# Libraries of C++ and Rust take UTF-8 paths alone: with others they crash or refuse. If a library takes
# bytes, give it bytes; this is for libraries that take a path only.
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


@contextmanager
def work_folder(file: Path) -> Iterator[Path]:
    """A temporary folder beside `file`: what is finished there can be renamed to `file` and appears whole.

    Its path is one that every library takes (edgebs.files).
    Raises ExportError for every OSError inside the block: a full disk, a folder that is missing or read-only.
    """
    try:
        with scratch_folder(file) as made, library_path(made.resolve(), ExportError) as folder:
            yield folder
    except OSError as error:
        reason = error.strerror or error
        raise ExportError(
            f"{file} cannot be written: {reason}. Free space or choose a writable place."
        ) from error
