"""How an export judges what it made: against PyTorch, on a stream, scored sequences or rendered scenes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.parity import ReferenceFrame, TaskLevel, compare, count_on_sequences, judge, record_reference
from bench.stream import Stream
from calib.int8.accuracy import AccuracyControl
from edgebs.backends import Backend, open_backend
from edgebs.bundle.manifest import Manifest
from edgebs.cues import open_cue
from edgebs.pipeline import Pipeline
from export.job import Job
from export.job.files import manifest_of
from export.models.reference import torch_modules, torch_pipeline

if TYPE_CHECKING:
    from export.networks.graphs import Graph


def reference_of(job: Job, graphs: Mapping[str, Graph], stream: Stream) -> list[ReferenceFrame]:
    """What PyTorch in FP32 says of the stream that all bundles are compared on."""
    started = time.perf_counter()
    manifest = manifest_of(job, "fp32", dict.fromkeys(job.origins, "fp32"), {})
    with job.bar("PyTorch reference") as progress:
        reference = record_reference(torch_pipeline(manifest, graphs), stream, progress)
    job.say(f"reference: {len(reference)} frames in PyTorch FP32 ({time.perf_counter() - started:.0f} s)")
    return reference


def parity_of(
    job: Job, manifest: Manifest, files: Mapping[str, Path], reference: Sequence[ReferenceFrame]
) -> dict[str, Any]:
    """The parity result of engine `files`, by network."""
    with ExitStack() as stack:
        # A plan for another GPU cannot run here; the ONNX file that it was built from can.
        is_elsewhere = job.target.for_tensorrt and not job.target.needs_gpu
        engines: dict[str, Backend] = {}
        for name, facts in manifest.networks.items():
            file = job.onnx[name, facts.precision] if is_elsewhere else files[name]
            runtime = "onnxruntime" if is_elsewhere else facts.backend
            engines[name] = open_backend(
                runtime, file, compute=facts.compute, device=job.request.build.loaded_with
            )
            stack.callback(engines[name].close)
        cue = open_cue(manifest.cue, manifest.size, engines.get("cue"))
        pipeline = Pipeline(manifest, engines["segment"], cue)
        with job.bar("parity, frames") as progress:
            levels = compare(pipeline, reference, progress)
        task = None
        if level := _task_level(job, manifest):
            with job.bar("parity of F") as progress:
                task = level.change(pipeline, progress)
        checked = "onnx file of the plan, in ONNX Runtime" if is_elsewhere else "engine"
        return {**judge(manifest, levels, task), "checked": checked, "engines": pipeline.descriptions()}


def _task_level(job: Job, manifest: Manifest) -> TaskLevel | None:
    """F by PyTorch on scored sequences or rendered scenes; None where neither is meant."""
    data = job.request.data
    if job.task is None and (data is not None or _is_judged_on_scenes(job, manifest)):
        original = torch_pipeline(manifest, torch_modules(manifest))
        if data is not None:
            count = count_on_sequences(data, job.request.value_range)
        else:
            # Thin masks on a short stream judge badly; what it was trained on has an exact truth.
            from export.feeds.judges import count_on_scenes

            with job.bar("scenes for parity of F") as progress:
                count = count_on_scenes(original, progress)
        with job.bar("parity of F, PyTorch") as progress:
            job.task = TaskLevel(count, original, progress)
    return job.task


def _is_judged_on_scenes(job: Job, manifest: Manifest) -> bool:
    """Whether rendered scenes are the truth: where none was given, and the networks were trained on such."""
    is_default = job.request.source is None and job.request.data is None
    return is_default and manifest.trained and job.request.model.facts.is_trained_on_scenes


def control_of(job: Job, name: str) -> AccuracyControl | None:
    """What judges a network while its layers are given back: F where there is a truth, else masks.

    None for a network of flow vectors: the runtime makes the cue of them with what it knows of the scene.
    """
    from export.feeds.judges import (
        CASES,
        control_by_cue_masks,
        control_by_masks,
        control_by_truth,
        scene_cases,
        scored_cases,
    )

    manifest = manifest_of(job, "fp32", dict.fromkeys(job.origins, "fp32"), {})
    data = job.request.data
    segment, feeds = job.onnx["segment", "fp32"], job.feeds["segment"][:CASES]
    if name == "cue" and "cue" not in job.origins["cue"].outputs:
        return None
    if name == "cue":
        return control_by_cue_masks(
            job.feeds["cue"][:CASES], feeds, job.onnx["cue", "fp32"], segment, manifest
        )
    if data is not None:
        with job.bar("frames to judge layers by"):
            original = torch_pipeline(manifest, torch_modules(manifest))
            cases = scored_cases(original, data, CASES, job.request.value_range)
            return control_by_truth(cases, manifest.threshold)
    # A background network would have to see each scene first: its masks on the stream judge instead.
    if _is_judged_on_scenes(job, manifest) and manifest.cue.intervals:
        with job.bar("scenes to judge layers by"):
            return control_by_truth(scene_cases(manifest, CASES), manifest.threshold)
    return control_by_masks(feeds, segment, manifest)
