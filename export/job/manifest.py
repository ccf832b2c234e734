"""What a bundle's manifest says of how it was made."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calib.int8.quantise import weight_bits
from edgebs.bundle.manifest import Manifest, NetworkFacts
from edgebs.machine.facts import installed_versions
from engines.build import EngineFacts
from engines.targets import Target
from export.feeds.samples import scene_facts
from export.job.job import Job, no_bar
from export.job.precision import AUTO, Combination
from export.job.request import ExportRequest
from export.models.build import build_networks, network_origins
from export.models.request import ModelRequest


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
