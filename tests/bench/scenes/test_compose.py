"""The labels of training scenes agree with what can be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.video.scenes import SIZE, SPEED, STILL, box, composer, post, square, wall

from bench.scenes.air.shadow import Shadow
from bench.scenes.motion import FOREVER, timetable


@pytest.mark.parametrize("frame", [0, 3, 11, 30, 46])
def test_a_passing_square_is_labelled_where_it_is(frame: int) -> None:
    scene = composer(square(timetable(SPEED, ()), left=0, bottom=40))
    labels = scene.at(frame / 25).labels
    assert np.array_equal(labels, box(2 * frame, 40))


def test_half_a_pixel_of_coverage_is_the_border() -> None:
    scene = composer(square(timetable(SPEED, ()), left=10, bottom=40))
    assert np.array_equal(scene.at(0.4 / SPEED).labels, box(10, 40))
    assert np.array_equal(scene.at(0.6 / SPEED).labels, box(11, 40))


def test_what_stops_stays_foreground() -> None:
    scene = composer(square(timetable(SPEED, [(-30.0, 2.0)]), left=40, bottom=40))
    for seconds in (-29.0, 0.0, 1.9):
        assert np.array_equal(scene.at(seconds).labels, box(40, 40))
    assert np.array_equal(scene.at(2.2).labels, box(50, 40))


def test_what_was_parked_is_background_until_it_drives_off_and_leaves_nothing() -> None:
    car = square(timetable(SPEED, [(-FOREVER / 2, 1.0)]), left=40, bottom=40)
    car.foreground_from = 1.0
    scene = composer(car)
    before, after = scene.at(0.5), scene.at(1.2)
    assert not before.labels.any()
    assert np.array_equal(before.canvas[..., :3], before.ground[..., :3])
    assert before.ground[35, 45, 0] == 230
    assert np.array_equal(after.labels, box(50, 40))
    assert np.all(after.ground[..., :3] == 128)


def test_luggage_stays_foreground_where_it_was_left() -> None:
    owner = square(timetable(SPEED, [(0.0, 1.0)]), left=40, bottom=40, tone=60)
    luggage = square(STILL, left=0, bottom=0)
    luggage.metre, luggage.carried, luggage.offset = 1.0, (owner, -FOREVER, 0.5), (1.25, 0.0)
    scene = composer(owner, luggage)
    labels = scene.at(2.6).labels  # the owner has gone on by 80 pixels: out of the picture
    assert labels[35, 62:74].min() == 255
    assert not labels[:, :58].any()


def test_a_post_in_front_is_cut_out_of_the_object() -> None:
    plate = wall()
    plate.occluders.append(post(44, 48, foot=60))
    seen = composer(square(STILL, left=40, bottom=40), plate=plate).at(0.0)
    wanted = box(40, 40)
    wanted[:, 44:48] = 0
    assert np.array_equal(seen.labels, wanted)
    assert np.all(seen.canvas[30, 44:48, :3] == 128)


def test_a_post_behind_hides_nothing() -> None:
    plate = wall()
    plate.occluders.append(post(44, 48, foot=20))
    assert np.array_equal(composer(square(STILL, 40, 40), plate=plate).at(0.0).labels, box(40, 40))


def test_a_parked_car_hides_who_walks_behind_it() -> None:
    car = square(STILL, left=44, bottom=50)
    car.foreground_from = FOREVER
    labels = composer(square(STILL, left=40, bottom=40, tone=60), car).at(0.0).labels
    wanted = box(40, 40)
    wanted[35:51, 44:60] = 0
    assert np.array_equal(labels, wanted)


def test_a_shadow_is_labelled_50_and_darkens_by_its_strength() -> None:
    light = np.rint(255 - np.arange(256) * 0.5).astype(np.uint8)
    shadow = Shadow(1.5, 0.0, 0, is_cast=True, contact=0.0, light=light, seen_from=60)
    plain = composer(square(STILL, left=20, bottom=40))
    fields = {name: getattr(plain, name) for name in plain.__slots__}
    scene = type(plain)(**{**fields, "shadow": shadow}).at(0.0)
    assert set(np.unique(scene.labels)) == {0, 50, 255}
    assert np.array_equal(scene.labels == 255, box(20, 40) == 255)
    darkest = scene.canvas[..., 0][scene.labels == 50].min()
    assert darkest == pytest.approx(64, abs=2)
    assert np.all(scene.ground[..., :3] == 128)


def test_only_a_smeared_border_is_unknown() -> None:
    plain = composer(square(timetable(100.0, ()), left=20, bottom=40))
    fields = {name: getattr(plain, name) for name in plain.__slots__}
    labels = type(plain)(**{**fields, "exposure_s": 0.04}).at(0.0).labels
    assert not (plain.at(0.0).labels == 170).any()
    columns = np.flatnonzero((labels == 170).any(axis=0))
    assert 2 <= len(columns) <= 8
    assert np.abs(columns - 27.5).min() > 4  # at both ends, not in the middle
    assert labels.shape == SIZE
