"""Flying shapes: their flow leads from each point that is visible to the same point."""

from __future__ import annotations

import cv2
import numpy as np

from bench.scenes.pairs import flying_pair

SIZE = (64, 80)


def pairs(count: int = 20):
    return [flying_pair(np.random.default_rng(seed), SIZE) for seed in range(count)]


def test_the_flow_brings_the_second_frame_onto_the_first() -> None:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    still, carried = [], []
    for pair in pairs():
        warped = cv2.remap(pair.past, columns + pair.flow[0], rows + pair.flow[1], cv2.INTER_LINEAR)
        moving = pair.visible & (np.hypot(*pair.flow) > 2)
        if moving.any():
            still.append(np.abs(pair.past.astype(int) - pair.frame)[moving].mean())
            carried.append(np.abs(warped.astype(int) - pair.frame)[moving].mean())
    # Noise and light differ, the texture does not.
    assert len(still) > 10
    assert np.mean(carried) < 0.6 * np.mean(still)


def test_most_can_be_seen_in_both_frames_and_much_of_it_moves() -> None:
    made = pairs()
    assert 0.75 < np.mean([pair.visible.mean() for pair in made]) < 1
    assert np.mean([(np.hypot(*pair.flow) > 0.5).mean() for pair in made]) > 0.3


def test_a_seed_gives_the_same_pair_again() -> None:
    first, second = (flying_pair(np.random.default_rng(3), SIZE) for _ in range(2))
    for name in ("frame", "past", "flow", "visible"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert (first.frame.dtype, first.flow.dtype, first.visible.dtype) == (np.uint8, np.float32, bool)
    assert first.flow.shape == (2, *SIZE)
