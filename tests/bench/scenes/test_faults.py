"""Scenes for what networks are worst at hold what they promise, and leave all other scenes alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from fakes.video.scenes import STILL, square

from bench.scenes.air.shadow import Mirror, hard_shadow
from bench.scenes.air.weather import SHADE_REACH, StandingShade, standing_shade
from bench.scenes.bank import PictureBank
from bench.scenes.faults import Faults
from bench.scenes.mix import HARD, Mix
from bench.scenes.motion import random_sway
from bench.scenes.scene import Scene

SIZE = (96, 96)
CALM = Mix(empty=0.0, steady=1.0, interlaced=0.0, stutter=0.0, thermal=0.0)


@pytest.fixture(scope="module")
def bank() -> PictureBank:
    return PictureBank.open()


def test_each_ingredient_occurs_as_often_as_the_mix_says() -> None:
    count = 600
    found: Counter[str] = Counter()
    for seed in range(count):
        words: set[str] = set()
        Faults(np.random.default_rng(seed), HARD, words)
        found.update(words)
    for word, share in (("giant", HARD.giant), ("traffic", HARD.traffic), ("water", HARD.water)):
        assert found[word] / count == pytest.approx(share, abs=0.05)
    assert found["glossy"] / count == pytest.approx(HARD.glossy * (1 - HARD.water), abs=0.05)


def test_without_them_no_random_number_of_the_scene_is_drawn_differently(bank: PictureBank) -> None:
    # 0.0 is what Mix() has; a share that no scene reaches must give the same bytes.
    rare = Mix(giant=1e-12, traffic=1e-12, water=1e-12, glossy=1e-12, dappled=1e-12, photo=1e-12)
    for seed in range(4):
        plain, other = (Scene((11, seed), SIZE, bank, mix).frame(1.0) for mix in (Mix(), rare))
        assert np.array_equal(plain.image, other.image)
        assert np.array_equal(plain.labels, other.labels)


def test_giants_are_large_and_slow(bank: PictureBank) -> None:
    shares, moved = [], []
    for seed in range(16):
        scene = Scene((12, seed), SIZE, bank, replace(CALM, giant=1.0, count=_ONE))
        now, soon = scene.frame(1.0).labels == 255, scene.frame(1.0 + 1 / scene.fps).labels == 255
        shares.append(now.mean())
        moved.append((now != soon).mean() / max(now.mean(), 0.01))
    assert np.median(shares) > 0.08
    assert np.median(moved) < 0.25


def test_a_shore_has_boats_that_float_and_water_that_moves(bank: PictureBank) -> None:
    floating = moving = 0
    mix = replace(CALM, water=1.0, waving=0.0, night=0.0, fogged=0.0, drift=0.0)
    for seed in range(8):
        scene = Scene((13, seed), SIZE, bank, mix)
        floating += any(mover.actor.kind == "boat" and mover.is_floating for mover in scene._movers)
        early, late = scene.frame(0.5).background, scene.frame(3.0).background
        moving += bool((np.abs(early.astype(int) - late).max(axis=2) > 5).mean() > 0.02)
    assert floating == 8
    assert moving >= 6


def test_a_wake_follows_its_boat_and_is_background(bank: PictureBank) -> None:
    found = 0
    for seed in range(8):
        scene = Scene((13, seed), SIZE, bank, replace(CALM, water=1.0, standing=0.0))
        wakes = [mover for mover in scene._movers if mover.actor.kind == "wake"]
        boats = [mover for mover in scene._movers if mover.actor.kind == "boat"]
        for wake in wakes:
            found += 1
            assert any(abs(boat.pose(2.0).foot[0] - wake.pose(2.0).foot[0]) < 1e-6 for boat in boats)
            assert not wake.pose(2.0).is_foreground
        scene._movers[:] = wakes
        assert not scene.frame(2.0).labels.any()
    assert found >= 6


def test_traffic_has_several_vehicles_and_a_shadow_longer_than_they_are_high(bank: PictureBank) -> None:
    scene = Scene((14, 1), SIZE, bank, replace(CALM, traffic=1.0))
    assert sum(mover.actor.kind == "vehicle" for mover in scene._movers) >= 2
    shadow = scene._composer.shadow
    assert shadow is not None
    assert shadow.is_cast
    assert max(abs(hard_shadow(np.random.default_rng(n), True).along) for n in range(20)) > 1.5
    assert all(abs(hard_shadow(np.random.default_rng(n), True).along) >= 0.8 for n in range(20))


def test_a_matched_object_has_the_mean_colour_of_the_ground_behind_it(bank: PictureBank) -> None:
    off = {}
    for matched in (0.0, 1.0):
        means = []
        for seed in range(12):
            mix = replace(CALM, matched=matched, night=0.0, camouflage=0.0)
            frame = Scene((15, seed), SIZE, bank, mix).frame(1.0)
            inside = frame.labels == 255
            if inside.sum() > 60:
                pair = (frame.image[inside].mean(axis=0), frame.background[inside].mean(axis=0))
                means.append(float(np.abs(pair[0] - pair[1]).mean()))
        off[matched] = float(np.median(means))
    assert off[1.0] < 0.6 * off[0.0]


def test_shade_that_stays_darkens_objects_as_it_darkens_the_ground() -> None:
    light = np.full((20 + 2 * SHADE_REACH, 20 + 2 * SHADE_REACH), 255, np.uint8)
    light[:, SHADE_REACH + 10 :] = 102
    sway = random_sway(np.random.default_rng(0), 0.1, 0.2, 3)
    shade = StandingShade(light, (sway, sway), 0.0)
    for tone in (100, 200):
        seen = shade.over(np.full((20, 20, 3), tone, np.uint8), 1.0)
        assert np.all(seen[:, :10] == tone)
        assert np.all(abs(seen[:, 10:].astype(int) - tone * 0.4) <= 1)


def test_shade_takes_a_quarter_to_seven_tenths_of_the_light(bank: PictureBank) -> None:
    darkest = [standing_shade(np.random.default_rng(n), bank, (64, 64)).light.min() for n in range(12)]
    assert 255 * 0.29 < min(darkest) < 255 * 0.76


def test_a_glossy_floor_fades_away_from_the_foot() -> None:
    from fakes.video.scenes import composer

    def image(mirror: Mirror | None) -> np.ndarray:
        plain = composer(square(STILL, left=20, bottom=30))
        fields = {name: getattr(plain, name) for name in plain.__slots__}
        return np.asarray(type(plain)(**{**fields, "mirror": mirror}).at(0.0).canvas[..., 0], np.int64)

    clear = image(None)
    whole, fading = (abs(image(Mirror(0.5, None, fades)) - clear)[:, 27] for fades in (0.0, 0.5))
    below = np.flatnonzero(whole)
    below = below[below > 31]
    near, far = below[1], below[-2]
    assert fading[near] > 0.6 * whole[near]
    assert fading[far] == 0 < whole[far]


_ONE = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
