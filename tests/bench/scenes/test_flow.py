"""The flow of training scenes is exact."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes.video.scenes import SIZE, SPEED, box, composer, post, square, wall

from bench.scenes.bank import PictureBank
from bench.scenes.flow import flow_between
from bench.scenes.motion import timetable
from bench.scenes.scene import Mix, Scene


def test_an_empty_scene_before_a_steady_camera_does_not_move() -> None:
    flow, visible = flow_between(composer(), 0.0, 1.0)
    assert not flow.any()
    assert visible.all()
    assert flow.shape == (2, *SIZE)
    assert flow.dtype == np.float32


def test_a_square_moves_by_its_speed() -> None:
    scene = composer(square(timetable(SPEED, ()), left=20, bottom=40))
    flow, visible = flow_between(scene, 0.0, 5 / 25)
    inside = box(20, 40) == 255
    assert flow[0][inside] == pytest.approx(10.0, abs=1e-4)
    assert not flow[1][inside].any()
    assert visible[inside].all()
    assert not flow[:, ~inside].any()
    covered = (box(30, 40) == 255) & ~inside
    assert not visible[covered].any()
    assert visible[~inside & ~covered].all()


def test_what_leaves_or_goes_behind_a_post_is_not_visible() -> None:
    plate = wall()
    plate.occluders.append(post(60, 64, foot=60))
    scene = composer(
        square(timetable(SPEED, ()), 50 - 8, 40), square(timetable(SPEED, ()), 76, 60), plate=plate
    )
    flow, visible = flow_between(scene, 0.0, 4 / 25)
    assert not visible[30, 52:56].any()  # 8 pixels on: behind the post
    assert visible[30, 44:52].all()
    assert not visible[50, 88:92].any()  # 8 pixels on: outside
    assert flow[0, 50, 90] == pytest.approx(8.0, abs=1e-4)


@pytest.fixture(scope="module")
def bank() -> PictureBank:
    return PictureBank.open()


# Noise-free composing is compared, so that only interpolation is left.
@pytest.mark.parametrize("seed", range(8))
def test_warping_by_the_flow_gives_the_other_instant(bank: PictureBank, seed: int) -> None:
    mix = Mix(waving=1.0, shadows=0, contact=0, reflections=0, blur=0, interlaced=0, stutter=0)
    scene = Scene((seed, 77), (128, 128), bank, mix)
    first, second = 2.0, 2.0 + 3 / scene.fps
    flow, visible = scene.flow(first, second)
    before, after = (scene._composer.at(seconds).canvas[..., :3] for seconds in (first, second))
    columns, rows = np.meshgrid(np.arange(128, dtype=np.float32), np.arange(128, dtype=np.float32))
    back = cv2.remap(after, columns + flow[0], rows + flow[1], cv2.INTER_LINEAR)
    off = cv2.absdiff(back, before).max(axis=2)[visible]
    assert visible.mean() > 0.5
    assert np.median(off) <= 3
    assert np.mean(off) < 6


def test_flow_refuses_a_time_outside_the_scene(bank: PictureBank) -> None:
    with pytest.raises(ValueError, match="-60 to 6"):
        Scene(0, (64, 64), bank).flow(0.0, 7.0)
