"""Compiled networks kept between runs, found by everything that decides what they compute.

OpenVINO's own CACHE_DIR (2026.4) takes a file replaced by one of the same size for the old one, and runs a
damaged entry without noticing. Here the key holds the SHA-256 of the ONNX file, and each entry ends with
the SHA-256 of its own bytes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgebs.errors import SinkError, in_one_line
from edgebs.files.cache import SEAL_BYTES, file_digest, kept_folder, key_of, prune, seal_of, write_whole
from edgebs.tensors import Array

log = logging.getLogger(__name__)

CAP_BYTES = 2_000_000_000
"""What the folder may hold: three full-width networks in FP32, or dozens in INT8."""


class CompiledCache:
    """A folder of compiled networks. One that cannot be written is logged and done without."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: default $XDG_CACHE_HOME/edgebs/openvino, or ~/.cache/edgebs/openvino."""
        self.folder = folder if folder is not None else kept_folder("openvino")

    def entry(self, file: Path, facts: Mapping[str, Any]) -> CacheEntry:
        """The place of `file` compiled under `facts`: the versions, options and CPU that shape the result."""
        return CacheEntry(self.folder / f"{key_of(facts, file_digest(file))[:40]}.blob")


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
            with suppress(OSError):  # it may belong to another user
                os.utime(self.path)  # pruning goes by last use
            return import_blob(blob), blob
        except (OSError, RuntimeError) as error:
            reason = in_one_line(error)
            log.warning("cached network %s cannot be used, compiling again: %s", self.path, reason)
            return None

    def store(self, export_blob: Callable[[], Any]) -> None:
        """Keep the bytes that `export_blob` returns (bytes or BytesIO), under their final name at once."""
        try:
            exported = export_blob()
            blob = exported.getbuffer() if hasattr(exported, "getbuffer") else memoryview(exported)
            # The seal behind: OpenVINO reads the network where it is mapped, from the first byte.
            write_whole(self.path, blob, seal_of(blob))
            prune(self.path, CAP_BYTES)
        except (SinkError, RuntimeError) as error:
            log.warning("compiled network not cached in %s: %s", self.path.parent, error)

    def _verified(self) -> Array | None:
        if not self.path.is_file():
            return None
        size = self.path.stat().st_size - SEAL_BYTES
        if size <= 0 or file_digest(self.path, size) != _tail(self.path):
            log.warning("cached network %s is damaged: compiling again", self.path)
            return None
        return np.memmap(
            self.path, dtype=np.uint8, mode="c", shape=(size,)
        )  # "c": OpenVINO shares only writeable


def _tail(file: Path) -> bytes:
    with file.open("rb") as stream:
        stream.seek(-SEAL_BYTES, os.SEEK_END)
        return stream.read()
