"""What the past says about each pixel: one file per way to compute it, all behind `Cue`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgebs.backends import Backend
from edgebs.bundle.manifest import CUE_KINDS, CueSettings
from edgebs.errors import BundleError
from edgebs.tensors import Array, Frame

PRESETS = ("ultrafast", "fast", "medium", "fine")
"""Of OpenCV's DIS flow; `fine` is ours, see edgebs.cues.hop."""
SLOTS = 4
"""Cue tensors in use at once: one being computed, one queued, one being segmented, one spare."""


@dataclass(frozen=True, slots=True)
class CueOutput:
    """The cue of one frame."""

    tensors: Mapping[str, Array]
    """The segmentation network's inputs other than `frame`. Reused after `SLOTS` further updates."""
    warming_up: bool
    """Whether the history is still shorter than the longest interval."""


class Cue(Protocol):
    """Holds one camera's history and turns it into the cue. One thread at a time."""

    description: str
    """What computes it, for reports."""

    def update(self, frame: Frame, captured_s: float | None) -> CueOutput:
        """Take the next frame, (h, w, 3) at network size, and return its cue. Keeps no reference to `frame`'s
        owner beyond the history, so the caller must not write into it afterwards. captured_s: as
        `edgebs.cues.ticks.check_time` returns it. Raises NotFinite where a network gives NaN."""
        ...

    def remember(self, frame: Frame, captured_s: float | None) -> None:
        """Take the next frame into the history without computing its cue."""
        ...

    def reset(self) -> None:
        """Forget the history: the next frame is the first of a scene."""
        ...

    def close(self) -> None:
        """Free what is held. May be called twice."""
        ...


class TensorRing:
    """Preallocated float32 tensors handed out in turn, so that no frame pays for fresh pages."""

    def __init__(self, shape: tuple[int, ...], slots: int = SLOTS) -> None:
        """Allocate `slots` tensors of `shape`."""
        self._tensors = [np.zeros(shape, np.float32) for _ in range(slots)]
        self._next = 0

    def take(self) -> Array:
        """The tensor that was handed out longest ago."""
        tensor = self._tensors[self._next]
        self._next = (self._next + 1) % len(self._tensors)
        return tensor


def open_cue(settings: CueSettings, size: tuple[int, int], backend: Backend | None) -> Cue:
    """The cue that a manifest asks for. `backend` runs the cue network where there is one."""
    if settings.kind not in CUE_KINDS:
        raise BundleError(
            f"this edgebs computes no cue of kind '{settings.kind}'; known: {', '.join(CUE_KINDS)}. "
            "Install a newer edgebs."
        )
    if settings.provider == "dis":
        return _by_dis(settings, size)
    if backend is None:
        raise BundleError(
            f"the cue provider '{settings.provider}' needs a cue network, and the bundle has none. "
            "Export the bundle again."
        )
    if settings.kind == "background-image":
        from edgebs.cues.background_image import BackgroundImage

        return BackgroundImage(settings, size, backend)
    if settings.kind == "background-maps":
        from edgebs.cues.background_maps import BackgroundMaps

        return BackgroundMaps(settings, backend)
    if settings.kind == "hop-background":
        from edgebs.cues.flow_network import NetworkFlow
        from edgebs.cues.hop_background import HopBackground

        return HopBackground(settings, size, NetworkFlow(settings, backend))
    from edgebs.cues.engine_hop import EngineHop

    return EngineHop(settings, backend)


def _by_dis(settings: CueSettings, size: tuple[int, int]) -> Cue:
    if settings.kind == "hop-background":
        from edgebs.cues.hop_background import HopBackground

        return HopBackground(settings, size)
    from edgebs.cues.hop import DisHop

    return DisHop(settings, size)
