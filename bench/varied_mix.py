"""How often each ingredient of a training scene occurs."""

from __future__ import annotations

from dataclasses import dataclass

PAST_S = 60.0
"""Seconds before the real-time part that a scene has."""
AHEAD_S = 6.0
"""Seconds of the real-time part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Shares of scenes, 0 to 1, unless a field says otherwise."""

    empty: float = 0.10
    """Nothing is foreground at any time of the real-time part."""
    count: tuple[float, ...] = (0.28, 0.28, 0.18, 0.13, 0.08, 0.05)
    """Shares of 1, 2, ... 6 objects among the scenes that are not empty."""
    standing: float = 0.25
    """Of the objects: came in earlier and stand at the time of interest."""
    removed: float = 0.12
    """Something that always stood there leaves."""
    abandoned: float = 0.08
    """Luggage is left behind."""
    camouflage: float = 0.15
    """Of the objects: dressed in a piece of the background."""
    in_perspective: float = 0.7
    """Of the objects: as large as the ground says; the others have any size."""
    shadows: float = 0.6
    """Objects cast hard or soft shadows."""
    contact: float = 0.6
    """Objects darken the ground they stand on."""
    steady: float = 0.55
    """The camera does not move at all."""
    pan: float = 0.06
    """The camera swings slowly."""
    waving: float = 0.30
    """Trees, grass, cloth or water move."""
    drift: float = 0.4
    """Light changes slowly."""
    step: float = 0.05
    """Light changes at once in the real-time part."""
    grey: float = 0.15
    """The camera has no colours."""
    thermal: float = 0.05
    """The camera shows heat."""
    night: float = 0.12
    """Dark, noisy."""
    jpeg: float = 0.4
    """The picture was compressed."""
    soft: float = 0.35
    """The picture is blurred as by a lens or an enlargement."""
    blur: float = 0.5
    """Fast objects are smeared along their way."""
    slow: float = 0.20
    """6 to 15 frames per second."""
