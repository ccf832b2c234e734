"""Inputs of the networks of a background image while they are exported and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgebs.backends import Backend
from edgebs.bundle.manifest import CueSettings
from edgebs.cues.background_image import BackgroundImage
from edgebs.tensors import Array, Frame, TensorSpec

if TYPE_CHECKING:
    from export.networks.cdn_gm import CdnGm
    from export.training.stream.workers import Sample

Feed = Mapping[str, Array]
REMEMBERED = 49
"""Frames of a scene that a cue gets before the segmented one: enough for every band."""


def step_feed(frames: Sequence[Frame], inputs: Mapping[str, TensorSpec]) -> Feed:
    """The step's inputs at the upper rows of some frames of a scene; their mean stands for the past.

    frames: (h, w, 3) uint8. The features of the past are random numbers of their range: enough to compare two
    forms of the network.
    """
    _, block, rows, _, _ = inputs["frames"].shape
    bands = np.stack([frames[min(place, len(frames) - 1)][:rows] for place in range(block)])
    mean = bands.mean(axis=0).transpose(2, 0, 1) / 255  # (3, rows, w)
    sums, features = inputs["sums"], inputs["features"]
    return {
        "frames": bands[np.newaxis],
        "sums": np.tile(mean, (sums.shape[1] // 3, 1, 1))[np.newaxis].astype(sums.dtype),
        "features": np.random.default_rng(0).uniform(0, 1, features.shape).astype(features.dtype),
    }


def stream_feeds(
    chosen: Iterable[tuple[Frame, Sequence[Frame]]], settings: CueSettings, network: Backend
) -> list[Feed]:
    """The segmenter's inputs for frames, each with other frames of its scene, which stand for its past."""
    feeds: list[Feed] = []
    for frame, scene in chosen:
        # Not closed: the network is the caller's.
        cue = BackgroundImage(settings, (frame.shape[0], frame.shape[1]), network)
        for past in scene[-REMEMBERED:]:
            cue.remember(past, None)
        background = cue.update(frame, None).tensors["cue"].copy()
        feeds.append({"frame": frame[np.newaxis], "cue": background})
    return feeds


def scenes_through_torch(
    network: CdnGm, settings: CueSettings, size: tuple[int, int]
) -> Callable[[int, int], list[Sample]]:
    """Rendered scenes, by seed and number, through a network in PyTorch."""
    from edgebs.bundle.manifest import NetworkFacts
    from export.models.reference import TorchBackend
    from export.networks.cdn_gm import StepGraph
    from export.training.samples import picture_bank
    from export.training.samples.background import samples_through

    graph = StepGraph(network)
    facts = NetworkFacts(
        file="",
        backend="",
        precision="fp32",
        inputs=graph.inputs(size),
        outputs=graph.outputs(size),
        description=graph.description(),
        weights_sha256="",
        parameters=0,
        gflop=0.0,
    )
    cue = BackgroundImage(settings, size, TorchBackend(graph, facts))
    return lambda seed, index: samples_through(cue, seed, index, size, picture_bank(None))


def scene_samples(
    cue: BackgroundImage, seed: int, index: int, size: tuple[int, int]
) -> list[tuple[Frame, Array, Array]]:
    """Frames, backgrounds (1, 3, h, w) float32 by `cue`, and labels of a rendered scene."""
    from export.training.samples import picture_bank
    from export.training.samples.background import samples_through

    return [
        (frame, background[np.newaxis].astype(np.float32), labels)
        for frame, background, labels in samples_through(cue, seed, index, size, picture_bank(None))
    ]
