"""What the past shows about each pixel: one file per kind of cue, all behind `edgebs.cues.cue.Cue`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgebs.cues.cue import Cue
from edgebs.errors import BundleError

if TYPE_CHECKING:
    from edgebs.backends import Backend
    from edgebs.bundle.manifest import CueSettings

Size = tuple[int, int]


def open_cue(settings: CueSettings, size: Size, backend: Backend | None) -> Cue:
    """The cue of a manifest. backend: runs the cue network where there is one. size: (H, W)."""
    if settings.kind not in _OPENERS:
        raise BundleError(
            f"this edgebs computes no cue of kind '{settings.kind}'; known: {', '.join(_OPENERS)}. "
            "Install a newer edgebs."
        )
    if backend is None and settings.provider != "dis":
        raise BundleError(
            f"the cue provider '{settings.provider}' needs a cue network, and the bundle has none. "
            "Export the bundle again."
        )
    return _OPENERS[settings.kind](settings, size, backend)


def _hop(settings: CueSettings, size: Size, backend: Backend | None) -> Cue:
    from edgebs.cues.hop import DisHop, EngineHop

    return DisHop(settings, size) if backend is None else EngineHop(settings, backend)


def _hop_background(settings: CueSettings, size: Size, backend: Backend | None) -> Cue:
    from edgebs.cues.flow import NetworkFlow
    from edgebs.cues.hop_background import HopBackground

    return HopBackground(settings, size, None if backend is None else NetworkFlow(settings, backend))


def _background_maps(settings: CueSettings, _size: Size, backend: Backend | None) -> Cue:
    from edgebs.cues.background_maps import BackgroundMaps

    assert backend is not None
    return BackgroundMaps(settings, backend)


def _background_image(settings: CueSettings, size: Size, backend: Backend | None) -> Cue:
    from edgebs.cues.background_image import BackgroundImage

    assert backend is not None
    return BackgroundImage(settings, size, backend)


_OPENERS: dict[str, Callable[[CueSettings, Size, Backend | None], Cue]] = {
    "hop": _hop,
    "hop-background": _hop_background,
    "background-maps": _background_maps,
    "background-image": _background_image,
}
"""The only table that chooses by the kind of a cue."""
