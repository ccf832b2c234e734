"""What the networks are fed while they are exported: real frames with the history that the cue needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from calib.stored_set import CalibrationSet
from edgebs.backends import Backend
from edgebs.cues.background import SAMPLES, WINDOW_S
from edgebs.cues.dis import DisHop
from edgebs.cues.hop_background import HopBackground
from edgebs.errors import CalibrationError
from edgebs.manifest import CueSettings
from edgebs.preprocess import network_frame
from edgebs.tensors import Array, Frame

Feed = Mapping[str, Array]
SCENE_SEED = 2_000_000_027
"""Of the scenes that calibrate: no training run may have it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame and its past, at network size."""

    frame: Frame
    pasts: Mapping[int, Frame]
    """By interval."""
    source: str = ""
    """Of one camera: samples of another one have another background."""


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
    samples = calibration.samples
    step = max(len(samples) / limit, 1.0)
    chosen = [samples[int(index * step)] for index in range(min(limit, len(samples)))]
    missing = sorted(set(cue.intervals) - set(chosen[0].pasts))
    if missing or calibration.nominal_fps != cue.nominal_fps:
        raise CalibrationError(
            f"the calibration set holds the past at {sorted(chosen[0].pasts)} frames of "
            f"{calibration.nominal_fps:g} fps, the cue needs {list(cue.intervals)} of {cue.nominal_fps:g}. "
            "Make one with: edgebs calibrate SOURCE --out DIR --intervals "
            f"{','.join(map(str, cue.intervals))} --nominal-fps {cue.nominal_fps:g}"
        )
    return [
        sample_at(size, sample.frame, {gap: sample.pasts[gap] for gap in cue.intervals}, sample.source)
        for sample in chosen
    ]


def samples_from_stream(
    frames: Sequence[Frame], size: tuple[int, int], intervals: Sequence[int], limit: int
) -> list[Sample]:
    """At most `limit` samples from consecutive frames, the last ones first in need of history."""
    first = min(max(intervals), len(frames) - 1)
    chosen = np.linspace(first, len(frames) - 1, min(limit, len(frames) - first)).astype(int)
    return [
        sample_at(size, frames[t], {interval: frames[max(t - interval, 0)] for interval in intervals})
        for t in chosen
    ]


def cue_feeds(samples: Iterable[Sample]) -> list[Feed]:
    """The cue network's inputs."""
    return [
        {
            "frame": sample.frame[np.newaxis],
            **{f"past_{interval}": past[np.newaxis] for interval, past in sample.pasts.items()},
        }
        for sample in samples
    ]


def scene_facts(cue: CueSettings, count: int) -> dict[str, Any]:
    """What a manifest keeps about `scene_feeds`, with the keys of `CalibrationSet.facts`."""
    return {
        "path": None,
        "hash": f"rendered-{SCENE_SEED}",
        "frames": count,
        "intervals": list(cue.intervals),
        "nominal_fps": cue.nominal_fps,
        "look_ahead": False,
        "sources": [{"name": "rendered scenes", "seed": SCENE_SEED, "samples": count}],
        "warnings": [],
    }


def scene_feeds(
    cue: CueSettings, size: tuple[int, int], count: int, progress: Callable[[int, int], None]
) -> list[Feed]:
    """The segmentation network's inputs from `count` rendered scenes, one frame of each, none of a training.

    size: (h, w). progress is told (done, count).
    """
    from bench.varied_scene import PictureBank
    from export.training.samples import sequence_samples

    bank = PictureBank.open(images=None)
    feeds: list[Feed] = []
    for index in range(count):
        samples = sequence_samples(cue, SCENE_SEED, index, size, bank)
        chosen = samples[index % len(samples)]
        feeds.append({"frame": chosen.frame[np.newaxis], "cue": chosen.cue[np.newaxis].astype(np.float32)})
        progress(index + 1, count)
    return feeds


def segment_feeds(samples: Iterable[Sample], cue: CueSettings, network: Backend | None) -> list[Feed]:
    """The segmentation network's inputs; `network` computes the cue where it is not OpenCV's."""
    samples = list(samples)
    if cue.kind == "hop-background":
        cues = _background_cues(samples, cue)
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


def _background_cues(samples: Sequence[Sample], cue: CueSettings) -> list[Array]:
    """Each sample in a scene that has been watched for a while: samples of its camera are what was seen."""
    size = samples[0].frame.shape[:2]
    computed = HopBackground(cue, (size[0], size[1]))
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
    return [network.infer(feed)["cue"].copy() for feed in cue_feeds(samples)]


def _grey(frame: Frame) -> Frame:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
