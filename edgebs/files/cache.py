"""What a run leaves for the next one, in files that can be made again: compiled networks, measured kernels.

Each is named by everything that decides what is in it, and sealed with the SHA-256 of its bytes. Where one
cannot be read or written, the work is done again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgebs.errors import SinkError
from edgebs.files import atomic_file

log = logging.getLogger(__name__)

SEAL_BYTES = 32

_BLOCK_BYTES = 1 << 20


def kept_folder(name: str) -> Path:
    """$XDG_CACHE_HOME/edgebs/`name`, or ~/.cache/edgebs/`name`."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path("~/.cache").expanduser()) / "edgebs" / name
    except RuntimeError:
        # A user without a home, as in some containers: nothing is there, and nothing can be written, which is
        # said when it is tried. Not the folder for temporary files, where anybody could put a network.
        return Path(os.devnull) / "edgebs" / name


def key_of(facts: Mapping[str, Any], content: bytes = b"") -> str:
    """64 hexadecimal digits that change with any of the facts, and with `content`."""
    spoken = json.dumps(dict(facts), sort_keys=True, default=str)
    return hashlib.sha256(content + spoken.encode()).hexdigest()


def seal_of(blob: bytes | memoryview) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(blob).digest()


def file_digest(file: Path, size: int | None = None) -> bytes:
    """SHA-256 of the first `size` bytes, or of all; read in blocks so that they do not stay in memory."""
    left = file.stat().st_size if size is None else size
    sha = hashlib.sha256()
    with file.open("rb") as stream:
        while left > 0 and (block := stream.read(min(left, _BLOCK_BYTES))):
            sha.update(block)
            left -= len(block)
    return sha.digest()


def read_sealed(path: Path, kind: str) -> bytes:
    """What `write_sealed` put there; nothing where there is no file, or, with a warning, no sound one.

    kind: what it is, for the warning: "timing cache".
    """
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        log.warning("%s %s cannot be read: %s", kind, path, error)
        return b""
    seal, blob = content[:SEAL_BYTES], content[SEAL_BYTES:]
    if content and seal_of(blob) != seal:
        log.warning("%s %s is damaged: starting an empty one", kind, path)
        return b""
    return blob


def write_sealed(path: Path, blob: bytes) -> None:
    """Write the seal and then `blob`, whole or not at all. Raises SinkError."""
    write_whole(path, seal_of(blob), blob)


def write_whole(path: Path, *parts: bytes | memoryview) -> None:
    """Write one part after the other, whole or not at all. Raises SinkError."""
    with atomic_file(path, SinkError) as temporary, temporary.open("wb") as stream:
        for part in parts:
            stream.write(part)


def prune(newest: Path, cap_bytes: int) -> None:
    """Remove the files beside `newest`, of its suffix, that were not used for longest, until all of them
    hold no more than `cap_bytes`. What cannot be removed stays."""
    entries = []
    for file in newest.parent.glob(f"*{newest.suffix}"):
        with suppress(OSError):  # another process pruned it
            entries.append((file.stat().st_mtime, file.stat().st_size, file))
    surplus = sum(size for _, size, _ in entries) - cap_bytes
    for _, size, file in sorted(entries):
        if surplus <= 0:
            return
        if file != newest:
            with suppress(OSError):
                # A process that has it mapped keeps its mapping.
                file.unlink(missing_ok=True)
                surplus -= size
