"""Inputs of the networks while they are exported and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from bench import scenes as seeds
from calib.frames import CalibrationSample, CalibrationSet
from edgebs.backends import Backend
from edgebs.bundle.manifest import CueSettings
from edgebs.cues.background import SAMPLES, WINDOW_S
from edgebs.cues.background_image import BackgroundImage
from edgebs.cues.flow import NetworkFlow
from edgebs.cues.hop import DisHop
from edgebs.cues.hop_background import HopBackground
from edgebs.errors import CalibrationError
from edgebs.image import network_frame
from edgebs.tensors import Array, Frame, TensorSpec
from export.feeds.background import scene_samples, step_feed, stream_feeds

Feed = Mapping[str, Array]
SCENE_PRESET = "fine"
"""Of the DIS flow that `edge` is trained on."""
SCENE_MOMENT_S = 2.0
"""Time in a rendered scene at which flow is taken: its people have begun to walk."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame and its past, at network size."""

    frame: Frame
    pasts: Mapping[int, Frame]
    """By interval."""
    source: str = ""
    """Of one camera: samples of another one have another background."""
    scene: tuple[Frame, ...] = ()
    """Frames that the background may be computed from, for cues that need such."""


def sample_at(size: tuple[int, int], frame: Frame, pasts: Mapping[int, Frame], source: str = "") -> Sample:
    """A sample from frames at camera size."""
    small = {interval: network_frame(past, size) for interval, past in pasts.items()}
    return Sample(network_frame(frame, size), small, source)


def samples_from_calibration(
    calibration: CalibrationSet, size: tuple[int, int], cue: CueSettings, limit: int
) -> list[Sample]:
    """At most `limit` samples, spread over a calibration set.

    Raises CalibrationError where the set was made for other intervals or another frame rate.
    """
    chosen = spread_samples(calibration, limit)
    missing = sorted(set(cue.intervals) - set(chosen[0].pasts))
    if missing or (cue.intervals and calibration.nominal_fps != cue.nominal_fps):
        raise CalibrationError(
            f"the calibration set holds the past at {sorted(chosen[0].pasts)} frames of "
            f"{calibration.nominal_fps:g} fps, the cue needs {list(cue.intervals)} of {cue.nominal_fps:g}. "
            "Make one with: edgebs calibrate SOURCE --out DIR --intervals "
            f"{','.join(map(str, cue.intervals))} --nominal-fps {cue.nominal_fps:g}"
        )
    made = [
        sample_at(size, sample.frame, {gap: sample.pasts[gap] for gap in cue.intervals}, sample.source)
        for sample in chosen
    ]
    seen = {
        sample.source: [other.frame for other in made if other.source == sample.source] for sample in made
    }
    scenes = {source: evenly_chosen(frames, cue.references) for source, frames in seen.items()}
    return [replace(sample, scene=scenes[sample.source]) for sample in made]


def spread_samples(calibration: CalibrationSet, limit: int) -> list[CalibrationSample]:
    """At most `limit` samples, evenly spread over a calibration set."""
    samples = calibration.samples
    step = max(len(samples) / limit, 1.0)
    return [samples[int(index * step)] for index in range(min(limit, len(samples)))]


def samples_from_stream(
    frames: Sequence[Frame], size: tuple[int, int], cue: CueSettings, limit: int
) -> list[Sample]:
    """At most `limit` samples from consecutive frames, the last ones first in need of history."""
    first = min(max(cue.intervals, default=0), len(frames) - 1)
    chosen = np.linspace(first, len(frames) - 1, min(limit, len(frames) - first)).astype(int)
    scene = tuple(network_frame(frame, size) for frame in evenly_chosen(frames, cue.references))
    return [
        replace(
            sample_at(size, frames[t], {gap: frames[max(t - gap, 0)] for gap in cue.intervals}), scene=scene
        )
        for t in chosen
    ]


def evenly_chosen(frames: Sequence[Frame], count: int) -> tuple[Frame, ...]:
    """`count` of the frames, evenly spread; some repeated where there are fewer."""
    return tuple(frames[place] for place in np.linspace(0, len(frames) - 1, count).astype(int))


def cue_feeds(samples: Iterable[Sample], inputs: Mapping[str, TensorSpec]) -> list[Feed]:
    """The cue network's inputs: a frame and its past, or frames of its scene, whichever `inputs` name."""
    if "sums" in inputs:
        return [step_feed(sample.scene, inputs) for sample in samples]
    return [_flow_feed(sample) if sample.pasts else _references_feed(sample.scene) for sample in samples]


def _references_feed(frames: Sequence[Frame]) -> Feed:
    return {"references": np.stack(frames)[np.newaxis]}


def _flow_feed(sample: Sample) -> Feed:
    pasts = {f"past_{interval}": past[np.newaxis] for interval, past in sample.pasts.items()}
    return {"frame": sample.frame[np.newaxis], **pasts}


def scene_facts(cue: CueSettings, count: int) -> dict[str, Any]:
    """Manifest entry of a calibration by `scene_feeds`, with the keys of `CalibrationSet.facts`."""
    return {
        "path": None,
        "hash": f"rendered-{seeds.CALIBRATION}",
        "frames": count,
        "intervals": list(cue.intervals),
        "nominal_fps": cue.nominal_fps,
        "look_ahead": False,
        "sources": [{"name": "rendered scenes", "seed": seeds.CALIBRATION, "samples": count}],
        "warnings": [],
    }


def scene_cue(cue: CueSettings) -> CueSettings:
    """The cue of rendered scenes: that of the training, whose flow is of DIS."""
    if not cue.traits.has_two_backgrounds or cue.provider == "dis":
        return cue
    return replace(cue, provider="dis", preset=SCENE_PRESET)


def scene_cue_feeds(
    cue: CueSettings, size: tuple[int, int], count: int, progress: Callable[[int, int], None]
) -> list[Feed]:
    """The inputs of a flow network from `count` rendered scenes; size: (h, w)."""
    from bench.scenes.scene import PictureBank, Scene

    bank = PictureBank.open(images=None)
    samples: list[Sample] = []
    for index in range(count):
        scene = Scene(seed=(seeds.CALIBRATION, index), size=size, bank=bank)
        seconds = {gap: SCENE_MOMENT_S - gap / cue.nominal_fps for gap in (0, *cue.intervals)}
        frames = {gap: scene.frame(moment).image for gap, moment in seconds.items()}
        samples.append(Sample(frames.pop(0), frames))
        progress(index + 1, count)
    return [_flow_feed(sample) for sample in samples]


def scene_feeds(
    cue: CueSettings,
    size: tuple[int, int],
    count: int,
    progress: Callable[[int, int], None],
    network: Backend | None = None,
) -> dict[str, list[Feed]]:
    """Inputs of `segment` from one frame of each of `count` rendered scenes of no training.

    size: (h, w). network: computes the cue from frames of the scene; its own inputs are then added as `cue`.
    """
    from bench.scenes.scene import PictureBank
    from export.training.samples.scenes import frames_of, sequence_samples

    bank = PictureBank.open(images=None)
    background: BackgroundImage | None = None
    if network is not None and cue.traits.reads_series:
        background = BackgroundImage(cue, size, network)
    feeds: dict[str, list[Feed]] = {"segment": [], "cue": []}
    for index in range(count):
        if background is not None:
            series = scene_samples(background, seeds.CALIBRATION, index, size)
            frame, seen, _ = series[index % len(series)]
        else:
            samples = sequence_samples(scene_cue(cue), seeds.CALIBRATION, index, size, bank)
            chosen = samples[index % len(samples)]
            frame, seen = chosen.frame, chosen.cue[np.newaxis].astype(np.float32)
            if network is not None and not cue.intervals:
                feeds["cue"].append(_references_feed(list(frames_of(chosen.cue))))
                seen = network.infer(feeds["cue"][-1])["cue"].copy()
        feeds["segment"].append({"frame": frame[np.newaxis], "cue": seen})
        progress(index + 1, count)
    return {name: of_network for name, of_network in feeds.items() if of_network}


def segment_feeds(samples: Iterable[Sample], cue: CueSettings, network: Backend | None) -> list[Feed]:
    """The segmenter's inputs; `network` computes the cue, None for OpenCV's flow."""
    samples = list(samples)
    if cue.traits.reads_series and network is not None:
        return stream_feeds([(sample.frame, sample.scene) for sample in samples], cue, network)
    if cue.traits.has_two_backgrounds:
        cues = _background_cues(samples, cue, network)
    else:
        cues = _dis_cues(samples, cue) if network is None else _network_cues(samples, network)
    return [
        {"frame": sample.frame[np.newaxis], "cue": magnitudes}
        for sample, magnitudes in zip(samples, cues, strict=True)
    ]


def _dis_cues(samples: Sequence[Sample], cue: CueSettings) -> list[Array]:
    size = samples[0].frame.shape[:2]
    hop = DisHop(cue, (size[0], size[1]))
    cues = []
    for sample in samples:
        magnitudes = np.zeros((1, len(cue.intervals), *size), np.float32)
        pasts = [_grey(sample.pasts[interval]) for interval in cue.intervals]
        hop.magnitudes(_grey(sample.frame), pasts, magnitudes[0])
        cues.append(magnitudes)
    return cues


def _background_cues(samples: Sequence[Sample], cue: CueSettings, network: Backend | None) -> list[Array]:
    """Each sample with a background from other samples of its camera, as after some time of watching."""
    size = samples[0].frame.shape[:2]
    # Not closed: the network is the caller's.
    flow = None if network is None else NetworkFlow(cue, network)
    computed = HopBackground(cue, (size[0], size[1]), flow)
    cues = []
    for sample in samples:
        own = [other for other in samples if other.source == sample.source]
        seen = np.linspace(0, len(own) - 1, min(SAMPLES, len(own))).astype(int)
        computed.reset()
        for step, index in enumerate(seen):
            computed.remember(own[index].frame, step * WINDOW_S / SAMPLES)
        for interval in sorted(cue.intervals, reverse=True):
            computed.remember(sample.pasts[interval], WINDOW_S - interval / cue.nominal_fps)
        cues.append(computed.update(sample.frame, WINDOW_S).tensors["cue"].copy())
    return cues


def _network_cues(samples: Sequence[Sample], network: Backend) -> list[Array]:
    return [network.infer(feed)["cue"].copy() for feed in cue_feeds(samples, network.inputs)]


def _grey(frame: Frame) -> Frame:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
