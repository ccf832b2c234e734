"""How often each ingredient of a training scene occurs."""

from __future__ import annotations

from dataclasses import dataclass

PAST_S = 60.0
"""Seconds before the real-time part that a scene has."""
AHEAD_S = 6.0
"""Seconds of the real-time part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Shares of scenes, 0 to 1, unless a field states another unit."""

    empty: float = 0.10
    """Nothing is foreground at any time of the real-time part."""
    count: tuple[float, ...] = (0.26, 0.28, 0.19, 0.13, 0.09, 0.05)
    """Shares of 1, 2, ... 6 objects among the scenes that are not empty."""
    standing: float = 0.25
    """Of the objects: came in earlier and stand at the time of interest."""
    group: float = 0.07
    """Of the objects: two to four people close together."""
    wandering: float = 0.07
    """Of the objects: go to and fro."""
    carrying: float = 0.15
    """Of the people who pass: carry or push something."""
    removed: float = 0.14
    """Something that always stood there leaves."""
    abandoned: float = 0.08
    """Luggage is left behind."""
    camouflage: float = 0.12
    """Of the objects: dressed in a piece of the background."""
    in_perspective: float = 0.7
    """Of the objects: as large as the ground says; the others have any size."""

    giant: float = 0.0
    """Something large and slow is there: a boat, a bus, people right before the camera."""
    traffic: float = 0.0
    """Two to seven vehicles on lanes, with hard shadows longer than they are high."""
    water: float = 0.0
    """The scene is a shore whose water moves, with boats; half of them have surf."""
    street: float = 0.0
    """The scene is a paved street with houses, its people and cars at one scale; nothing else is cast."""
    photo: float = 0.0
    """The scene is a photograph, beside those that are anyway."""
    matched: float = 0.0
    """Of the objects: as bright as the ground that they stand on."""

    tones: float = 1.0
    """How much exposure, contrast and colour cast vary between cameras; 0 is a neutral camera."""
    shadows: float = 0.55
    """Objects cast hard or soft shadows."""
    contact: float = 0.5
    """Objects darken the ground they stand on."""
    reflections: float = 0.10
    """The ground mirrors objects; of these, one in three has a mirroring wall instead."""
    glossy: float = 0.0
    """The floor shows a fainter, fading mirror image below each object."""
    dappled: float = 0.0
    """Trees and houses throw shade that stays; whoever passes gets darker in it."""
    clouds: float = 0.10
    """Shadows of clouds or of leaves pass over everything."""
    drift: float = 0.40
    """Light changes slowly."""
    step: float = 0.05
    """Light changes at once in the real-time part."""
    exposure: float = 0.10
    """The camera gets darker when something bright comes in, and the other way round."""
    flicker: float = 0.10
    """A lamp flickers, or a screen changes."""

    waving: float = 0.30
    """Trees, grass, cloth or water move."""
    spray: float = 0.03
    """A fountain or boiling water."""
    belt: float = 0.03
    """Something periodic runs: an escalator, a turning sign."""
    rain: float = 0.04
    """Streaks, new in each frame."""
    snow: float = 0.04
    """Flakes that fall."""
    fog: float = 0.04
    """Smoke or fog drifts by."""
    insects: float = 0.015
    """Something small crawls or flies right before the lens."""

    steady: float = 0.55
    """The camera does not move at all."""
    pan: float = 0.06
    """The camera swings slowly."""
    vibration: float = 0.06
    """The camera trembles anew in each frame."""
    zoom: float = 0.02
    """The camera zooms in and out by up to 3 %."""

    grey: float = 0.15
    """The camera has no colours."""
    thermal: float = 0.06
    """The camera shows heat."""
    night: float = 0.12
    """Dark, noisy, with lamps and headlights."""
    fogged: float = 0.14
    """Little contrast."""
    jpeg: float = 0.40
    """The picture was compressed."""
    soft: float = 0.35
    """The picture is blurred as by a lens or an enlargement."""
    halo: float = 0.12
    """The camera sharpens too much."""
    blur: float = 0.50
    """Fast objects are smeared along their way."""
    slow: float = 0.20
    """6 to 15 frames per second."""
    interlaced: float = 0.06
    """Odd rows are half a frame younger."""
    stutter: float = 0.04
    """Some frames of the real-time part repeat the one before."""


HARD = Mix(
    empty=0.06,
    standing=0.35,
    wandering=0.12,
    giant=0.3,
    traffic=0.14,
    water=0.14,
    photo=0.35,
    matched=0.15,
    glossy=0.2,
    dappled=0.2,
    clouds=0.15,
    steady=0.5,
    vibration=0.1,
    fogged=0.22,
)
"""What `edge` was worst at: slow, large and stopped objects, cast shadows, glossy floors, water."""

STREET = Mix(
    street=1.0,
    tones=0.25,
    shadows=1.0,
    clouds=0.0,
    drift=0.0,
    step=0.0,
    exposure=0.0,
    flicker=0.0,
    waving=0.0,
    spray=0.0,
    belt=0.0,
    reflections=0.0,
    rain=0.0,
    snow=0.0,
    fog=0.0,
    insects=0.0,
    steady=1.0,
    grey=0.0,
    thermal=0.0,
    night=0.0,
    fogged=0.0,
    jpeg=0.0,
    soft=0.0,
    halo=0.0,
    slow=0.0,
    interlaced=0.0,
    stutter=0.0,
)
"""For pictures and demonstrations: a street in steady daylight (bench/scenes/clip.py)."""
