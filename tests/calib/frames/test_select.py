"""What makes two frames different, and which ones are chosen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from calib.frames.select import (
    NEAREST,
    colours,
    grey,
    motion,
    moving_share,
    near_duplicate_distance,
    reduced,
    select,
)

STREET = cv2.resize(np.random.default_rng(1).integers(40, 200, (12, 16, 3), dtype=np.uint8), (320, 240))


def with_person(x: int, *, level: int = 250) -> np.ndarray:
    """The street with a person of 8x20 pixels, 1/480 of the picture."""
    frame = STREET.copy()
    frame[100:120, x : x + 8] = level
    return frame


def noisy(frame: np.ndarray, seed: int, sigma: float = 3.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(colours(reduced(first)) - colours(reduced(second))))


def test_noise_is_a_near_duplicate_and_a_person_who_walked_on_is_not():
    assert distance(noisy(STREET, 0), noisy(STREET, 1)) < NEAREST < distance(with_person(50), with_person(90))


def test_a_change_of_light_outweighs_a_person():
    wall = np.full((240, 320, 3), 100, np.uint8)
    assert distance(wall, wall + 10) == pytest.approx(0.6, abs=0.1)
    assert distance(STREET, STREET + 10) > distance(STREET, with_person(90))


def test_motion_is_measured_against_the_past_and_not_in_noise():
    still, moved, again = (grey(reduced(noisy(with_person(x), seed))) for seed, x in enumerate((50, 90, 50)))
    assert moving_share(still, again) == 0
    assert 0.001 < moving_share(still, moved) < 0.02
    assert np.linalg.norm(motion(still, moved)) > 0.05


def test_a_noisy_camera_needs_a_larger_distance():
    assert near_duplicate_distance([]) == NEAREST
    assert near_duplicate_distance([0.01] * 20) == NEAREST
    assert near_duplicate_distance([0.2] * 50 + [0.9] * 50) == pytest.approx(0.25)


def points(*values: float) -> list[np.ndarray]:
    return [np.array([value], np.float32) for value in values]


def test_near_duplicates_are_left_out():
    assert len(select(points(*[1.0] * 20, *[2.0] * 20), [0] * 40, [0.1], 10, seed=0)) == 2


def test_the_rest_of_the_budget_goes_to_what_differs_most():
    values = [*np.linspace(0, 1, 50), 9.0, *np.linspace(1, 2, 49), -7.0]
    chosen = select(points(*values), [0] * 101, [0.0], 6, seed=0)
    assert {50, 100} <= set(chosen)


def test_half_of_the_budget_is_spread_over_time():
    values = np.random.default_rng(0).uniform(0, 1, 1000)
    chosen = np.asarray(select(points(*values), [0] * 1000, [0.0], 40, seed=0))
    per_tenth = np.histogram(chosen, bins=10, range=(0, 1000))[0]
    assert per_tenth.min() >= 2


def test_a_short_source_gets_as_much_of_the_time_as_a_long_one():
    generator = np.random.default_rng(0)
    values, groups = generator.uniform(0, 1, 1000), [0] * 900 + [1] * 100
    chosen = select(points(*values), groups, [0.0, 0.0], 40, seed=0)
    assert sum(groups[index] for index in chosen) >= 10


def test_every_source_is_held_to_its_own_noise():
    values, groups = [0.0, 0.2, 0.4, 10.0, 10.2, 10.4], [0, 0, 0, 1, 1, 1]
    chosen = select(points(*values), groups, [0.1, 1.0], 6, seed=0)
    assert sum(groups[index] == 0 for index in chosen) == 3
    assert sum(groups[index] == 1 for index in chosen) == 1


@pytest.mark.parametrize("budget", [1, 2, 7, 100])
def test_never_more_than_the_budget_and_nothing_twice(budget):
    values = np.random.default_rng(0).uniform(0, 1, 30)
    chosen = select(points(*values), [0] * 30, [0.0], budget, seed=0)
    assert len(chosen) == min(budget, 30) == len(set(chosen))
    assert chosen == sorted(chosen)


def test_equal_seeds_choose_equally_and_others_do_not():
    values = np.random.default_rng(0).uniform(0, 1, 300)
    first, again, other = (select(points(*values), [0] * 300, [0.0], 20, seed=seed) for seed in (3, 3, 4))
    assert first == again != other


def test_nothing_to_choose_from_is_nothing_chosen():
    assert select([], [], [], 5, seed=0) == []
