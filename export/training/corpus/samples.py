"""Samples of a corpus, changed a little at each use; it pickles and imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from edgebs.bundle.manifest import CueSettings
from edgebs.cues.camera_shift import moved
from edgebs.errors import SourceError
from edgebs.tensors import Array, Frame
from export.training.corpus import FACTS, RUN, SHARD_CLIPS, Shard, flow_of, open_shard, read_facts, shards_in
from export.training.stream.workers import Sample

RECOLOURED, FADED, GREY, MISPLACED, RELIT, LEAKING = 0.5, 0.06, 0.15, 0.25, 0.2, 0.4
"""Shares of the draws that have other colours, little contrast as in fog, no colours, a camera whose motion
was not taken out whole, another light than the background, and flow where nothing moves."""
LEAK_PX, MOST_LEAK_PX = 0.6, 2.5
"""Mean and largest flow over the shortest interval where nothing moves: smooth walls, noise, gleams. Without
it a network learns that a weak flow alone shows who has stood there from the first frame on."""
LEAK_CELLS = 6
"""Regions that leak, along each side."""
FARTHEST_PX = 5.0
SAMPLES_OF_CLIP = 2
"""One of each run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusClips:
    """One frame of each run of a clip; every clip once before any is seen again."""

    folders: tuple[Path, ...]
    shards: tuple[int, ...]
    """Shards of each folder that are read: a corpus may grow meanwhile."""
    cue: CueSettings
    augment: bool = True

    def __call__(self, seed: int, index: int) -> list[Sample]:
        files = _files(self.folders, self.shards)
        epoch, place = divmod(index, len(files) * SHARD_CLIPS)
        number = int(_order(seed, epoch, len(files) * SHARD_CLIPS)[place])
        rng = np.random.default_rng((seed, index, 0xA06))
        look = Look(rng) if self.augment else None
        shard, clip = open_shard(files[number // SHARD_CLIPS]), number % SHARD_CLIPS
        places = [int(rng.integers(RUN)), RUN + int(rng.integers(RUN))]
        return [sample_of(shard, clip, place, self.cue, look) for place in places]


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> Array:
    return np.random.default_rng((seed, epoch, 0xE90C)).permutation(count)


@lru_cache(maxsize=4)
def _files(folders: tuple[Path, ...], shards: tuple[int, ...]) -> tuple[Path, ...]:
    return tuple(
        file for folder, count in zip(folders, shards, strict=True) for file in shards_in(folder)[:count]
    )


def corpus_clips(folders: tuple[Path, ...], cue: CueSettings, size: tuple[int, int]) -> CorpusClips:
    """What is in these corpora now. Raises SourceError for none, an empty one, another cue or another
    size."""
    for folder in folders:
        facts = read_facts(folder)
        stored = CueSettings.from_json(facts["cue"])
        if tuple(facts["size"]) != size:
            raise SourceError(
                f"{folder} has frames of {facts['size'][1]}x{facts['size'][0]}, and the training is for "
                f"{size[1]}x{size[0]}: correct --size, or render another corpus."
            )
        for name in ("kind", "intervals", "max_magnitude", "nominal_fps", "preset"):
            if getattr(stored, name) != getattr(cue, name):
                raise SourceError(
                    f"{folder} was rendered for {name} {getattr(stored, name)}, and the model has "
                    f"{getattr(cue, name)}: render another corpus."
                )
        if not shards_in(folder):
            raise SourceError(
                f"{folder} holds no clip yet: python -m export.training.corpus {folder} renders them."
            )
    return CorpusClips(folders=folders, shards=tuple(len(shards_in(folder)) for folder in folders), cue=cue)


def sample_of(shard: Shard, clip: int, place: int, cue: CueSettings, look: Look | None) -> Sample:
    """The frame, cue (11, h, w) float16 and labels of a clip's frame number `place`.

    cue: whether the background holds pixels is its `hold`. look: what is changed.
    """
    facts = dict(zip(FACTS, shard.facts[clip, place].tolist(), strict=True))
    state, shift = int(facts["state"]), (facts["right"], facts["down"])
    frame, labels, code = (shard.picture(clip, name, place) for name in ("frame", "labels", "flow"))
    median = shard.picture(clip, "held" if cue.hold else "plain", state)
    older = shard.picture(clip, "older", state)
    spread = cv2.extractChannel(shard.picture(clip, "spread", state), 0 if cue.hold else 1)
    if look is not None:
        frame = look.seen(frame)
        median, older = look.coloured(median), look.coloured(older)
        spread = look.contrasted(spread)
    median, older, spread = moved(median, shift, frame), moved(older, shift, frame), moved(spread, shift)
    if look is not None:
        median, older, spread = look.past(median), look.past(older), look.misplaced(spread)
    planes = np.empty((11, *labels.shape), np.float16)
    flow = flow_of(code, cue.max_magnitude)
    planes[:3] = flow if look is None else look.leaking(flow)
    planes[3:6], planes[8:] = median.transpose(2, 0, 1), older.transpose(2, 0, 1)
    planes[6], planes[7] = spread, facts["age"]
    if look is not None and look.is_mirrored:
        frame, planes, labels = frame[:, ::-1], planes[..., ::-1], labels[:, ::-1]
    return frame, planes, labels


class Look:
    """Another camera for a clip: colours change alike in the frame and in all that it is compared with."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Choose everything."""
        self.is_mirrored = bool(rng.random() < 0.5)
        self._is_grey = bool(rng.random() < GREY)
        self._gain = 1.0
        self._table: Array | None = None
        if rng.random() < RECOLOURED:
            gain = rng.uniform(0.5, 1.3) * (1 + rng.uniform(-0.15, 0.15, 3))
            lift = rng.uniform(-25, 25) + rng.uniform(-10, 10, 3)
            levels = np.rint(np.arange(256)[:, None] * gain + lift)
            self._table = np.clip(levels, 0, 255).astype(np.uint8)[:, None, :]
            self._gain = float(gain.mean())
        self._noise: Array | None = None
        if rng.random() < FADED:
            self._fade(rng)
        self._off = _misplacement(rng) if rng.random() < MISPLACED else None
        self._light = float(rng.uniform(0.9, 1.1)) if rng.random() < RELIT else 1.0
        self._leak = leak(rng) if rng.random() < LEAKING else None

    def _fade(self, rng: np.random.Generator) -> None:
        """Little contrast somewhere between black and white, below the noise of a sensor."""
        self._gain = math.exp(rng.uniform(math.log(0.3), math.log(0.7)))
        low = rng.uniform(0, 255 * (1 - self._gain))
        levels = np.rint(np.arange(256) * self._gain + low)
        self._table = np.repeat(levels.astype(np.uint8)[:, None, None], 3, axis=2)
        self._noise = rng.normal(0, rng.uniform(0.3, 1.5), (256, 256)).astype(np.float32)

    def seen(self, picture: Frame) -> Frame:
        """(h, w, 3) of the frame itself: `coloured`, with noise that a background has no more."""
        picture = self.coloured(picture)
        if self._noise is None:
            return picture
        noise = np.resize(self._noise, picture.shape[:2])
        return np.asarray(np.clip(np.rint(picture + noise[..., None]), 0, 255), np.uint8)

    def leaking(self, flow: Array) -> Array:
        """(3, h, w) magnitudes in pixels, with flow where nothing moves."""
        if self._leak is None:
            return flow
        size = flow.shape[2:0:-1]
        return np.stack(
            [
                np.maximum(plane, cv2.resize(cells, size, interpolation=cv2.INTER_CUBIC))
                for plane, cells in zip(flow, self._leak, strict=True)
            ]
        )

    def coloured(self, picture: Frame) -> Frame:
        """(h, w, 3) in the camera's colours."""
        if self._table is not None:
            picture = np.asarray(cv2.LUT(picture, self._table), np.uint8)
        if self._is_grey:
            grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
        return picture

    def contrasted(self, spread: Frame) -> Frame:
        """(h, w) of differences between colours."""
        return np.asarray(cv2.convertScaleAbs(spread, alpha=self._gain), np.uint8)

    def past(self, background: Frame) -> Frame:
        """(h, w, 3) of a background, with what the cue did not take out."""
        return np.asarray(cv2.convertScaleAbs(self.misplaced(background), alpha=self._light), np.uint8)

    def misplaced(self, picture: Frame) -> Frame:
        """Where the camera was thought to look."""
        if self._off is None:
            return picture
        border = cv2.BORDER_REPLICATE
        return np.asarray(cv2.warpAffine(picture, self._off, picture.shape[1::-1], borderMode=border))


def leak(rng: np.random.Generator) -> Array:
    """(3, LEAK_CELLS, LEAK_CELLS) float32: pixels of flow where nothing moves, more over longer intervals."""
    far = min(float(rng.exponential(LEAK_PX)), MOST_LEAK_PX)
    cells = np.maximum(rng.normal(0, 1, (LEAK_CELLS, LEAK_CELLS)), 0) * far
    growth = np.cumprod([1.0, rng.uniform(1, 2), rng.uniform(1, 2)])
    return np.asarray(cells * growth[:, None, None], np.float32)


def _misplacement(rng: np.random.Generator) -> Array:
    """(2, 3): mostly a pixel, and some tenths of a percent of zoom."""
    far = min(float(rng.exponential(1.0)), FARTHEST_PX)
    angle, zoom = rng.uniform(0, 2 * math.pi), 1 + rng.normal(0, 0.006)
    # Of a picture of 256 pixels the zoom leaves the middle where it is.
    return np.array(
        [
            [zoom, 0, far * math.cos(angle) + 128 * (1 - zoom)],
            [0, zoom, far * math.sin(angle) + 128 * (1 - zoom)],
        ]
    )
