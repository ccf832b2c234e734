"""A GPU lent for an hour, in one command: `python -m export.release.gpu_day OUT`.

It runs the tests that need a GPU, and measures the camera-to-mask speed of `edge` and of the paper's pipeline
(full-width CrossNet behind SelFlow, random weights) by the best path that the card has, beside PyTorch FP32
eager one frame at a time, the paper's way, as ratios of one run. What fails is recorded. The record is one
JSON file per day and card.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bench.parity import video_or_rendered
from bench.speed.fps import MODES, Samples, bench_fps, write_record
from edgebs.bundle.manifest import Manifest
from edgebs.bundle.plan import AHEAD_OF_TIME
from edgebs.errors import EdgebsError, ParityError
from edgebs.facts import machine_facts
from edgebs.files import scratch_folder
from edgebs.machine.console import errors_in_one_line, note, progress_bar
from edgebs.nvidia import cuda
from edgebs.pipeline import Pipeline
from export.job import Job
from export.job.export import export_bundles
from export.job.request import ExportRequest
from export.models.reference import TorchReference, cuda_baselines
from export.models.request import ModelRequest

PARTS = ("tests", "figures")
MODELS: Mapping[str, tuple[ModelRequest, str]] = {
    "edge": (ModelRequest(model="edge"), "auto"),
    "edge, flow on the GPU": (ModelRequest(model="edge", flow="net"), "auto"),
    # FP16: INT8 needs a calibration set of a scene, and shows nothing with random weights.
    "the paper's": (ModelRequest(model="crossnet", weights="random", flow="selflow"), "fp16"),
}
"""What is measured, and in which precision as plans."""
EAGER = "eager"
FAILURES = (EdgebsError, RuntimeError)
"""Errors of one model, recorded so that the others still run; PyTorch raises RuntimeErrors."""


def gpu_tests() -> dict[str, Any]:
    """Run `pytest -m gpu`, which fails without a GPU: the number of passed tests, and why others failed."""
    with scratch_folder() as folder:
        report = folder / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junitxml={report}"]
        done = subprocess.run(command, env={**os.environ, "EDGEBS_REQUIRE_GPU": "1"}, check=False)
        if not report.is_file():
            return {"exit_code": done.returncode, "failure": "pytest wrote no report"}
        return {"exit_code": done.returncode, **report_facts(report)}


def report_facts(report: Path) -> dict[str, Any]:
    """Facts of a JUnit report: the number of `passed`, and the messages of `failed` and `skipped` by test."""
    facts: dict[str, Any] = {"passed": 0, "failed": {}, "skipped": {}}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
        for child in bad:
            facts["skipped" if child.tag == "skipped" else "failed"][name] = child.get("message", "")
        facts["passed"] += not bad
    return facts


def plan_target() -> tuple[str, str]:
    """The target whose plans this card can run, or "" and the reason why there is none."""
    if importlib.util.find_spec("tensorrt") is not None:
        return "gpu", ""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        return "", "neither TensorRT nor TensorRT-RTX is installed"
    capability = cuda.device_facts().compute_capability
    return f"sm{capability.replace('.', '')}" if capability in AHEAD_OF_TIME else "rtx", ""


def figures_of_plans(
    models: Mapping[str, tuple[ModelRequest, str]], target: str, video: str | Path, frames: int, repeats: int
) -> dict[str, Any]:
    """Export each model to plans here and bench them, PyTorch on the GPU beside; by name, or the failure."""
    with scratch_folder() as folder:

        def measure(model: ModelRequest, precision: str) -> dict[str, Any]:
            out = folder / str(len(list(folder.iterdir())))
            request = ExportRequest(model=model, target=target, precisions=(precision,), out=out)
            failed = _exported(request)
            bundles = [request.bundle_path(precision)]
            reference = TorchReference()
            measured = bench_fps(bundles, video, frames=frames, repeats=repeats, reference=reference)
            return {**measured, **failed}

        return _by_model(models, measure)


def _by_model(
    models: Mapping[str, tuple[ModelRequest, str]], measure: Callable[[ModelRequest, str], dict[str, Any]]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (model, precision) in models.items():
        try:
            found[name] = measure(model, precision)
        except FAILURES as error:
            found[name] = {"failure": str(error)}
    return found


def _exported(request: ExportRequest) -> dict[str, str]:
    """Export, and return a failure of parity: a bundle that fails its gate is written, and as fast."""
    try:
        export_bundles(request, note, progress_bar)
    except ParityError as error:
        return {"parity_failure": str(error)}
    return {}


def figures_of_pytorch(
    models: Mapping[str, tuple[ModelRequest, str]], video: str | Path, frames: int, repeats: int
) -> dict[str, Any]:
    """Each model in PyTorch on the GPU, eager, as graphs and compiled, one frame at a time and pipelined."""
    return _by_model(models, lambda model, _: _ways(_fp32_manifest(model), video, frames, repeats))


def _fp32_manifest(model: ModelRequest) -> Manifest:
    job = Job(ExportRequest(model=model, out=Path()), Path())
    job.build()
    return job.fp32_manifest


def _ways(manifest: Manifest, video: str | Path, frames: int, repeats: int) -> dict[str, Any]:
    with ExitStack() as stack:
        pipelines: dict[str, Pipeline] = {
            way: stack.enter_context(pipeline) for way, pipeline in cuda_baselines(manifest).items()
        }
        samples = {(way, mode): Samples() for way in pipelines for mode in MODES}
        for _ in range(repeats):
            for (way, mode), taken in samples.items():
                MODES[mode](pipelines[way], video, frames // repeats, taken)
        engines = {way: pipeline.descriptions() for way, pipeline in pipelines.items()}
    fps = {key: statistics.median(taken.fps) for key, taken in samples.items()}
    eager = fps.get((EAGER, "sequential"))
    if eager is None:
        return {"failure": "PyTorch has no CUDA device here"}
    return {
        "runs": [
            {
                "way": way,
                "mode": mode,
                "fps": fps[way, mode],
                "fps_repeats": taken.fps,
                "times_eager_sequential": fps[way, mode] / eager,
                "engines": engines[way],
            }
            for (way, mode), taken in samples.items()
        ],
        "best_times_eager_sequential": max(fps.values()) / eager,
    }


def gpu_day(
    parts: Sequence[str] = PARTS,
    *,
    frames: int = 300,
    repeats: int = 5,
    keep: Callable[[Mapping[str, Any]], object] = lambda _: None,
) -> dict[str, Any]:
    """Everything, as JSON. keep: receives the record after each part, for a lease may end in the middle.

    Raises BackendError without a GPU.
    """
    cuda.require_device()
    record: dict[str, Any] = {
        "gpu": cuda.device_facts().name,
        "compute_capability": cuda.device_facts().compute_capability,
        "command": "python -m export.release.gpu_day",
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": machine_facts(),
    }
    if "tests" in parts:
        record["tests"] = gpu_tests()
        keep(record)
    if "figures" in parts:
        target, why_none = plan_target()
        with video_or_rendered(None) as video:
            plans = figures_of_plans(MODELS, target, video, frames, repeats) if target else {}
            record["plans"] = {"target": target, "why_none": why_none, "figures": plans}
            keep(record)
            if all("failure" in found for found in plans.values()):
                record["pytorch"] = figures_of_pytorch(MODELS, video, frames, repeats)
                keep(record)
    return record


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of the record, bench/results say")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--frames", type=int, default=300, help="counted frames a model and mode")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved; the median counts")
    options = parser.parse_args()
    if options.frames < options.repeats:
        parser.error(f"--frames must be at least --repeats, {options.repeats}, got {options.frames}")
    with errors_in_one_line():
        parts = (options.only,) if options.only else PARTS
        gpu_day(parts, frames=options.frames, repeats=options.repeats, keep=partial(_write, options))


def _write(options: argparse.Namespace, record: Mapping[str, Any]) -> None:
    card = re.sub(r"[^a-z0-9]+", "-", record["gpu"].lower()).strip("-")
    suffix = f"-{options.only}" if options.only else ""
    file = options.out / f"{record['date'][:10]}-{card}{suffix}.json"
    write_record(record, file)
    note(f"wrote {file}")


if __name__ == "__main__":
    main()
