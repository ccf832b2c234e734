"""Renders one clip of a corpus: frames of a scene, with the state of the cue at each."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from bench.scenes.mix import HARD, Mix
from bench.scenes.scene import PictureBank
from edgebs.bundle.manifest import CueSettings
from edgebs.cues.background import WINDOW_S
from edgebs.cues.hop_background import HopBackground
from edgebs.errors import ExportError
from edgebs.tensors import Array, Frame
from export.training.corpus import FACTS, FRAMES, OF_STATE, PICTURES, RUN, Clip, coded, coded_flow
from export.training.samples.scenes import (
    COUNTED_SHARE,
    HELD_NEWEST,
    SHORTEST_PAST_S,
    STAYING,
    FaultyMasks,
    Watched,
    exposed_scene,
    past_of_a_stay,
    watch,
)

SHARES = ("hard", "settled", "cold", "blind", "ordinary", "overexposed")
"""Fields of `ClipOptions` from 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOptions:
    """What is rendered. All shares are from 0 to 1."""

    cue: CueSettings
    size: tuple[int, int]
    """(h, w)."""
    hard: float = 0.75
    """Share of the clips of the mix `HARD` (bench/scenes/mix.py)."""
    settled: float = 0.35
    """Share whose watch begins shortly before an object comes to stay."""
    cold: float = 0.2
    """Of the others, share without a past."""
    blind: float = 0.3
    """Share whose background never holds anything."""
    ordinary: float = 0.5
    """Share of an ordinary camera in daylight or lit rooms: no night, heat, fog or too much light."""
    overexposed: float = 0.2
    """Of the others, share with too much light."""
    others: Mix = field(default_factory=Mix)
    """The mix of the clips that are not hard."""

    def __post_init__(self) -> None:
        """Raise ExportError for a cue other than that of edge, or a share outside 0 to 1."""
        if not self.cue.traits.has_two_backgrounds or len(self.cue.intervals) != 3:
            raise ExportError("a corpus holds the cue of edge: three flows and the backgrounds.")
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ExportError(f"--{name} must be from 0 to 1, got {getattr(self, name)}.")

    def to_json(self) -> dict[str, Any]:
        """For corpus.json."""
        shares = {name: getattr(self, name) for name in SHARES}
        mixes = {"hard": asdict(HARD), "others": asdict(self.others)}
        return {"cue": self.cue.to_json(), "size": list(self.size), "shares": shares, "mixes": mixes}


class _ShownCue(HopBackground):
    """The cue of edge, with access to its state."""

    taken_s = -math.inf
    """When the newest sample of the last `state` was taken."""

    def show(self, frame: Frame, found: Array, captured_s: float) -> None:
        """Take a frame of the past with what is found in it."""
        self.hear(found)
        self.remember(frame, captured_s)

    def has_new_state(self) -> bool:
        """Whether the background has changed since the last call."""
        newest_s = self._background.newest_s
        is_new, self.taken_s = newest_s != self.taken_s, newest_s
        return is_new

    def state(self) -> dict[str, Frame]:
        """Pictures by the names of `OF_STATE`."""
        background = self._background
        plain, spread = background.unheld()
        spreads = np.dstack([background.spread, spread, background.held])
        return dict(zip(OF_STATE, (background.median, plain, background.older, spreads), strict=True))


def render_clip(options: ClipOptions, seed: int, index: int, bank: PictureBank) -> Clip:
    """Clip `index` of a seed; the same arguments give the same clip in any process."""
    rng = np.random.default_rng((seed, index, 0xC11B))
    is_settled = bool(rng.random() < options.settled)
    is_ordinary = bool(rng.random() < options.ordinary)
    mix = _mix(options, rng, is_settled=is_settled, is_ordinary=is_ordinary)
    overexposed = 0.0 if is_ordinary else options.overexposed
    scene = exposed_scene(seed, index, options.size, bank, overexposed, mix)
    rate = scene.fps / options.cue.nominal_fps if rng.random() < COUNTED_SHARE else 1.0
    is_cold = bool(rng.random() < options.cold) and not is_settled
    cue, masks = _ShownCue(options.cue, options.size), FaultyMasks(rng, options.size, options.blind)
    since = 0.0
    if not is_cold:
        past_s = math.exp(rng.uniform(math.log(SHORTEST_PAST_S), math.log(WINDOW_S)))
        past_s = (past_of_a_stay(rng, scene, rate) if is_settled else None) or past_s

        def show(image: Frame, labels: Frame, captured_s: float) -> None:
            cue.show(image, masks.probability(labels), captured_s)

        since = watch(scene, show, past_s, rate, HELD_NEWEST)
    clip = _seen(options, scene, cue, masks, since, rate, _numbers(rng, is_cold=is_cold), is_cold=is_cold)
    cue.close()
    return clip


def _mix(options: ClipOptions, rng: np.random.Generator, *, is_settled: bool, is_ordinary: bool) -> Mix:
    mix = HARD if rng.random() < options.hard else options.others
    if is_ordinary:
        mix = replace(mix, night=0.0, thermal=0.0, fogged=0.0, fog=0.0)
    if not is_settled:
        return mix
    return replace(mix, empty=STAYING.empty, standing=STAYING.standing, abandoned=STAYING.abandoned)


def _numbers(rng: np.random.Generator, *, is_cold: bool) -> list[int]:
    """Numbers of the frames of both runs; of a watched scene the longest interval lies before the first."""
    firsts = ((1, 9), (12, 20)) if is_cold else ((10, 14), (18, 24))
    return [int(first) + k for low, high in firsts for first in [rng.integers(low, high)] for k in range(RUN)]


def _seen(
    options: ClipOptions,
    scene: Watched,
    cue: _ShownCue,
    masks: FaultyMasks,
    since: float,
    rate: float,
    numbers: list[int],
    *,
    is_cold: bool,
) -> Clip:
    """The frames of `numbers`, with every frame before them shown to the cue."""
    pictures: dict[str, list[Array]] = {name: [] for name in PICTURES}
    facts = np.zeros((FRAMES, len(FACTS)), np.float32)
    for number in range(numbers[-1] + 1):
        image, labels = scene.frame(number / scene.fps, since)
        found, captured_s = masks.probability(labels), number / scene.fps * rate
        if number not in numbers:
            cue.show(image, found, captured_s)
            continue
        cue.hear(found)
        planes = cue.update(image, captured_s).tensors["cue"][0]
        if cue.has_new_state():
            for name, picture in cue.state().items():
                pictures[name].append(coded(picture))
        place = len(pictures["frame"])
        flow = coded_flow(planes[:3], options.cue.max_magnitude)
        for name, picture in (("frame", image), ("labels", labels), ("flow", flow)):
            pictures[name].append(coded(picture))
        age = float(planes[7, 0, 0])
        facts[place] = (len(pictures["held"]) - 1, *cue.shift, age, number, is_cold)
    return Clip(pictures, facts)
