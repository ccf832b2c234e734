"""A few runs of the storm, the same each time; `python -m tests.edgebs.signal_storm` runs hundreds."""

import random

import pytest
from whole.signal_storm import prepared_world, storm_once

PATIENCE_S = 60
"""Against hangs. The storm itself allows 5 s, which a busy machine may need for a start."""
LENGTH_S = 5


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with prepared_world(tmp_path_factory.mktemp("world"), with_plans=True) as world:
        yield world


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        *(("video", 1), ("video", 2), ("video", 3), ("folder", 4), ("folder", 5), ("background", 6)),
        *(("several", 7), ("stalled", 8), ("stalled", 9), ("several-stalled", 10), ("together-stalled", 11)),
        ("calibrate", 12),
    ],
)
def test_whatever_signals_come_the_command_ends_and_what_it_claims_is_there(world, tmp_path, name, seed):
    outcome = storm_once(name, world, tmp_path / "out", LENGTH_S, random.Random(seed), PATIENCE_S)
    assert outcome.errors == [], f"{outcome.sent}\n{outcome.said}"
