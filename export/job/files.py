"""Networks become files: ONNX in FP32, then in the other precisions, then engines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.stream import Stream
from calib.int8 import weight_bits
from calib.int8.accuracy import AccuracyControl
from edgebs.backends import Backend, open_backend
from edgebs.bundle.manifest import Manifest, NetworkFacts
from edgebs.machine.console import no_bar
from edgebs.machine.facts import installed_versions
from engines import Target
from engines.build import EngineFacts, build_engine
from export.feeds import (
    Feed,
    Sample,
    cue_feeds,
    samples_from_calibration,
    samples_from_stream,
    scene_cue_feeds,
    scene_facts,
    scene_feeds,
    segment_feeds,
)
from export.job import CALIBRATION_SAMPLES, CHECK_SAMPLES, SCENE_SAMPLES, Job, spoken_size
from export.job.precision import AUTO, Combination
from export.job.request import ExportRequest
from export.models.build import build_networks, network_origins
from export.models.request import ModelRequest

if TYPE_CHECKING:
    from export.networks.graphs import Graph


def export_fp32(job: Job, graphs: Mapping[str, Graph], stream: Stream) -> None:
    """Write every network as FP32 ONNX, checked against PyTorch, and keep what feeds it: `onnx`, `feeds`."""
    samples = _samples(job, stream)
    on_scenes = job.request.calibrates_on_scenes and job.request.needs_int8
    model = job.request.model
    if "cue" in graphs:
        if on_scenes and model.facts.flows:
            with job.bar("rendering scenes for the calibration of the flow") as progress:
                job.feeds["cue"] = scene_cue_feeds(model.cue, model.size, SCENE_SAMPLES, progress)
        else:
            job.feeds["cue"] = cue_feeds(samples, job.origins["cue"].inputs)
        _export_one(job, "cue", graphs["cue"])
    # The segmenter is fed the cue that it will get, so the cue network has to run first.
    with ExitStack() as stack:
        network: Backend | None = None
        if "cue" in graphs:
            network = open_backend("onnxruntime", job.onnx["cue", "fp32"])
            stack.callback(network.close)
        if on_scenes:
            with job.bar("rendering scenes for the calibration") as progress:
                job.feeds |= scene_feeds(model.cue, model.size, SCENE_SAMPLES, progress, network)
        else:
            job.feeds["segment"] = segment_feeds(samples, model.cue, network)
    _export_one(job, "segment", graphs["segment"])


def _samples(job: Job, stream: Stream) -> list[Sample]:
    model = job.request.model
    if job.calibration is not None:
        return samples_from_calibration(job.calibration, model.size, model.cue, CALIBRATION_SAMPLES)
    frames = [image for image, _ in stream]
    return samples_from_stream(frames, model.size, model.cue, CHECK_SAMPLES)


def _export_one(job: Job, name: str, graph: Any) -> None:
    started = time.perf_counter()
    file = job.folder / f"{name}.fp32.onnx"
    origin = job.origins[name]
    feeds = job.feeds[name][:CHECK_SAMPLES]
    if name == "cue" and job.request.model.has_external_flow:
        with job.bar(f"{name}: HOP around {origin.description['name']}"):
            graph.write(file, feeds)
        original = "the file itself"
    else:
        _onnx_from_graph(job, name, graph, feeds, file)
        _require_finite(job, name, "fp32", file)
        original = "PyTorch"
    job.onnx[name, "fp32"] = file
    job.say(
        f"{name}: ONNX agrees with {original} ({spoken_size(file)}, {time.perf_counter() - started:.0f} s)"
    )


def _onnx_from_graph(job: Job, name: str, graph: Graph, feeds: Sequence[Feed], file: Path) -> None:
    from export.convert import onnx_from_module
    from export.networks.graphs import deployed

    origin = job.origins[name]
    form = deployed(graph, job.request.model.size, for_tensorrt=job.target.for_tensorrt)
    with job.bar(f"{name}: PyTorch to ONNX"):
        onnx_from_module(form, origin.inputs, list(origin.outputs), feeds, file)


def engine_of(job: Job, name: str, precision: str) -> EngineFacts:
    """The engine of a network in a precision, built when first asked for."""
    from export.convert.lint import require_clean

    if (name, precision) in job.engines:
        return job.engines[name, precision]
    started = time.perf_counter()
    onnx_file = _onnx_in(job, name, precision)
    require_clean(onnx_file, for_tensorrt=job.target.for_tensorrt)
    if precision != "fp32":  # which was checked before the reference was computed
        _require_finite(job, name, precision, onnx_file)
    if job.request.build.batch is not None:
        onnx_file = _with_free_batch(job, name, onnx_file)
    out = job.folder / f"{precision}-{name}{job.target.file_suffix}"
    with job.bar(f"{name} {precision}: engine for {job.target.value}") as progress:
        facts = build_engine(onnx_file, job.target, out, options=job.request.build, progress=progress)
    seconds = time.perf_counter() - started
    job.say(f"{name} {precision}: {job.target.value} engine ({spoken_size(facts.file)}, {seconds:.0f} s)")
    if facts.gpu_layers:
        job.say(f"{name} {precision}: the DLA leaves to the GPU: {', '.join(facts.gpu_layers)}")
    job.engines[name, precision] = facts
    return facts


def _require_finite(job: Job, name: str, precision: str, file: Path) -> None:
    """Every network in every precision, on pictures of an even colour and the like."""
    from export.convert.hard_pictures import require_finite

    what, repair = f"network '{name}' in {precision.upper()}", "Use other weights or another precision."
    with job.bar(f"{name} {precision}: black, white and even pictures"):
        require_finite(file, job.feeds[name][0], what, repair)


def _with_free_batch(job: Job, name: str, onnx_file: Path) -> Path:
    from export.convert.free_batch import free_batch

    freed = onnx_file.with_name(f"batch-{onnx_file.name}")
    free_batch(onnx_file, freed, job.feeds[name][:CHECK_SAMPLES])
    return freed


def _onnx_in(job: Job, name: str, precision: str) -> Path:
    """The network's ONNX file in a precision, made from the FP32 one when first asked for."""
    if (name, precision) not in job.onnx:
        file = job.folder / f"{name}.{precision}.onnx"
        fp32, feeds = job.onnx[name, "fp32"], job.feeds[name]
        if precision == "fp16":
            from export.convert.fp16 import fp16_from_fp32

            with job.bar(f"{name}: to FP16"):
                fp16_from_fp32(fp32, file, feeds[:CHECK_SAMPLES])
        else:
            quantise(job, name, file, None)
        job.onnx[name, precision] = file
    return job.onnx[name, precision]


def quantise(job: Job, name: str, file: Path, control: AccuracyControl | None) -> None:
    """Write a network as INT8 ONNX to `file`; with `control`, its worst layers stay in floating point."""
    from calib.int8 import int8_from_fp32

    title = "to INT8, samples" if control is None else "INT8 layers back to floating point"
    with job.bar(f"{name}: {title}") as progress:
        int8_from_fp32(
            job.onnx[name, "fp32"],
            file,
            job.feeds[name],
            signed=job.target.for_tensorrt,
            control=control,
            progress=progress,
        )


def manifest_of(
    job: Job,
    asked: str,
    precisions: Combination,
    engines: Mapping[str, EngineFacts],
    why: Mapping[str, Any] | None = None,
) -> Manifest:
    """asked: the precision that names the bundle. why: where that was `auto`."""
    request, model = job.request, job.request.model
    return Manifest(
        name=request.bundle_path(asked).name,
        model=model.model,
        target=job.target.value,
        precision=_narrowest(precisions) if asked == AUTO else asked,
        size=model.size,
        threshold=model.mask_threshold,
        cleanup=request.cleanup,
        cue=model.cue,
        networks={name: _network_facts(job, name, precision) for name, precision in precisions.items()},
        weights={name: origin.origin for name, origin in job.origins.items()},
        calibration=_calibration_facts(job) if "int8" in precisions.values() else None,
        tools=installed_versions(),
        build=_build_facts(engines),
        choice=why,
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )


def manifest_in_fp32(model: ModelRequest) -> Manifest:
    """What a bundle of these networks would say, without one: for pipelines in PyTorch."""
    request = ExportRequest(model=model, out=Path())
    job = Job(request, Target.CPU, Path(), _unsaid, no_bar)
    job.origins = network_origins(model, build_networks(model))
    return manifest_of(job, "fp32", dict.fromkeys(job.origins, "fp32"), {})


def _unsaid(line: str) -> None:
    """Nobody asked."""


def _narrowest(precisions: Combination) -> str:
    """The precision that a bundle of several is judged as."""
    return next(each for each in ("int8", "fp16", "fp32") if each in precisions.values())


def _build_facts(engines: Mapping[str, EngineFacts]) -> dict[str, Any] | None:
    """What the plans were built for, and per network how; None without plans."""
    plans = [facts.plan for facts in engines.values() if facts.plan]
    options = {name: facts.options_json() for name, facts in engines.items() if facts.options_json()}
    return {**plans[0].to_json(), **({"networks": options} if options else {})} if plans else None


def _calibration_facts(job: Job) -> dict[str, Any]:
    if job.calibration is None:
        count = len(job.feeds["segment"])
        return {**scene_facts(job.request.model.cue, count), "frames_used": count}
    return {**job.calibration.facts(), "frames_used": len(job.feeds["segment"])}


def _network_facts(job: Job, name: str, precision: str) -> NetworkFacts:
    file, compute = f"{name}{job.target.file_suffix}", job.request.compute_for(precision)
    bits = weight_bits(signed=job.target.for_tensorrt) if precision == "int8" else None
    return job.origins[name].facts(file, job.target.backend, precision, compute, bits)
