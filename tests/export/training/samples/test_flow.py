"""Pairs of frames: what lies between them, and changes that keep it true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from bench.scenes.pairs import flow_pairs
from export.training.samples.flow import turned_and_tinted

SIZE = (20, 24)


@dataclass
class Shot:
    image: np.ndarray


class PanningScene:
    """A picture that moves by two pixels right and one down each second."""

    def __init__(self, fps: float) -> None:
        self.fps = fps

    def frame(self, seconds: float) -> Shot:
        return Shot(np.full((*SIZE, 3), int(abs(seconds) * 10) % 256, np.uint8))

    def flow(self, first: float, second: float):
        flow = np.zeros((2, *SIZE), np.float32)
        flow[0], flow[1] = 2 * (second - first), second - first
        return flow, np.ones(SIZE, bool)


@pytest.mark.parametrize(("fps", "seconds"), [(25.0, (0.04, 0.2, 0.4)), (5.0, (0.2, 0.2, 0.4))])
def test_a_slow_camera_has_no_gap_shorter_than_its_own_frame(fps: float, seconds: tuple[float, ...]) -> None:
    pairs = flow_pairs(PanningScene(fps), np.random.default_rng(0), (1, 5, 10))
    assert [pair.gap for pair in pairs] == [1, 5, 10] * 2
    for pair, between in zip(pairs, seconds * 2, strict=True):
        # From the present to the past: against the motion.
        assert pair.flow[0, 0, 0] == pytest.approx(-2 * between, abs=1e-5)


def shifted_sample(right: int, down: int, size: tuple[int, int]):
    """A random picture and its past, of which it lies (right, down) pixels off, with the flow back."""
    noise = np.random.default_rng(1).integers(30, 200, (size[0] + 8, size[1] + 8, 3)).astype(np.uint8)
    past = noise[4 : 4 + size[0], 4 : 4 + size[1]]
    frame = noise[4 - down : 4 - down + size[0], 4 - right : 4 - right + size[1]]
    flow = np.zeros((2, *size), np.float16)
    flow[0], flow[1] = -right, -down
    return np.concatenate([frame, past], axis=2), flow, np.ones(size, np.uint8)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("size", [(16, 16), (12, 20)])
def test_what_is_turned_and_tinted_still_moves_by_its_flow(seed: int, size: tuple[int, int]) -> None:
    frames, flow, visible = turned_and_tinted(shifted_sample(2, 1, size), np.random.default_rng(seed))
    right, down = (int(v) for v in flow[:, 0, 0])
    assert sorted((abs(right), abs(down))) == [1, 2]
    assert flow.shape[1:] == visible.shape == frames.shape[:2]
    height, width = visible.shape
    rows, columns = np.mgrid[3 : height - 3, 3 : width - 3]
    frame, past = frames[..., :3].astype(int), frames[..., 3:].astype(int)
    assert np.array_equal(frame[rows, columns], past[rows + down, columns + right])


def test_pictures_that_are_not_square_are_not_transposed() -> None:
    shapes = {
        turned_and_tinted(shifted_sample(2, 1, (12, 20)), np.random.default_rng(seed))[0].shape
        for seed in range(12)
    }
    assert shapes == {(12, 20, 6)}
