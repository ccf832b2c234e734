"""How long kernels took when earlier plans were built: a second build of a network is then quick.

Measurements hold for one TensorRT, on one GPU, under one driver and one power mode; each such combination
has a file of its own. TensorRT checks a part of that itself, and not the power mode of a Jetson.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebs.bundle.plan import platform_name
from edgebs.errors import SinkError
from edgebs.files.cache import kept_folder, key_of, read_sealed, write_sealed
from edgebs.nvidia import cuda

log = logging.getLogger(__name__)


class TimingCache:
    """One file of measured kernels. One that cannot be read or written is logged and done without."""

    def __init__(self, facts: Mapping[str, str], folder: Path | None = None) -> None:
        """facts: everything that makes a measurement worthless when it changes. See `timing_facts`.

        folder: default $XDG_CACHE_HOME/edgebs/tensorrt, or ~/.cache/edgebs/tensorrt.
        """
        folder = folder if folder is not None else kept_folder("tensorrt")
        self.path = folder / f"{key_of(facts)[:32]}.timing"

    def give(self, config: Any) -> None:
        """Let a builder's configuration start from what is stored, or from nothing."""
        for stored in (self._stored(), b""):
            cache = _created(config, stored)
            # ignore_mismatch=False: TensorRT refuses the cache of another device.
            if cache is not None and config.set_timing_cache(cache, False):
                return
            log.warning("timing cache %s does not fit this TensorRT: starting an empty one", self.path)

    def keep(self, config: Any) -> None:
        """Store what the builder measured, joined with what other builds stored meanwhile."""
        measured = config.get_timing_cache()
        if measured is None:
            return
        others = _created(config, self._stored())
        if others is not None:
            measured.combine(others, False)
        try:
            write_sealed(self.path, bytes(measured.serialize()))
        except SinkError as error:
            log.warning("timing cache not kept: %s", error)

    def _stored(self) -> bytes:
        return read_sealed(self.path, "timing cache")


def _created(config: Any, blob: bytes) -> Any:
    try:
        return config.create_timing_cache(blob)
    except (RuntimeError, ValueError) as error:  # a blob of another version
        log.debug("create_timing_cache: %s", error)
        return None


def timing_facts(module: str, version: str, root: Path = Path("/")) -> dict[str, str]:
    """What measured times depend on, for the GPU in use and TensorRT `version` of `module`."""
    gpu = cuda.device_facts()
    return {
        "module": module,
        "tensorrt": version,
        "gpu": gpu.name,
        "compute_capability": gpu.compute_capability,
        "memory_bytes": str(gpu.memory_bytes),
        "driver": gpu.driver,
        "platform": platform_name(),
        "power_mode": power_mode(root),
    }


def power_mode(root: Path = Path("/")) -> str:
    """A Jetson's nvpmodel mode, "0000"; empty elsewhere. It sets the clocks that kernels were timed at."""
    status = root / "var/lib/nvpmodel/status"
    text = status.read_text(encoding="utf-8", errors="replace") if status.is_file() else ""
    return text.strip().rpartition(":")[2]
