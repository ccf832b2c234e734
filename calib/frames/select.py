"""Which frames of a video calibrate: spread over time first, then the ones least like those chosen so far."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from edgebs.image import network_frame
from edgebs.tensors import Frame

Floats = npt.NDArray[np.float32]
Grey = npt.NDArray[np.uint8]

THUMBNAIL = (16, 16)
"""(height, width) of the colour thumbnail in which two frames are compared."""
REDUCED = (72, 96)
"""(height, width) of the picture in which motion is measured: a person far away still covers a pixel."""
MOTION_EDGES = (0, 6, 12, 24, 48, 96, 256)
"""Bins of the grey difference. The first holds what noise and compression do to a still scene."""
STILL_SHARE = 0.0005
"""Where less of the picture than this has changed, nothing moves (four pixels of 72x96)."""
NEAREST = 0.06
"""Frames closer than this are near-duplicates, however little noise there is: an empty road lies 0.04 from
itself half a second later (the codec), 0.08 from itself with a far-off car."""
NOISE_FACTOR = 1.25
"""... and so are frames not further apart than this many times the noise of their source."""


def reduced(frame: Frame) -> Frame:
    """(72, 96, 3) uint8: all that is kept of a frame; averaged, so that noise is not motion."""
    return network_frame(frame, REDUCED)


def grey(small: Frame) -> Grey:
    """(72, 96) uint8: what motion is measured in. small: from `reduced`."""
    converted: Grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    return converted


def moving_share(present: Grey, past: Grey) -> float:
    """Share of the picture, in [0, 1], that differs from the past by more than noise does."""
    return float((cv2.absdiff(present, past) >= MOTION_EDGES[2]).mean())


def colours(small: Frame) -> Floats:
    """(768,) float32: a 16x16 Lab thumbnail. Light that changes by 10 grey levels is a distance of 0.6.

    small: from `reduced`.
    """
    # In floats: rounding to 8 bits at 16x16 would itself be a distance of 0.06.
    values = small.astype(np.float32) / 255
    thumbnail = cv2.resize(values, (THUMBNAIL[1], THUMBNAIL[0]), interpolation=cv2.INTER_AREA)
    lab: Floats = cv2.cvtColor(thumbnail, cv2.COLOR_BGR2LAB).ravel() / 100
    return lab


def motion(present: Grey, past: Grey) -> Floats:
    """(5,) float32: shares of the picture that changed a little, more, much. 1 % moving is a distance of 0.1.

    Square roots: 1 % and 2 % moving are further apart than 51 % and 52 %.
    """
    counts, _ = np.histogram(cv2.absdiff(present, past), bins=MOTION_EDGES)
    return np.sqrt(counts[1:] / present.size).astype(np.float32)  # the first bin says only 1 - the others


def near_duplicate_distance(steps: Sequence[float]) -> float:
    """The distance up to which two frames of a source count as the same picture.

    steps: distances between the `colours` of consecutive frames. In the calmest of them nothing moves, so
    they tell the noise: 0.01 on a clean clip, 0.19 on an analogue camera whose picture stands still.
    """
    return max(NEAREST, NOISE_FACTOR * float(np.percentile(steps, 5))) if len(steps) else NEAREST


def select(
    descriptors: Sequence[Floats], groups: Sequence[int], limits: Sequence[float], budget: int, *, seed: int
) -> list[int]:
    """Indices, ascending, of at most `budget` descriptors, no two of them near-duplicates.

    groups: the source of each candidate, from 0; candidates of one source come in order of time.
    limits: per source, its `near_duplicate_distance`.
    The first half of the budget is spread evenly over the time of every source alike; the rest goes to what
    differs most from all that is chosen (farthest-point selection). Fewer come back when nothing is left.
    """
    if not descriptors:
        return []
    table = np.stack(descriptors)
    of_source = np.asarray(groups)
    # Distance to the nearest chosen one, beyond what is a near-duplicate.
    novelty = np.full(len(table), np.inf)
    limit = np.asarray(limits)[of_source]
    chosen: list[int] = []

    def choose(index: int) -> None:
        chosen.append(index)
        distance = np.linalg.norm(table - table[index], axis=1)
        np.minimum(novelty, distance - limit, out=novelty)
        novelty[index] = -np.inf

    for index in _spread(of_source, max(budget // 2, 1), seed):
        if len(chosen) < budget and novelty[index] > 0:
            choose(index)
    while len(chosen) < budget and novelty.max() > 0:
        choose(int(novelty.argmax()))
    return sorted(chosen)


def _spread(groups: npt.NDArray[np.int64], count: int, seed: int) -> list[int]:
    """`count` candidates, or less, each at random in its stretch of time, equally many of every source.

    At random, so that a scene that repeats (a traffic light) is not always met in the same phase.
    """
    generator = np.random.default_rng(seed)
    sources = np.unique(groups)
    picks: list[int] = []
    for place, source in enumerate(sources):
        members = np.flatnonzero(groups == source)
        share = count // len(sources) + (place < count % len(sources))
        bounds = np.linspace(0, len(members), min(share, len(members)) + 1).astype(int)
        picks += [int(members[generator.integers(a, b)]) for a, b in pairwise(bounds)]
    return picks
