"""Labels that say what somebody can know who began to watch at some time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.video.scenes import SPEED, STILL, box, composer, square

from bench.scenes.compose import UNKNOWN
from bench.scenes.motion import FOREVER, timetable
from bench.scenes.mover import Evidence


def test_what_moves_is_foreground_at_once() -> None:
    scene = composer(square(timetable(SPEED, ()), left=0, bottom=40))
    assert np.array_equal(scene.at(0.4, since=0.0).labels, box(20, 40))


def test_a_thing_that_never_moved_is_scenery_to_the_watcher_and_foreground_in_truth() -> None:
    thing = square(timetable(SPEED, [(-30.0, 2.0)]), left=40, bottom=40)
    scene = composer(thing)
    assert not scene.at(1.0, since=-5.0).labels.any()
    assert np.array_equal(scene.at(1.0).labels, box(40, 40))
    # It drives off: now everybody can see it.
    assert np.array_equal(scene.at(2.2, since=-5.0).labels, box(50, 40))


def test_a_person_who_never_moved_is_unknown() -> None:
    person = square(timetable(SPEED, [(-30.0, 2.0)]), left=40, bottom=40)
    person.actor = replace(person.actor, kind="person")
    labels = composer(person).at(1.0, since=-5.0).labels
    assert np.array_equal(labels, np.where(box(40, 40) == 255, UNKNOWN, 0))


@pytest.mark.parametrize(
    ("since", "expected"),
    [(-31.0, Evidence.FAINT), (-35.0, Evidence.FAINT), (-44.0, Evidence.CLEAR), (-29.0, Evidence.NONE)],
)
def test_who_stood_for_three_quarters_of_the_time_is_forgotten(since: float, expected: Evidence) -> None:
    thing = square(timetable(SPEED, [(-30.0, FOREVER / 2)]), left=40, bottom=40)
    assert thing.evidence(0.0, since) is expected


def test_who_came_in_while_somebody_watched_is_known_even_where_the_ways_ends_meet() -> None:
    thing = square(timetable(SPEED, ()), left=0, bottom=40)
    thing.window = (0.0, 5.0)
    assert thing.evidence(1.0, -3.0) is Evidence.CLEAR


def test_luggage_rests_from_when_it_was_put_down() -> None:
    owner = square(timetable(SPEED, [(0.0, 1.0)]), left=40, bottom=40)
    luggage = square(STILL, left=0, bottom=0)
    luggage.carried = (owner, -FOREVER, 0.5)
    assert luggage.still_since(-0.3) == -0.3
    assert luggage.still_since(4.0) == 0.0
    luggage.carried = (owner, 1.0, FOREVER)
    assert luggage.still_since(0.9) == -FOREVER
