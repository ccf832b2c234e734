"""Compiled networks kept between runs, found by everything that decides what they compute.

OpenVINO's own CACHE_DIR (2026.4) takes a file replaced by one of the same size for the old one, and runs a
damaged entry without noticing. Here the key holds the SHA-256 of the ONNX file, and each entry ends with
the SHA-256 of its own bytes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgebs.tensors import Array

log = logging.getLogger(__name__)

CAP_BYTES = 2_000_000_000
"""What the folder may hold: three full-width networks in FP32, or dozens in INT8."""

_DIGEST_BYTES = 32
_BLOCK_BYTES = 1 << 20


class CompiledCache:
    """A folder of compiled networks. One that cannot be written is logged and done without."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: default $XDG_CACHE_HOME/edgebs/openvino, or ~/.cache/edgebs/openvino."""
        self.folder = folder if folder is not None else default_folder()

    def entry(self, file: Path, facts: Mapping[str, Any]) -> CacheEntry:
        """The place of `file` compiled under `facts`: the versions, options and CPU that shape the result."""
        key = hashlib.sha256()
        key.update(file_digest(file))
        key.update(json.dumps(facts, sort_keys=True, default=str).encode())
        return CacheEntry(self.folder / f"{key.hexdigest()[:40]}.blob")


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One compiled network, present or not."""

    path: Path

    def load(self, import_blob: Callable[[Array], Any]) -> tuple[Any, Array] | None:
        """What `import_blob` makes of the stored bytes, and the bytes; None if there are none fit for use.

        The network reads weights from the mapped bytes while it runs, and OpenVINO does not keep them
        mapped: the caller must, as long as it keeps the network.
        """
        try:
            blob = self._verified()
            if blob is None:
                return None
            os.utime(self.path)  # pruning goes by last use
            return import_blob(blob), blob
        except (OSError, RuntimeError) as error:
            log.warning("cached network %s cannot be used, compiling again: %s", self.path, error)
            return None

    def store(self, export_blob: Callable[[], Any]) -> None:
        """Keep the bytes that `export_blob` returns (bytes or BytesIO), under their final name at once."""
        try:
            exported = export_blob()
            blob = exported.getbuffer() if hasattr(exported, "getbuffer") else memoryview(exported)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _write_atomically(self.path, blob)
            _prune(self.path)
        except (OSError, RuntimeError) as error:
            log.warning("compiled network not cached in %s: %s", self.path.parent, error)

    def _verified(self) -> Array | None:
        if not self.path.is_file():
            return None
        size = self.path.stat().st_size - _DIGEST_BYTES
        if size <= 0 or _digest(self.path, size) != _tail(self.path):
            log.warning("cached network %s is damaged: compiling again", self.path)
            return None
        return np.memmap(
            self.path, dtype=np.uint8, mode="c", shape=(size,)
        )  # "c": OpenVINO shares only writeable


def default_folder() -> Path:
    """$XDG_CACHE_HOME/edgebs/openvino, or ~/.cache/edgebs/openvino."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "edgebs" / "openvino"


def file_digest(file: Path) -> bytes:
    """SHA-256 of the whole file."""
    return _digest(file, file.stat().st_size)


def _digest(file: Path, size: int) -> bytes:
    """SHA-256 of the first `size` bytes, read in blocks so that they do not stay in memory."""
    sha = hashlib.sha256()
    with file.open("rb") as stream:
        while size > 0 and (block := stream.read(min(size, _BLOCK_BYTES))):
            sha.update(block)
            size -= len(block)
    return sha.digest()


def _tail(file: Path) -> bytes:
    with file.open("rb") as stream:
        stream.seek(-_DIGEST_BYTES, os.SEEK_END)
        return stream.read()


def _prune(newest: Path) -> None:
    """Remove the entries that were not used for longest, until the folder holds no more than `CAP_BYTES`."""
    entries = [entry for entry in newest.parent.glob("*.blob") if entry != newest]
    entries.sort(key=lambda entry: entry.stat().st_mtime)
    surplus = sum(entry.stat().st_size for entry in (*entries, newest)) - CAP_BYTES
    for entry in entries:
        if surplus <= 0:
            return
        surplus -= entry.stat().st_size
        # A process that runs it keeps its mapping.
        entry.unlink(missing_ok=True)


def _write_atomically(path: Path, blob: memoryview) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(blob)
            stream.write(hashlib.sha256(blob).digest())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
