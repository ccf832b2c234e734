"""Camera-to-mask speed: throughput, latency, stages, memory, beside PyTorch and the paper, in one run.

What is timed: wall time by perf_counter from the source's read to the finished mask, decoding and resizing
included. The frames of the warm-up (the history, first-touch of buffers) are run and not counted. Every
repeat visits every bundle and mode in turn, so that a drift of a shared machine meets all of them alike; the
figure is the median over the repeats.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

from bench.gpu import TIMED, runs_on_gpu, trtexec_times, watched_gpu
from bench.parity import Reference
from bench.speed.memory import json_from_device
from edgebs.bundle import Bundle, bundle_path, shipped_models
from edgebs.bundle.manifest import CleanupSettings, Manifest
from edgebs.errors import EdgebsError, EngineMismatch, SourceError
from edgebs.facts import machine_facts
from edgebs.files import atomic_file
from edgebs.loading import load, load_bundle
from edgebs.nvidia import DeviceOptions
from edgebs.pipeline import Counters, Pipeline, Result
from edgebs.tensors import latency_percentiles
from edgebs.text import json_text, reason_without_secrets, source_name
from edgebs.video.bit_depth import ValueRange
from edgebs.video.open import Source, open_source

logger = logging.getLogger(__name__)
PAPER_FPS = 5.33
PAPER = {
    "fps": PAPER_FPS,
    "what": "CrossNet with SelFlow HOP, 256x256, two GTX 2080 Ti, TensorFlow 1.13 (HOFAM paper, IV-F)",
}
STAGES = ("read", "pre", "cue", "segment", "post")
DEVICE = "device_"
"""Before the name of a stage whose time is the GPU's own."""
WARM_UP = 12
"""Frames run before counting: the longest default history, 11 frames, and one more."""
TAIL = 3
"""Frames run after the counted ones, pipelined: the last counted one still shares the cores."""
BASELINE_FRAMES = 6
"""PyTorch frames a repeat: they take up to a second each, and vary little."""
BASELINE_WARM_UP = 3
"""Whole PyTorch frames before counting, after a history that was only read: the first two are slower."""
SPREAD = 1.25
"""Repeats that differ by more were disturbed: something else ran on the machine."""


class _Baseline(NamedTuple):
    """PyTorch with the networks of some bundles, run in one way."""

    networks: str
    """The result of `_baseline_key`."""
    way: str = "eager"


@dataclass(slots=True)
class Samples:
    """Measurements of one bundle in one mode, over all repeats."""

    fps: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    stages_ms: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    device_ms: dict[str, list[float]] = field(default_factory=dict)
    """Of the stages on a GPU, by events; empty without a GPU."""
    frames_in: int = 0
    frames_out: int = 0
    frames_dropped: int = 0

    def add(self, result: Result, read_ms: float) -> None:
        """One counted frame."""
        self.latency_ms.append(result.latency_ms)
        for stage in STAGES:
            self.stages_ms[stage].append(read_ms if stage == "read" else result.stages_ms[stage])
        for stage, ms in result.stages_ms.items():
            if stage.startswith(DEVICE):
                self.device_ms.setdefault(stage.removeprefix(DEVICE), []).append(ms)

    def add_repeat(self, frames: int, elapsed_s: float, counters: Counters) -> None:
        """One repeat: counted frames and their wall time, and what went in and out, warm-up included."""
        self.fps.append(frames / elapsed_s)
        self.frames_in += counters.frames_in
        self.frames_out += counters.frames_out
        self.frames_dropped += counters.frames_dropped

    def figures(self) -> dict[str, Any]:
        """Speed, latency and stages as they stand in a record."""
        return {
            "fps": statistics.median(self.fps),
            "fps_repeats": self.fps,
            "latency_ms": latency_percentiles(self.latency_ms),
            "stages_ms": {stage: statistics.median(values) for stage, values in self.stages_ms.items()},
        }


def bench_fps(
    bundles: Sequence[str | Path],
    source: str | Path,
    *,
    frames: int = 300,
    repeats: int = 5,
    reference: Reference | None = None,
    threads: int = 0,
    cleanup: bool = True,
    value_range: ValueRange | None = None,
    device: DeviceOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure bundles on a video, looped when it is short; the JSON object of docs/architecture.md.

    frames: counted frames per bundle and mode, spread over `repeats`. reference: runs each distinct set
    of networks in PyTorch FP32 eager, sequentially; of plans on the GPU, eager, with CUDA graphs and
    compiled, where PyTorch has it. cleanup: see `edgebs.load`, here for both. value_range: see `open_source`.
    device: see `edgebs.load`; PyTorch and trtexec run on its GPU, whose clocks and power are recorded.
    Raises EdgebsError where a bundle or the source is unusable.
    """
    if frames < repeats or repeats < 1:
        raise ValueError(f"frames must be at least repeats ({repeats}), got {frames}")
    device = replace(device or DeviceOptions(), timed=True)
    loaded = [load_bundle(bundle_path(bundle), device=device.device, lean=device.lean) for bundle in bundles]
    if not cleanup:
        loaded = [Bundle(b.path, replace(b.manifest, cleanup=CleanupSettings())) for b in loaded]
    chunk = -(-frames // repeats)
    size = _source_size(source, value_range)
    with ExitStack() as stack:
        pipelines = [stack.enter_context(load(bundle, threads=threads, device=device)) for bundle in loaded]
        manifests = [bundle.manifest for bundle in loaded]
        baselines = _baselines(reference, manifests, threads, device.device) if reference else {}
        samples = {(index, mode): Samples() for index in range(len(loaded)) for mode in MODES}
        counted_baselines = {key: Samples() for key in baselines}
        watch = stack.enter_context(watched_gpu(manifests, device.device))
        total = repeats * (len(samples) + len(counted_baselines))
        done = count(1)
        report = progress or (lambda _done, _total: None)
        for repeat in range(repeats):
            # Odd repeats run backwards: no configuration always follows the same neighbour.
            for index, mode in samples if repeat % 2 == 0 else reversed(samples):
                MODES[mode](pipelines[index], source, chunk, samples[index, mode], value_range)
                report(next(done), total)
            for key, pipeline in baselines.items():
                counted, remembered = min(BASELINE_FRAMES, chunk), WARM_UP - BASELINE_WARM_UP
                _sequential(pipeline, source, counted, counted_baselines[key], value_range, remembered)
                report(next(done), total)
        engines = [pipeline.descriptions() for pipeline in pipelines]
        gpu = {} if watch is None else {"gpu": watch.to_json()}
        doubts = [] if watch is None else watch.warnings()
    runs = [
        _run_record(loaded[index], mode, taken, engines[index], counted_baselines)
        for (index, mode), taken in samples.items()
    ]
    memory = {
        bundle.path: peak_rss_mb(bundle.path, source, min(chunk, 50), threads, value_range, device)
        for bundle in loaded
    }
    for run, (index, _mode) in zip(runs, samples, strict=True):
        run["peak_rss_mb"] = memory[loaded[index].path]
    base = _baseline_record(baselines, counted_baselines)
    return {
        "frames": frames,
        "repeats": repeats,
        "size": list(size),
        "source": source_name(source),
        "warm_up_frames": WARM_UP,
        "runs": runs,
        "baseline": base,
        "warnings": [*_warnings(runs, base), *doubts],
        **gpu,
        **({"trtexec": tool} if (tool := trtexec_times(loaded, device.device)) else {}),
        "timed": TIMED,
        "paper": PAPER,
        "machine": machine_facts(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def bundles_here(folder: Path = Path("bundles")) -> list[str | Path]:
    """The shipped models, or else every bundle below ./bundles: measured where none is named."""
    found: list[str | Path] = list(shipped_models()) or [
        path.parent for path in sorted(folder.glob("*/manifest.json")) if _can_run_here(path.parent)
    ]
    if not found:
        raise EdgebsError(
            "no bundle was named and there is none below ./bundles. "
            "Make one with: edgebs export crossnet --weights random --out bundles"
        )
    return found


def _can_run_here(bundle: Path) -> bool:
    try:
        load_bundle(bundle)
    except EngineMismatch as reason:
        logger.warning("left out: %s", reason)
        return False
    return True


def write_record(record: Mapping[str, Any], file: Path) -> None:
    """Keep a record as JSON, replacing an older one whole."""
    with atomic_file(file, EdgebsError) as temporary:
        temporary.write_text(json_text(record), encoding="utf-8")


def _pipelined(
    pipeline: Pipeline,
    source: str | Path,
    frames: int,
    samples: Samples,
    value_range: ValueRange | None = None,
) -> None:
    started_s = ended_s = 0.0
    opened = open_source(source, loop=True, value_range=value_range)
    for result in pipeline.run(opened, frames=WARM_UP + frames + TAIL):
        now_s = time.perf_counter()
        if result.index < WARM_UP:
            started_s = now_s
        elif result.index < WARM_UP + frames:
            samples.add(result, result.stages_ms["read"])
            ended_s = now_s
    samples.add_repeat(frames, ended_s - started_s, pipeline.counters)


def _sequential(
    pipeline: Pipeline,
    source: str | Path,
    frames: int,
    samples: Samples,
    value_range: ValueRange | None = None,
    remembered: int = 0,
) -> None:
    """remembered: frames of the warm-up that enter the history without a network."""
    pipeline.reset()
    with open_source(source, loop=True, value_range=value_range) as stream:
        for item in islice(stream, remembered):
            pipeline.remember(item.image, item.captured_s)
        for item in islice(stream, WARM_UP - remembered):
            pipeline.process(item.image, item.captured_s)
        _count_sequential(pipeline, stream, frames, samples)


def _count_sequential(pipeline: Pipeline, stream: Source, frames: int, samples: Samples) -> None:
    started_s = time.perf_counter()
    for _ in range(frames):
        before_s = time.perf_counter()
        item = next(stream)
        read_ms = (time.perf_counter() - before_s) * 1e3
        samples.add(pipeline.process(item.image, item.captured_s), read_ms)
    elapsed_s = time.perf_counter() - started_s
    samples.add_repeat(frames, elapsed_s, Counters(frames_in=frames, frames_out=frames))


MODES: dict[str, Callable[..., None]] = {"sequential": _sequential, "pipelined": _pipelined}


def _source_size(source: str | Path, value_range: ValueRange | None) -> tuple[int, int]:
    with open_source(source, value_range=value_range) as stream:
        first = next(iter(stream), None)
    if first is None:
        raise SourceError(f"{source_name(source)} holds no frame. Name another video with --source.")
    height, width = first.image.shape[:2]
    return height, width


def _baseline_key(manifest: Manifest) -> str:
    networks = {name: facts.weights_sha256 for name, facts in manifest.networks.items()}
    return json.dumps([networks, manifest.cue.to_json(), manifest.size], sort_keys=True)


def _baselines(
    reference: Reference, manifests: Sequence[Manifest], threads: int, device: int
) -> dict[_Baseline, Pipeline]:
    distinct = {(_baseline_key(manifest), runs_on_gpu(manifest)): manifest for manifest in manifests}
    pipelines: dict[_Baseline, Pipeline] = {}
    for (key, is_on_gpu), manifest in distinct.items():
        ways = reference.on_gpu(manifest, device) if is_on_gpu else {}
        pipelines |= {_Baseline(key, f"{way} on the GPU"): pipeline for way, pipeline in ways.items()}
        if not ways:
            pipelines[_Baseline(key)] = reference.on_cpu(manifest, threads)
    return pipelines


def _baseline_of(manifest: Manifest, reference: Mapping[_Baseline, Samples]) -> Samples | None:
    """PyTorch FP32 eager, the paper's way: on the GPU where the bundle runs there and PyTorch has it."""
    key = _baseline_key(manifest)
    on_gpu = reference.get(_Baseline(key, "eager on the GPU")) if runs_on_gpu(manifest) else None
    return on_gpu or reference.get(_Baseline(key))


def _is_the_papers(manifest: Manifest) -> bool:
    """Whether the segmenter is the one that the paper timed; the flow may be another."""
    segmenter = manifest.networks["segment"].description
    is_crossnet = (segmenter.get("network"), segmenter.get("width")) == ("crossnet", 64)
    return is_crossnet and manifest.size == (256, 256)


def _warnings(runs: Sequence[Mapping[str, Any]], baseline: Mapping[str, Any] | None) -> list[str]:
    """What makes the figures doubtful: on a busy machine the repeats disagree."""
    bases = [] if baseline is None else [baseline, *baseline["others"]]
    repeats = [(f"{run['bundle']} {run['mode']}", run["fps_repeats"]) for run in runs]
    repeats += [(base["name"], base["fps_repeats"]) for base in bases]
    return [
        f"{what}: the repeats range from {min(fps):.2f} to {max(fps):.2f} fps"
        for what, fps in repeats
        if max(fps) > SPREAD * min(fps)
    ]


def _run_record(
    bundle: Bundle,
    mode: str,
    samples: Samples,
    engines: dict[str, str],
    reference: dict[_Baseline, Samples],
) -> dict[str, Any]:
    manifest = bundle.manifest
    figures = samples.figures()
    base = _baseline_of(manifest, reference)
    device = {stage: statistics.median(values) for stage, values in samples.device_ms.items()}
    return {
        "bundle": bundle.path.name,
        "model": manifest.model,
        "trained": manifest.trained,
        "backend": manifest.networks["segment"].backend,
        "engines": engines,
        "cue": manifest.cue.provider,
        "precision": manifest.precision,
        "mode": mode,
        **figures,
        **({"device_ms": device} if device else {}),
        "frames_in": samples.frames_in,
        "frames_out": samples.frames_out,
        "frames_dropped": samples.frames_dropped,
        "times_baseline": figures["fps"] / statistics.median(base.fps) if base else None,
        "times_paper": figures["fps"] / PAPER_FPS if _is_the_papers(manifest) else None,
    }


def _baseline_record(
    baselines: dict[_Baseline, Pipeline], reference: dict[_Baseline, Samples]
) -> dict[str, Any] | None:
    records = [
        {
            "name": f"PyTorch FP32 {key.way}, {_networks(pipeline.manifest)}",
            "what": f"{pipeline.manifest.model}, cue {pipeline.manifest.cue.provider}, "
            f"{pipeline.descriptions()['segment']}, sequential",
            **reference[key].figures(),
        }
        for key, pipeline in baselines.items()
    ]
    return {**records[0], "others": records[1:]} if records else None


def _networks(manifest: Manifest) -> str:
    """For people: "crossnet width 64, cue dis"."""
    width = manifest.networks["segment"].description.get("width")
    return f"{manifest.model}{'' if width is None else f' width {width}'}, cue {manifest.cue.provider}"


def peak_rss_mb(
    bundle: Path,
    source: str | Path,
    frames: int,
    threads: int = 0,
    value_range: ValueRange | None = None,
    device: DeviceOptions | None = None,
) -> float:
    """Peak resident memory, in MB, of a fresh process that does nothing but run this bundle pipelined."""
    arguments = (bundle, source, frames, threads, json_from_device(device or DeviceOptions()))
    command = [sys.executable, "-m", "bench.speed.memory", *map(str, arguments), json.dumps(value_range)]
    roots = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, roots))}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    if done.returncode:
        # Secrets are hidden before the text is cut: half an address is not recognised as one.
        reason = reason_without_secrets(done.stderr.decode(errors="replace").strip(), source)
        raise EdgebsError(f"measuring the memory of {bundle} failed: {reason[-500:]}")
    return float(json.loads(done.stdout)["peak_rss_mb"])
