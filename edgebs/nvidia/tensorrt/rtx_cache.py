"""Kernels that TensorRT-RTX compiled on this machine, kept between runs.

A plan of TensorRT-RTX holds no machine code: the kernels are compiled on the GPU's machine, when a context is
made or runs for the first time, which makes the first start the slow one.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgebs.bundle.plan import platform_name
from edgebs.errors import SinkError
from edgebs.files.cache import file_digest, kept_folder, key_of, prune, read_sealed, seal_of, write_sealed
from edgebs.nvidia import cuda
from edgebs.nvidia.tensorrt import create_runtime_cache, last_error

log = logging.getLogger(__name__)

CAP_BYTES = 2_000_000_000
"""What the folder may hold."""


class RuntimeCache:
    """One engine's kernels: read when the engine opens, kept when it closes.

    What cannot be read, used or written is logged, and those kernels are compiled again.
    """

    def __init__(self, native: Any, path: Path, logger: Any) -> None:
        """native: an empty IRuntimeCache. logger: TensorRT's, for the reason of a refusal."""
        self.native: Any = native
        self.path, self._logger = path, logger
        self._restore()
        # Asked for, and not taken from the file: without any kernel there are bytes too.
        self._known = seal_of(self._serialized(logging.DEBUG))

    def keep(self) -> None:
        """Write the kernels, if there are others than when this was opened.

        After the contexts were closed, with the engine still open. Raises nothing. Of two engines that ran
        at once, the one that closes last is kept: what only the other compiled is compiled once more.
        """
        blob = self._serialized(logging.WARNING)
        if blob and seal_of(blob) != self._known:
            self._write(blob)

    def _restore(self) -> None:
        blob = read_sealed(self.path, "runtime cache")
        if not blob:
            return
        if not self.native.deserialize(blob):
            # The name holds the facts that we see; TensorRT-RTX compares more, and may leave the cache empty.
            reason = last_error(self._logger)
            log.info("runtime cache %s was made elsewhere, starting an empty one: %s", self.path, reason)
            return
        with suppress(OSError):
            os.utime(self.path)  # pruning goes by last use

    def _serialized(self, level: int) -> bytes:
        """The bytes; none where TensorRT-RTX does not give them, as on a lost GPU."""
        try:
            memory = self.native.serialize()
            if memory is not None:
                return bytes(memory)
            reason = last_error(self._logger)
        except Exception as error:  # of any kind: it must not hide what ended the run
            reason = str(error)
        log.log(level, "TensorRT-RTX does not give its kernels for %s: %s", self.path, reason)
        return b""

    def _write(self, blob: bytes) -> None:
        try:
            write_sealed(self.path, blob)
        except SinkError as error:
            log.warning("runtime cache not kept: %s", error)
            return
        prune(self.path, CAP_BYTES)


def open_runtime_cache(
    trt: Any, engine: Any, plan: Path, gpu: cuda.DeviceFacts, logger: Any
) -> RuntimeCache | None:
    """The cache of `engine`, loaded from the file `plan`, with what an earlier run compiled on such a `gpu`.

    In $XDG_CACHE_HOME/edgebs/tensorrt-rtx, or ~/.cache/edgebs/tensorrt-rtx: a file per content of the plan,
    version, GPU and driver. None where plans bring their kernels, and where there is no place to keep any.
    """
    native = create_runtime_cache(trt, engine)
    if native is None:
        return None
    facts = {"tensorrt_rtx": str(trt.__version__), "platform": platform_name(), **asdict(gpu)}
    del facts["pci_bus_id"]  # where a card sits changes no kernel
    try:
        path = kept_folder("tensorrt-rtx") / f"{key_of(facts, file_digest(plan))[:32]}.kernels"
    except OSError as error:
        log.warning("no runtime cache for %s: %s", plan, error)
        return None
    return RuntimeCache(native, path, logger)
