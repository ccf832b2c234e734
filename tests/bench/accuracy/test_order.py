"""A sequence has the same score to the pixel, whatever was scored before it and beside it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.networks.cues import CUES, SIZE, scene, toy_pipeline

from bench.accuracy import Baseline, BundleContestant, Contestant, score_contestants
from bench.scored import Sequence, find_sequences
from bench.scored.sequence import Counts

LENGTHS = {"a": 230, "b": 260, "c": 190}
"""Frames. Of the first sequence so many that the second one's clock would be rounded otherwise."""

Scores = dict[str, dict[str, Counts]]
"""By contestant and sequence."""


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> list[Sequence]:
    """Three scenes, of whose last 30 frames some columns are foreground, they say."""
    root = tmp_path_factory.mktemp("scored")
    for seed, (name, count) in enumerate(LENGTHS.items()):
        for folder in ("input", "groundtruth"):
            (root / name / folder).mkdir(parents=True)
        truth = np.zeros(SIZE, np.uint8)
        truth[:, : 10 + 20 * seed] = 255
        for number, frame in enumerate(scene(count, seed), 1):
            write(root / name / f"input/in{number:06d}.bmp", frame)
            if number > count - 30:
                write(root / name / f"groundtruth/gt{number:06d}.png", truth)
    return find_sequences(root)


def write(path: Path, picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    assert cv2.imwrite(str(path), picture)


def counts(contestants: list[Contestant], sequences: list[Sequence]) -> Scores:
    scores = score_contestants(contestants, sequences)
    for contestant in contestants:
        contestant.close()
    return {name: {score.name: score.counts for score in row} for name, row in scores.items()}


def contestants(*names: str) -> list[Contestant]:
    return [
        Baseline(name) if name in ("mog2", "knn") else BundleContestant(name, toy_pipeline(name))
        for name in names
    ]


def test_sequences_in_any_order_and_beside_anybody_have_the_same_counts(sequences: list[Sequence]) -> None:
    kinds = ("edge", "mog2", "knn", "bmn-bsn", "cdn-medal", "hop-dis")
    expected: Scores = {name: {} for name in kinds}
    for name in kinds:
        for sequence in sequences:
            expected[name] |= counts(contestants(name), [sequence])[name]
    assert len({str(found) for row in expected.values() for found in row.values()}) == 3 * len(kinds)
    for order in (sequences, sequences[::-1], [*sequences[1:], sequences[0]]):
        assert counts(contestants(*kinds), order) == expected
    backwards = counts(contestants(*kinds[::-1]), sequences)
    assert backwards == expected
    assert set(kinds) < {*CUES, "mog2", "knn"}
