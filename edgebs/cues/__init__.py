"""What the past says about each pixel: one file per way to compute it, all behind `Cue`."""

from __future__ import annotations

from edgebs.backends import Backend
from edgebs.bundle.manifest import CUE_KINDS, CueSettings
from edgebs.cues.cue import Cue
from edgebs.errors import BundleError


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
        from edgebs.cues.flow import NetworkFlow
        from edgebs.cues.hop_background import HopBackground

        return HopBackground(settings, size, NetworkFlow(settings, backend))
    from edgebs.cues.hop import EngineHop

    return EngineHop(settings, backend)


def _by_dis(settings: CueSettings, size: tuple[int, int]) -> Cue:
    if settings.kind == "hop-background":
        from edgebs.cues.hop_background import HopBackground

        return HopBackground(settings, size)
    from edgebs.cues.hop import DisHop

    return DisHop(settings, size)
