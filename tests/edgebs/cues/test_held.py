"""Held pixels: what stands in front stays out of the median for a while, what only left a trace does not."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.video.views import SIZE, settings, texture, view

from edgebs.bundle.manifest import CueSettings
from edgebs.cues.background import LONGEST_HELD, SAMPLES, MedianBackground
from edgebs.cues.held import LAG_FRAMES, Holding, in_front
from edgebs.cues.hop_background import HopBackground
from edgebs.tensors import Array, Frame

WHERE = (slice(40, 80), slice(50, 90))


def grey(level: int, size: tuple[int, int] = (8, 8)) -> Frame:
    return np.full((*size, 3), level, np.uint8)


def test_a_pixel_is_held_for_fifteen_samples_and_then_becomes_background() -> None:
    background = MedianBackground((8, 8), holds=True)
    everywhere = np.ones((8, 8), np.bool_)
    for t in range(SAMPLES):
        background.add(grey(100), float(t))
    medians = []
    for t in range(LONGEST_HELD + SAMPLES):
        background.add(grey(200), float(SAMPLES + t), everywhere)
        medians.append(int(background.median[0, 0, 0]))
    turned = medians.index(200)
    # Eight samples of fifteen make the median.
    assert turned == LONGEST_HELD + SAMPLES // 2
    assert set(medians[turned:]) == {200}


def test_without_a_mask_counts_stay_and_an_empty_one_ends_them() -> None:
    background = MedianBackground((8, 8), holds=True)
    everywhere, nowhere = np.ones((8, 8), np.bool_), np.zeros((8, 8), np.bool_)
    background.add(grey(100), 0.0)
    for t in range(LONGEST_HELD):
        background.add(grey(200), 1.0 + t, everywhere)
    background.add(grey(100), 50.0)
    background.add(grey(200), 51.0, everywhere)
    assert (background.saved()["samples"][-1] == 200).all()
    background.add(grey(100), 52.0, nowhere)
    background.add(grey(200), 53.0, everywhere)
    assert (background.saved()["samples"][-1] == 100).all()


def test_only_the_held_pixels_differ_and_the_older_background_shows_what_was_seen() -> None:
    background = MedianBackground((8, 8), holds=True)
    left = np.zeros((8, 8), np.bool_)
    left[:, :4] = True
    for t in range(3):
        background.add(grey(100), float(t))
    for t in range(3, 60):
        background.add(grey(200), float(t), left if t < 3 + LONGEST_HELD else None)
        if t == 17:
            assert (background.median[:, :4] == 100).all()
            assert (background.median[:, 4:] == 200).all()
    assert (background.older == 200).all()


def block(at: Frame, picture: Frame) -> Frame:
    changed = at.copy()
    changed[WHERE] = picture[WHERE]
    return changed


def test_a_region_is_in_front_where_the_frame_shows_its_outline() -> None:
    ground, thing = view(texture(0), 0, 0) // 4 + 90, np.full((*SIZE, 3), 220, np.uint8)
    regions = np.zeros(SIZE, np.uint8)
    regions[WHERE] = 1
    regions[100:110, 10:30] = 1
    held = in_front(regions, block(ground, thing), ground)
    assert held[WHERE].all()
    # Nothing is there in either picture: no outline, so nothing to hold.
    assert held.sum() == held[WHERE].sum()
    # It has left: the background still shows it.
    assert not in_front(regions, ground, block(ground, thing)).any()
    assert not in_front(np.zeros(SIZE, np.uint8), ground, ground).any()


def found(level: float = 0.9) -> Array:
    probability = np.zeros(SIZE, np.float32)
    probability[WHERE] = level
    return probability


@pytest.mark.parametrize(
    ("level", "moved_px", "is_held"), [(0.9, 0.0, True), (0.6, 0.0, False), (0.9, 0.8, False)]
)
def test_what_is_held_is_certain_and_seen_by_a_steady_camera(
    level: float, moved_px: float, is_held: bool
) -> None:
    ground, thing = view(texture(0), 0, 0) // 4 + 90, np.full((*SIZE, 3), 220, np.uint8)
    holding = Holding(0.7)
    for _ in range(LAG_FRAMES):
        holding.seen((0.0, 0.0))
    holding.hear(found(level))
    held = holding.pixels(block(ground, thing), ground, (0.0, 0.0), (moved_px, 0.0))
    assert (held is not None and bool(held.any())) == is_held
    holding.clear()
    assert holding.pixels(block(ground, thing), ground, (0.0, 0.0), (0.0, 0.0)) is None


def test_what_is_held_lies_where_the_background_does() -> None:
    ground, thing = view(texture(0), 0, 0) // 4 + 90, np.full((*SIZE, 3), 220, np.uint8)
    off = (6.0, -4.0)
    holding = Holding(0.7)
    for _ in range(LAG_FRAMES):
        holding.seen(off)
    holding.hear(found())
    held = holding.pixels(block(ground, thing), ground, off, off)
    assert held is not None
    rows, columns = np.nonzero(held)
    assert (rows.min(), columns.min()) == (40 + 4, 50 - 6)


def watched(hold: float, count: int, stopped: int) -> HopBackground:
    """A cue that saw a bright block come and stay; it hears where the block was."""
    cue = HopBackground(settings(hold=hold), SIZE)
    ground, thing = view(texture(0), 0, 0) // 4 + 90, np.full((*SIZE, 3), 220, np.uint8)
    there = [t >= stopped for t in range(count)]
    for t in range(count):
        before = t - LAG_FRAMES
        if cue.is_hearing:
            cue.hear(None if before < 0 else found() if there[before] else np.zeros(SIZE, np.float32))
        cue.remember(block(ground, thing) if there[t] else ground, t / 25)
    return cue


def middle(cue: HopBackground) -> float:
    return float(cue.update(view(texture(0), 0, 0), None).tensors["cue"][0, 3, 60, 70])


def test_who_stops_in_a_young_scene_stays_out_of_the_background() -> None:
    assert middle(watched(0.0, 200, 60)) == 220
    assert middle(watched(0.7, 200, 60)) < 180
    # In the end he becomes part of it all the same.
    assert middle(watched(0.7, 1200, 60)) == 220


def test_what_was_held_is_saved_and_restored() -> None:
    watching, restored = watched(0.7, 120, 60), HopBackground(settings(hold=0.7), SIZE)
    saved = watching.background()
    assert saved["held"].max() > 0
    restored.restore(saved)
    again = restored.background()
    assert saved.keys() == again.keys()
    assert all(np.array_equal(array, again[name]) for name, array in saved.items())
    old = {name: array for name, array in saved.items() if name not in ("held", "as_seen")}
    restored.restore(old)
    assert np.array_equal(restored.background()["as_seen"], old["samples"])
    for changes in ({"held": np.zeros((4, 4), np.uint8)}, {"as_seen": old["samples"][1:]}):
        with pytest.raises(ValueError, match=r"held|as seen"):
            restored.restore({**saved, **changes})


def test_a_cue_holds_only_where_the_manifest_says_so() -> None:
    plain = settings()
    assert "hold" not in plain.to_json()
    assert not HopBackground(plain, SIZE).is_hearing
    holding = settings(hold=0.7)
    assert CueSettings.from_json(holding.to_json()) == holding
    for changes in ({"hold": 1.0}, {"hold": -0.1}, {"hold": 0.7, "kind": "hop"}):
        with pytest.raises(ValueError, match="hold must be"):
            settings(**changes)
