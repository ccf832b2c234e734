"""Samples of a segmentation network: rendered scenes with the cue that the runtime computes.

A sequence is watched as a camera would watch it: a past of up to three minutes, of which only the frames that
the backgrounds keep are rendered, then a second or two of consecutive frames, some of which become samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from bench.scenes.compose import FOREGROUND, SHADOW, UNKNOWN
from bench.scenes.mix import Mix
from bench.scenes.scene import PictureBank, Scene
from edgebs.bundle.manifest import CueSettings
from edgebs.cues import open_cue
from edgebs.cues.background import OLDER_SAMPLES, SAMPLES, WINDOW_S, follows_far
from edgebs.cues.clock import is_reached
from edgebs.cues.cue import Cue
from edgebs.cues.held import HearsForeground
from edgebs.tensors import Array, Frame

CERTAIN = 0.95
"""The probability of what a mask shows."""


# A background that holds the pixels of a mask must be trained with such masks: with true ones it would be
# better than it ever is at run time.
class FaultyMasks:
    """The masks of one clip."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], blind: float) -> None:
        """size: (h, w). blind: share of the clips that never have a mask."""
        self._rng, self._size = rng, size
        self._is_blind = bool(rng.random() < blind)
        self._missing = self._regions(rng.uniform(0, 0.5) if rng.random() < 0.6 else 0.0)
        self._false = self._regions(rng.uniform(0, 0.06) if rng.random() < 0.4 else 0.0)
        self._grown_px = int(rng.integers(-2, 4))
        self._has_shadows = bool(rng.random() < 0.3)
        self._has_unknown = bool(rng.random() < 0.5)
        self._blank_share = rng.uniform(0, 0.3)

    def probability(self, labels: Frame) -> Array:
        """(h, w) float32 for a frame of these CDnet labels."""
        return np.asarray(self._mask(labels) * np.float32(CERTAIN), np.float32)

    def _mask(self, labels: Frame) -> Array:
        if self._is_blind or self._rng.random() < self._blank_share:
            return np.zeros(self._size, np.bool_)
        mask = labels == FOREGROUND
        if self._has_shadows:
            mask |= labels == SHADOW
        if self._has_unknown:
            mask |= labels == UNKNOWN
        if self._grown_px:
            kernel = np.ones((2 * abs(self._grown_px) + 1,) * 2, np.uint8)
            change = cv2.dilate if self._grown_px > 0 else cv2.erode
            mask = np.asarray(change(mask.astype(np.uint8), kernel)) > 0
        if self._missing is not None:
            mask &= ~self._missing
        if self._false is not None:
            mask |= self._false
        return np.asarray(mask)

    def _regions(self, share: float) -> Array | None:
        """(h, w) bool: smooth regions of that share of the picture; None of none."""
        if share <= 0:
            return None
        cells = int(self._rng.integers(4, 24))
        coarse = self._rng.standard_normal((cells, cells)).astype(np.float32)
        field = np.asarray(cv2.resize(coarse, self._size[::-1], interpolation=cv2.INTER_CUBIC))
        return np.asarray(field > np.quantile(field, 1 - share))


WHITE = 250
"""Grey level of the darkest channel from which a pixel counts as overexposed."""


COLD_SHARE = 0.25
"""Share of the sequences that start without a past, as after power-up."""


COLD_SAMPLES = (1, 3, 6, 10, 15, 21)
"""Frames of a cold start that become samples."""


WARM_SAMPLES = (11, 14, 17, 20, 23, 26)
"""Frames of a watched scene that become samples: the longest interval lies before the first."""


STAYING = Mix(empty=0.0, standing=0.6, abandoned=0.3)
"""What occurs in sequences that show who comes to stay."""


SHORTEST_PAST_S = 0.5


SCENE_PAST_S = 60.0
"""Length of the past that a rendered scene has before its start."""


BLIND_SHARE = 0.3
"""Share of the sequences without masks of past frames, whose backgrounds hold no pixel."""


HELD_NEWEST = 3 * SAMPLES
"""Samples that a background which holds pixels is shown. What is held brings the median's value, so a sample
depends on those before it; three times as many as the median is taken of leave nothing of the earliest."""


COUNTED_SHARE = 0.5
"""Share of the cameras with an unusual frame rate that are read without time stamps, as files often are."""


Show = Callable[[Frame, Frame, float], None]
"""Takes a frame of the past, its labels and its time."""


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One frame, its cue and its truth, at network size."""

    frame: Frame
    cue: Array
    """(K, h, w) float16; or (3 R, h, w) uint8, the planes of R frames that a network makes the cue of."""
    labels: Frame
    """(h, w) uint8, CDnet's labels."""


def sequence_samples(
    settings: CueSettings,
    seed: int,
    index: int,
    size: tuple[int, int],
    bank: PictureBank,
    overexposed: float = 0.3,
    cue: Cue | None = None,
    settled: float = 0.0,
) -> list[TrainingSample]:
    """Sequence `index` of a seed, as samples; the same arguments give the same samples in any process.

    size: (h, w). overexposed: share of the sequences with too much light: real cameras make bright ground
    white, where flow has nothing to hold on to and leaks out of what passes by. cue: what sees the sequence,
    its history forgotten; None for one of `settings`. settled: share of the sequences that hold more who
    stay, and are watched from little before one of them comes.
    """
    if settings.traits.reads_keyframes:
        return reference_samples(settings, seed, index, size, bank, overexposed)
    rng = np.random.default_rng((seed, index, 0x5EE))
    # Random numbers of its own: without such sequences the others are what they always were.
    is_settled = np.random.default_rng((seed, index, 0x57A7)).random() < settled
    scene = exposed_scene(seed, index, size, bank, overexposed, STAYING if is_settled else None)
    if cue is None:
        seeing = open_cue(settings, size, None)
    else:
        seeing = cue
        cue.reset()
    # A file without time stamps is read as if it had the nominal rate: its seconds are shorter or longer.
    rate = scene.fps / settings.nominal_fps if rng.random() < COUNTED_SHARE else 1.0
    is_cold = bool(rng.random() < COLD_SHARE) and not is_settled
    masks = FaultyMasks(np.random.default_rng((seed, index, 0x3A5C)), size, BLIND_SHARE)
    hearing = seeing if isinstance(seeing, HearsForeground) and seeing.is_hearing else None

    def pass_mask(labels: Frame) -> None:
        if hearing is not None:
            hearing.hear(masks.probability(labels))

    def show(image: Frame, labels: Frame, captured_s: float) -> None:
        pass_mask(labels)
        seeing.remember(image, captured_s)

    since = 0.0
    if not is_cold:
        past_s = math.exp(rng.uniform(math.log(SHORTEST_PAST_S), math.log(WINDOW_S)))
        past_s = (past_of_a_stay(rng, scene, rate) if is_settled else None) or past_s
        since = watch(scene, show, past_s, rate, SAMPLES if hearing is None else HELD_NEWEST)
    wanted = COLD_SAMPLES if is_cold else WARM_SAMPLES
    samples = []
    for t in range(wanted[-1] + 1):
        seconds = t / scene.fps
        image, labels = scene.frame(seconds, since)
        if t not in wanted:
            show(image, labels, seconds * rate)
            continue
        pass_mask(labels)
        output = seeing.update(image, seconds * rate)
        samples.append(TrainingSample(image, output.tensors["cue"][0].astype(np.float16), labels))
    if cue is None:
        seeing.close()
    return samples


def past_of_a_stay(rng: np.random.Generator, scene: Watched, rate: float) -> float | None:
    """Seconds of a watch in which an object stays for a fifth to nine tenths; None where none stays."""
    came = scene.came_to_stay()
    if not came:
        return None
    stayed_s = -came[int(rng.integers(0, len(came)))] * rate
    past_s = stayed_s / rng.uniform(0.2, 0.9)
    return float(np.clip(past_s, SHORTEST_PAST_S, min(SCENE_PAST_S * rate, WINDOW_S)))


def exposed_scene(
    seed: int,
    index: int,
    size: tuple[int, int],
    bank: PictureBank,
    overexposed: float,
    mix: Mix | None = None,
) -> Watched:
    """The scene of a sequence, see `sequence_samples`."""
    rendered = Scene(seed=(seed, index), size=size, bank=bank, mix=mix)
    return Watched(rendered, _exposure(seed, index, overexposed))


class Watched:
    """A scene through a camera with its own exposure."""

    def __init__(self, scene: Scene, table: Array | None) -> None:
        """table: (256,) uint8, grey level to grey level, or None."""
        self._scene, self._table = scene, table
        self.fps = scene.fps
        self.came_to_stay = scene.came_to_stay

    def frame(self, seconds: float, since: float | None = None) -> tuple[Frame, Frame]:
        """Image and labels."""
        rendered = self._scene.frame(seconds, since)
        if self._table is None:
            return rendered.image, rendered.labels
        image, background = (
            np.asarray(cv2.LUT(picture, self._table), np.uint8)
            for picture in (rendered.image, rendered.background)
        )
        # A white object before white ground is invisible: neither foreground nor background.
        is_lost = (np.minimum(image, background).min(axis=2) >= WHITE) & (rendered.labels == FOREGROUND)
        labels = rendered.labels.copy()
        labels[is_lost] = UNKNOWN
        return image, labels


def _exposure(seed: int, index: int, overexposed: float) -> Array | None:
    rng = np.random.default_rng((seed, index, 0xE7B05E))
    if rng.random() >= overexposed:
        return None
    gain, lift = rng.uniform(1.1, 2.6), rng.uniform(-20.0, 70.0)
    return np.asarray(np.clip(np.arange(256) * gain + lift, 0, 255), np.uint8)


def watch(scene: Watched, show: Show, past_s: float, rate: float, newest: int) -> float:
    """Show the frames of the past that the backgrounds of a cue would still hold, and the first one.

    past_s: seconds by the cue's clock. A past longer than the scene's is the scene's, slowed down. newest:
    how many of the samples of the median are shown, beside those of the older background. Returns the scene's
    time at the start.
    """
    slowed = max(1.0, past_s / (rate * SCENE_PAST_S))

    def at(captured_s: float) -> float:
        return max(captured_s / rate / slowed, -SCENE_PAST_S)

    times = kept_times(past_s, rate / scene.fps)
    since, watched_s = at(times[0]), times[0]
    image, labels = scene.frame(since, since)
    show(image, labels, watched_s)
    for captured_s in sorted({*older_times(times), *times[-newest:]}):
        while captured_s - watched_s > WINDOW_S / SAMPLES:
            # A longer step would count as a pause; these samples make way for the ones that follow.
            watched_s += WINDOW_S / SAMPLES
            show(image, labels, watched_s)
        if captured_s > watched_s:
            image, labels = scene.frame(at(captured_s), since)
            watched_s = captured_s
            show(image, labels, watched_s)
    return since


def older_times(times: Sequence[float]) -> list[float]:
    """Of the samples taken at `times`, those that the older background holds after the last."""
    put_by: list[float] = []
    for left_s in times[:-SAMPLES]:
        if not put_by or follows_far(left_s, put_by[-1], times[0]):
            put_by.append(left_s)
    return put_by[-OLDER_SAMPLES:]


def kept_times(past_s: float, frame_s: float) -> list[float]:
    """When, from -past_s to 0 seconds, a camera of one frame each `frame_s` gives the background a sample."""
    times = [-past_s]
    while True:
        # As MedianBackground.is_due: the next frame at which the spacing has been reached.
        frames = 1
        while not is_reached(
            frames * frame_s, min(times[-1] + frames * frame_s + past_s, WINDOW_S) / SAMPLES
        ):
            frames += 1
        following = times[-1] + frames * frame_s
        if following > -frame_s / 2:
            return times
        times.append(following)


COLD_PAST_S = 1.0
"""A scene that is seen for less than this has fewer frames than the network takes; they are repeated."""


# BMN-BSN sees the past of a scene as a few frames, drawn at random from up to three minutes before, as in
# the paper. All samples of a sequence share them, so that a sequence costs little more than its samples.
def reference_samples(
    settings: CueSettings,
    seed: int,
    index: int,
    size: tuple[int, int],
    bank: PictureBank,
    overexposed: float,
) -> list[TrainingSample]:
    """As `sequence_samples`; the cue is the planes of the references, the same array in all samples."""
    rng = np.random.default_rng((seed, index, 0xB35))
    scene = exposed_scene(seed, index, size, bank, overexposed)
    times = _past_times(rng, settings)
    references = [scene.frame(seconds)[0] for seconds in times]
    repeated = [references[place % len(references)] for place in range(settings.references)]
    planes = planes_of(np.stack(repeated)[rng.permutation(settings.references)])
    since = float(min(times))
    return [
        TrainingSample(image, planes, labels)
        for image, labels in (scene.frame(t / scene.fps, since) for t in WARM_SAMPLES)
    ]


def planes_of(references: Array) -> Array:
    """(R, h, w, 3) -> (3 R, h, w), the same values."""
    count, height, width, colours = references.shape
    return np.ascontiguousarray(references.transpose(0, 3, 1, 2)).reshape(count * colours, height, width)


def frames_of(planes: Array) -> Array:
    """The inverse of `planes_of`."""
    count, height, width = planes.shape
    return np.ascontiguousarray(planes.reshape(count // 3, 3, height, width).transpose(0, 2, 3, 1))


def _past_times(rng: np.random.Generator, settings: CueSettings) -> Array:
    """Seconds before the first sample, each below 0: all references, or after a cold start fewer."""
    if rng.random() < COLD_SHARE:
        count, past_s = int(rng.integers(1, settings.references)), COLD_PAST_S
    else:
        longest_s = settings.references * settings.spacing_s
        count = settings.references
        past_s = math.exp(rng.uniform(math.log(SHORTEST_PAST_S), math.log(longest_s)))
    # A past longer than the scene's is the scene's.
    return np.sort(-min(past_s, SCENE_PAST_S) * rng.random(count))
