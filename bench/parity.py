"""Parity: a bundle against the PyTorch FP32 networks that it was made from, on the same input.

Three levels (architecture.md section 8): each network on the reference's own input, the masks of the
whole stream, and F on scored sequences. One gate per precision decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bench.scenes.clip import Clip, ClipOptions, clip_video
from bench.scored import Counts, find_sequences, log_notes, scored_frames
from edgebs.bundle import bundle_path
from edgebs.bundle.manifest import Manifest
from edgebs.errors import ParityError, SourceError
from edgebs.files import scratch_folder
from edgebs.image import mask_from_probability, network_frame
from edgebs.loading import load
from edgebs.machine.console import Progress
from edgebs.machine.cpu import this_cpu
from edgebs.nvidia import DeviceOptions
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array, Frame
from edgebs.text import source_name
from edgebs.video.bit_depth import ValueRange
from edgebs.video.open import open_source

RENDERED_SIZE = (240, 320)


RENDERED_SEED = 7


Stream = list[tuple[Frame, float | None]]
"""Frames (H, W, 3) uint8 BGR with their capture times in seconds."""


def parity_stream(source: str | Path | None, frames: int, value_range: ValueRange | None = None) -> Stream:
    """The first `frames` frames of a source, or of a rendered street if `source` is None.

    value_range: see `open_source`. Raises SourceError for an unreadable source or one without a frame.
    """
    if source is None:
        scene = Clip(ClipOptions(size=RENDERED_SIZE, frames=frames, seed=RENDERED_SEED))
        return [(frame.image, frame.captured_s) for frame in scene]
    with open_source(source, value_range=value_range) as opened:
        stream: Stream = [(item.image.copy(), item.captured_s) for item in islice(opened, frames)]
    if not stream:
        raise SourceError(f"{source_name(source)} holds no frame. Name another video with --source.")
    return stream


@contextmanager
def video_or_rendered(
    source: str | None, frames: int = 150, progress: Callable[[int, int], None] | None = None
) -> Iterator[str | Path]:
    """The source itself, or a rendered street as a video file that exists within the block."""
    if source is not None:
        yield source
        return
    with scratch_folder() as folder:
        video = folder / "rendered-street.avi"
        clip_video(ClipOptions(frames=frames, seed=RENDERED_SEED), video, progress=progress)
        yield video


FP32_MAX_ABS = 1e-4


FP16_FLIP_RATE = 1e-3


INT8_DELTA_F = 0.01


INT8_MASK_IOU = 0.95


UNPROVED: Mapping[str, Any] = {
    "networks": {},
    "pipeline": None,
    "task": None,
    "gate": "none could be computed",
    "value": 0.0,
    "enforced": True,
    "passed": False,
}
"""The parity result of a bundle that could not be compared; `reason` is added."""


Count = Callable[[Pipeline, Progress | None], Counts]
"""Runs a pipeline over frames whose truth is known."""


@dataclass(frozen=True, slots=True)
class ReferenceFrame:
    """One frame of the stream with the reference's results."""

    image: Frame
    captured_s: float | None
    cue: Array
    """(1, K, H, W)"""
    probability: Array
    """(H, W)"""


@dataclass(slots=True)
class _Error:
    """Running difference of one tensor."""

    max_abs: float = 0.0
    worst_frame: int = 0
    total_abs: float = 0.0
    count: int = 0
    dot: float = 0.0
    square_a: float = 0.0
    square_b: float = 0.0

    def add(self, index: int, found: Array, expected: Array) -> None:
        a, b = found.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
        difference = np.abs(a - b)
        if not np.isfinite(difference).all():
            raise ParityError(
                f"frame {index}: the network gives NaN or infinity where PyTorch gives numbers (or both do). "
                "Its precision overflows: export it in a higher one."
            )
        largest = float(difference.max())
        if largest > self.max_abs:
            self.max_abs, self.worst_frame = largest, index
        self.total_abs += float(difference.sum())
        self.count += a.size
        self.dot += float(a @ b)
        self.square_a += float(a @ a)
        self.square_b += float(b @ b)

    def to_json(self) -> dict[str, float]:
        norm = float(np.sqrt(self.square_a * self.square_b))
        return {
            "max_abs": self.max_abs,
            "mean_abs": self.total_abs / max(self.count, 1),
            # Two tensors of zeros agree.
            "cosine": self.dot / norm if norm else float(self.square_a == self.square_b),
            "worst_frame": self.worst_frame,
        }


@dataclass(slots=True)
class _Masks:
    """Running agreement of two mask streams."""

    intersection: int = 0
    union: int = 0
    flips: int = 0
    pixels: int = 0
    foreground: int = 0
    worst_frame: int = 0
    worst_flips: int = field(default=-1)

    def add(self, index: int, found: Frame, expected: Frame) -> None:
        a, b = found > 0, expected > 0
        flips = int(np.count_nonzero(a != b))
        self.intersection += int(np.count_nonzero(a & b))
        self.union += int(np.count_nonzero(a | b))
        self.flips += flips
        self.pixels += a.size
        self.foreground += int(np.count_nonzero(b))
        if flips > self.worst_flips:
            self.worst_flips, self.worst_frame = flips, index

    def to_json(self) -> dict[str, float]:
        return {
            "mask_iou": self.intersection / self.union if self.union else 1.0,
            "flip_rate": self.flips / max(self.pixels, 1),
            "foreground_share": self.foreground / max(self.pixels, 1),
            "worst_frame": self.worst_frame,
        }


class Reference(Protocol):
    """A bundle's networks in PyTorch FP32, built again with their weights."""

    def on_cpu(self, manifest: Manifest, threads: int = 0) -> Pipeline:
        """The bundle's pipeline in PyTorch eager, on that many threads; 0 leaves PyTorch its choice."""

    def on_gpu(self, manifest: Manifest, device: int = 0) -> Mapping[str, Pipeline]:
        """The bundle's pipeline in PyTorch on a GPU, by way: eager, graphs, compile; empty without CUDA."""


def record_reference(
    pipeline: Pipeline, frames: Sequence[tuple[Frame, float | None]], progress: Progress | None = None
) -> list[ReferenceFrame]:
    """The reference's results on a stream of (H, W, 3) uint8 frames with their capture times."""
    pipeline.reset()
    recorded: list[ReferenceFrame] = []
    for image, captured_s in frames:
        cue, probability = pipeline.trace(image, captured_s)
        recorded.append(ReferenceFrame(image, captured_s, cue.copy(), probability.copy()))
        if progress:
            progress(len(recorded), len(frames))
    if not recorded:
        raise ParityError("the parity source gave no frame. Name another with --source.")
    return recorded


def compare(
    pipeline: Pipeline, reference: Sequence[ReferenceFrame], progress: Progress | None = None
) -> dict[str, Any]:
    """Levels 1 and 2 of one bundle's pipeline against a recorded reference, as JSON-able values.

    Cue errors are in pixels of flow magnitude at network size; segment errors in probability.
    """
    manifest = pipeline.manifest
    networks = {name: _Error() for name in manifest.networks}
    masks = _Masks()
    pipeline.reset()
    for index, expected in enumerate(reference):
        cue, own = pipeline.trace(expected.image, expected.captured_s)
        own = own.copy()  # the segmenter runs again below, into the same buffer
        if "cue" in networks:
            networks["cue"].add(index, cue, expected.cue)
            small = network_frame(expected.image, manifest.size)
            same = pipeline.segment(small, {"cue": expected.cue})
        else:
            same = own
        networks["segment"].add(index, same, expected.probability)
        masks.add(index, _mask(own, expected, manifest), _mask(expected.probability, expected, manifest))
        if progress:
            progress(index + 1, len(reference))
    return {
        "networks": {name: error.to_json() for name, error in networks.items()},
        "pipeline": masks.to_json(),
        "frames": len(reference),
    }


def _mask(probability: Array, frame: ReferenceFrame, manifest: Manifest) -> Frame:
    height, width = frame.image.shape[:2]
    return mask_from_probability(probability, (height, width), manifest.threshold)


class TaskLevel:
    """Level 3: F over all pixels with a known truth. The reference is counted once, for all its bundles."""

    def __init__(self, count: Count, reference: Pipeline, progress: Progress | None = None) -> None:
        self._count = count
        self._reference = count(reference, progress)

    def change(self, bundle: Pipeline, progress: Progress | None = None) -> dict[str, Any]:
        """F of the reference and of the bundle, and the difference."""
        f_reference, f_bundle = self._reference.f_measure, self._count(bundle, progress).f_measure
        return {"F_reference": f_reference, "F_bundle": f_bundle, "delta_F": f_bundle - f_reference}


def count_on_sequences(root: Path, value_range: ValueRange | None = None) -> Count:
    """Count over every labelled frame of the scored sequences below `root`; SourceError if there are none."""
    sequences = find_sequences(root, value_range=value_range)
    log_notes(sequences)
    total = sum(len(sequence.inputs) for sequence in sequences)

    def count(pipeline: Pipeline, progress: Progress | None) -> Counts:
        counts, done = Counts(), 0
        threshold = pipeline.manifest.threshold
        for sequence in sequences:
            pipeline.reset()
            for image, truth, valid in scored_frames(sequence):
                # Not process(): clean-up would hide what the networks differ in.
                _cue, probability = pipeline.trace(image, None)
                if truth is not None and valid is not None:
                    height, width = truth.shape
                    counts.add(mask_from_probability(probability, (height, width), threshold), truth, valid)
                done += 1
                if progress:
                    progress(done, total)
        return counts

    return count


def judge(manifest: Manifest, levels: Mapping[str, Any], task: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parity result of the manifest: the levels, the gate that applies, and whether it passed."""
    gate, value, held = _gate(manifest, levels, task)
    return {
        **levels,
        "task": task,
        "precision": manifest.precision,
        "trained": manifest.trained,
        "gate": gate,
        "value": value,
        # The masks of an untrained network are noise around the threshold: INT8 is reported, not judged.
        "enforced": manifest.trained or manifest.precision != "int8",
        "passed": held or (manifest.precision == "int8" and not manifest.trained),
        # INT8 sums, and so the verdict, may differ on another CPU.
        "cpu": this_cpu().to_json(),
    }


def _gate(
    manifest: Manifest, levels: Mapping[str, Any], task: Mapping[str, Any] | None
) -> tuple[str, float, bool]:
    if manifest.precision == "fp32":
        # The cue in units of what the segmenter sees: pixels over the magnitude that saturates it.
        scale = {"cue": manifest.cue.max_magnitude}
        value = max(error["max_abs"] / scale.get(name, 1.0) for name, error in levels["networks"].items())
        return f"max_abs <= {FP32_MAX_ABS:g}", value, value <= FP32_MAX_ABS
    if manifest.precision == "fp16":
        value = float(levels["pipeline"]["flip_rate"])
        return f"flip_rate <= {FP16_FLIP_RATE:g}", value, value <= FP16_FLIP_RATE
    if task is not None:
        value = abs(float(task["delta_F"]))
        return f"|delta_F| <= {INT8_DELTA_F:g}", value, value <= INT8_DELTA_F
    value = float(levels["pipeline"]["mask_iou"])
    return f"mask_iou >= {INT8_MASK_IOU:g}", value, value >= INT8_MASK_IOU


def bundle_parity(
    bundle: str | Path,
    reference: Reference,
    *,
    source: str | Path | None = None,
    data: Path | None = None,
    value_range: ValueRange | None = None,
    frames: int = 24,
    device: DeviceOptions | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare a bundle with its PyTorch networks, on a video (None: rendered) and on scored data.

    value_range: of both, see `open_source`. device: how plans run on an NVIDIA GPU; the reference runs on
    the CPU.
    Raises EdgebsError if the bundle cannot run here or its weights are missing; not for a failed gate.
    """
    stream = parity_stream(source, frames, value_range)
    with load(bundle_path(bundle), device=device) as pipeline:
        manifest = pipeline.manifest
        original = reference.on_cpu(manifest)
        levels = compare(pipeline, record_reference(original, stream, progress), progress)
        task = None
        if data is not None:
            count = count_on_sequences(data, value_range)
            task = TaskLevel(count, original, progress).change(pipeline, progress)
        return {
            **judge(manifest, levels, task),
            "checked": "engine",
            "engines": pipeline.descriptions(),
            "reference": original.descriptions(),
        }


ADVICE = {
    "fp16": "Export it in FP32, or without --compute bf16 if that was given.",
    "int8": "Choose a calibration set nearer to the scene, or a higher precision for that network.",
}


def require_passed(name: str, result: Mapping[str, Any]) -> None:
    """Raise ParityError, naming the gate, the value and the worst frame, if parity failed."""
    if result["passed"]:
        return
    worst = min(result["networks"].items(), key=lambda item: item[1]["cosine"])
    raise ParityError(
        f"{name}: parity gate {result['gate']} failed with {result['value']:.3g} "
        f"over {result['frames']} frames. Worst frame {result['pipeline']['worst_frame']}; worst network "
        f"'{worst[0]}' (max {worst[1]['max_abs']:.3g} at frame {worst[1]['worst_frame']}, "
        f"cosine {worst[1]['cosine']:.6f}). "
        + ADVICE.get(result["precision"], "Look at the first layer that differs.")
    )
