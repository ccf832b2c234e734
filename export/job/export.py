"""A request becomes bundles: PyTorch -> ONNX -> precision -> engine -> parity, one bundle per precision."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.parity import parity_stream, require_passed
from bench.scored import find_sequences
from calib.frames import CalibrationSet, load_calibration_set
from calib.frames.content import require_usable
from edgebs.backends.openvino import require_compute
from edgebs.bundle import Bundle, require_replaceable
from edgebs.errors import ExportError
from edgebs.files import kept_if_filled, scratch_folder
from edgebs.machine.console import Log, ProgressBar, no_bar
from edgebs.nvidia.cuda import require_device
from edgebs.nvidia.tensorrt import import_tensorrt
from edgebs.nvidia.tensorrt.engine import module_of
from engines import target_named
from export.feeds import spread_samples
from export.job import CALIBRATION_SAMPLES, Job
from export.job.precision import AUTO
from export.job.request import ExportRequest

logger = logging.getLogger(__name__)


def export_bundles(request: ExportRequest, log: Log = logger.info, bar: ProgressBar = no_bar) -> list[Bundle]:
    """Export every requested precision; `log` receives one line per step.

    A bundle is compared with PyTorch before it appears under its name: an export that is stopped leaves the
    finished precisions, and nothing of the others. A bundle that fails its parity gate is written too, marked
    so, and ParityError is raised once all are written. A request that cannot be met is refused before
    anything is written: ExportError, CalibrationError, WeightsError, SourceError, BundleError,
    MissingDependency.
    """
    _require_possible(request)
    chosen = None if request.calibrates_on_scenes else request.calibration
    calibration = load_calibration_set(chosen) if chosen is not None else None
    if calibration is not None and request.needs_int8:
        _require_usable(calibration, request, log)
    stream = parity_stream(request.source, request.parity_frames, request.value_range)
    with _work_folder(request.out) as folder:
        job = Job(request, folder, log, bar, calibration)
        graphs = job.build()
        log(f"built {_describe(job)}")
        if request.model.untrained_flow_note:
            log(f"note: {request.model.untrained_flow_note}")
        if request.model.has_external_flow and job.origins["cue"].origin["trained"]:
            _check_flow(job, graphs["cue"])
        job.fp32(graphs, stream)
        job.record_reference(graphs, stream)
        graphs.clear()  # gigabytes at full width, and INT8 needs the memory
        # `auto` may replace INT8 files by files with layers in floating point: plain INT8 comes first.
        asked = sorted(dict.fromkeys(request.precisions), key=lambda precision: precision == AUTO)
        bundles = [job.bundle(precision) for precision in asked]
    for bundle in bundles:
        require_passed(str(bundle.path), bundle.manifest.parity or {})
    return bundles


def _require_possible(request: ExportRequest) -> None:
    """Refuse what this machine or the named files do not allow, before any network is built."""
    target = target_named(request.target)
    if request.target == "cpu":
        require_compute(request.compute)
    if target.for_tensorrt:
        import_tensorrt(target.module)
    if target.needs_gpu:
        import_tensorrt(module_of(target.module, request.build.loaded_with))
        require_device()
    if request.data is not None:
        find_sequences(request.data, value_range=request.value_range)
    for precision in request.precisions:
        require_replaceable(request.bundle_path(precision), force=request.force)


def _require_usable(calibration: CalibrationSet, request: ExportRequest, log: Log) -> None:
    """Refuse pictures on which no range can be measured."""
    samples = spread_samples(calibration, CALIBRATION_SAMPLES)
    where = f"calibration set {calibration.folder}"
    if weak := require_usable(samples, where, has_flow=bool(request.model.cue.intervals)):
        log(f"note: {where}: {weak}")


@contextmanager
def _work_folder(out: Path) -> Iterator[Path]:
    """A folder in `out` for unfinished files, removed at the end; `out` too if it is new and empty."""
    try:
        with kept_if_filled(out), scratch_folder(out / "export") as folder:
            yield folder
    except OSError as cause:
        where = cause.filename or out
        raise ExportError(
            f"cannot write into {out}: {where}: {cause.strerror or cause}. No bundle was left half written; "
            "free space or choose a writable --out."
        ) from cause


def _describe(job: Job) -> str:
    return ", ".join(
        f"{name} {origin.description['network']} ({origin.parameters / 1e6:.1f} M parameters, "
        f"{origin.gflop:.1f} GFLOP{'' if origin.origin['trained'] else ', untrained'})"
        for name, origin in job.origins.items()
    )


def _check_flow(job: Job, flow: Any) -> None:
    """Log the error of an external flow on rendered scenes, and keep it in the manifest."""
    with job.bar("flow on rendered scenes"):
        check = flow.check()
    job.log(f"flow {flow.sidecar.name}: {check}")
    known = job.origins["cue"]
    job.origins["cue"] = replace(known, origin={**known.origin, "check": asdict(check)})
