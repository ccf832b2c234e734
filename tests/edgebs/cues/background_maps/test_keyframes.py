"""Which frames stand for a scene."""

from __future__ import annotations

import numpy as np

from edgebs.cues.background_maps import Keyframes
from edgebs.cues.clock import SceneClock
from edgebs.tensors import Frame

SIZE = (24, 32)


def frame(level: int) -> Frame:
    return np.full((*SIZE, 3), level, np.uint8)


def levels(references: Keyframes) -> list[int]:
    return [int(kept[0, 0, 0]) for kept in references.frames]


def test_at_first_every_frame_is_a_reference_and_the_oldest_makes_way() -> None:
    references = Keyframes(4, 10.0)
    assert [references.see(frame(level), level / 100) for level in range(5)] == [True] * 5
    assert levels(references) == [1, 2, 3, 4]


def test_later_a_stretch_of_time_gives_one_and_at_last_never_more_than_the_spacing() -> None:
    references = Keyframes(4, 10.0)
    times = [second / 2 for second in range(240)]
    joined = [now for now in times if references.see(frame(int(2 * now) % 250), now)]
    steps = np.diff(joined)
    assert (steps[:3] == 0.5).all()
    # A fourth of what was seen so far, until that is more than the spacing.
    assert all(step >= min(now / 4, 10.0) for now, step in zip(joined[1:], steps, strict=True))
    assert set(steps[-4:]) == {10.0}


def test_of_a_stretch_the_frame_with_least_motion_is_kept() -> None:
    references = Keyframes(2, 10.0)
    references.restore(np.stack([frame(1)]), 100.0)
    moving = [50, 90, 90, 30, 200]  # the third is like the one before it
    assert not any(references.see(frame(level), 100 + second) for second, level in enumerate(moving))
    assert references.see(frame(120), 110.0)
    assert levels(references) == [1, 90]


def test_fewer_frames_than_wanted_are_repeated_in_turn() -> None:
    references = Keyframes(5, 10.0)
    for level in (7, 9):
        references.see(frame(level), 0.0 if level == 7 else 0.04)
    assert references.stacked()[:, 0, 0, 0].tolist() == [7, 9, 7, 9, 7]
    assert references.stacked().shape == (5, *SIZE, 3)


def test_a_pause_is_no_time_and_a_small_step_back_a_correction() -> None:
    clock = SceneClock(25.0, 5.0)
    assert not any(clock.tick(seconds) for seconds in (100.0, 101.0, 1000.0, 999.5))
    assert clock.now_s == 1.0 + 5.0
    assert clock.tick(3.0)


def test_without_time_stamps_a_frame_takes_its_nominal_time() -> None:
    clock = SceneClock(25.0, 5.0)
    for _ in range(26):
        clock.tick(None)
    assert abs(clock.now_s - 1.0) < 1e-9
