"""A request turned into bundles: PyTorch -> ONNX -> precision -> engine -> parity, one bundle a precision."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.parity import UNPROVED, ReferenceFrame, require_passed
from bench.scored import find_sequences
from bench.speed import interleaved_ms
from bench.stream import parity_stream
from bench.tables import verdict
from calib.frames import CalibrationSet, load_calibration_set
from calib.frames.content import require_usable
from calib.int8.accuracy import AccuracyControl, layers_in_floating_point
from edgebs.backends import Backend, open_backend
from edgebs.backends.openvino import require_compute
from edgebs.bundle import Bundle, require_replaceable, write_bundle
from edgebs.errors import BackendError, EdgebsError, EngineMismatch, MissingDependency, ParityError
from edgebs.machine.console import Log, ProgressBar, no_bar
from edgebs.nvidia.cuda import require_device
from edgebs.nvidia.tensorrt import check_plan_fits_here, import_tensorrt
from edgebs.nvidia.tensorrt.engine import module_of
from edgebs.tensors import Array
from engines import Target, target_named
from engines.build import EngineFacts
from export.feeds import spread_samples
from export.job import CALIBRATION_SAMPLES, Job, spoken_networks, work_folder
from export.job.files import engine_of, export_fp32, manifest_of, quantise
from export.job.parity import control_of, parity_of, reference_of
from export.job.precision import AUTO, Combination, choose_precisions
from export.job.request import ExportRequest
from export.models.build import build_networks, network_origins

logger = logging.getLogger(__name__)


def export_bundles(request: ExportRequest, say: Log = logger.info, bar: ProgressBar = no_bar) -> list[Bundle]:
    """Export every requested precision; `say` hears one line a step, `bar` draws the steps that take long.

    A bundle is checked against PyTorch before it appears under its name: an export that is stopped leaves the
    precisions that are finished, and nothing of the others. One that fails its parity gate is written too,
    marked so, and ParityError is raised once all are written. What cannot be done is refused before anything
    is written: ExportError, CalibrationError, WeightsError, SourceError, BundleError, MissingDependency.
    """
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
    chosen = None if request.calibrates_on_scenes else request.calibration
    calibration = load_calibration_set(chosen) if chosen is not None else None
    if calibration is not None and request.needs_int8:
        _require_usable(calibration, request, say)
    stream = parity_stream(request.source, request.parity_frames, request.value_range)
    with work_folder(request.out) as folder:
        job = Job(request, target, folder, say, bar, calibration=calibration)
        with bar("building the networks"):
            graphs = build_networks(request.model)
            job.origins = network_origins(request.model, graphs)
        say(f"built {spoken_networks(job.origins)}")
        if request.model.untrained_flow_note:
            say(f"note: {request.model.untrained_flow_note}")
        if request.model.has_external_flow and job.origins["cue"].origin["trained"]:
            _check_flow(job, graphs["cue"])
        export_fp32(job, graphs, stream)
        reference = reference_of(job, graphs, stream)
        graphs.clear()  # gigabytes at full width, and INT8 needs the room
        # `auto` may make INT8 files again, with layers in floating point: those of a plain INT8 come first.
        asked = sorted(dict.fromkeys(request.precisions), key=lambda precision: precision == AUTO)
        bundles = [_bundle(job, precision, reference) for precision in asked]
    for bundle in bundles:
        require_passed(str(bundle.path), bundle.manifest.parity or {})
    return bundles


def _require_usable(calibration: CalibrationSet, request: ExportRequest, say: Log) -> None:
    """Refuse pictures on which no range can be measured, before any network is built."""
    samples = spread_samples(calibration, CALIBRATION_SAMPLES)
    where = f"calibration set {calibration.folder}"
    if weak := require_usable(samples, where, has_flow=bool(request.model.cue.intervals)):
        say(f"note: {where}: {weak}")


def _check_flow(job: Job, flow: Any) -> None:
    """Log the error of an external flow on rendered scenes, and keep it in the manifest."""
    with job.bar("flow on rendered scenes"):
        check = flow.check()
    job.say(f"flow {flow.sidecar.name}: {check}")
    known = job.origins["cue"]
    job.origins["cue"] = replace(known, origin={**known.origin, "check": asdict(check)})


def _bundle(job: Job, asked: str, reference: Sequence[ReferenceFrame]) -> Bundle:
    """One precision: its ONNX files, engines, bundle folder and parity result."""
    precisions: Combination = {name: job.request.precision_of(name, asked) for name in job.origins}
    why, proved = None, None
    if asked == AUTO:
        precisions, why, proved = _chosen(job, reference)
    engines = {name: engine_of(job, name, precision) for name, precision in precisions.items()}
    manifest = manifest_of(job, asked, precisions, engines, why)
    failure: EdgebsError | None = None
    try:
        parity = proved or parity_of(
            job, manifest, {name: facts.file for name, facts in engines.items()}, reference
        )
    except EdgebsError as cause:
        # The bundle is written all the same: it must say that nothing was proved.
        failure = cause
        parity = {**UNPROVED, "precision": manifest.precision, "reason": str(cause)}
    files = {manifest.networks[name].file: facts.file for name, facts in engines.items()}
    path = job.request.bundle_path(asked)
    bundle = write_bundle(replace(manifest, parity=parity), files, path, force=job.request.force)
    for name, precision in precisions.items():
        del job.engines[name, precision]  # its file was moved
    if failure is not None:
        raise failure
    result = bundle.manifest.parity or {}
    job.say(
        f"{bundle.path}: {result['gate']}: {result['value']:.3g}, {verdict(result)} ({result['checked']})"
    )
    return bundle


def _chosen(
    job: Job, reference: Sequence[ReferenceFrame]
) -> tuple[Combination, Mapping[str, Any], dict[str, Any]]:
    """The precisions that `auto` chooses, why, and the parity result of these very files."""

    results: list[dict[str, Any]] = []

    def judged(combination: Combination) -> Mapping[str, Any]:
        files = {name: job.engines[name, precision].file for name, precision in combination.items()}
        try:
            results.append(parity_of(job, manifest_of(job, AUTO, combination, {}), files, reference))
        except ParityError:  # NaN, say: another combination may do
            results.append({})
            return {**UNPROVED, "networks": {name: {"cosine": 0.0} for name in combination}}
        return results[-1]

    workshop = ExportWorkshop(
        target=job.target,
        compute=job.request.compute,
        onnx=job.onnx,
        engines=job.engines,
        feeds=job.feeds,
        make_engine=lambda name, precision: engine_of(job, name, precision),
        judge=judged,
        control=lambda name: control_of(job, name),
        quantise=lambda name, file, control: quantise(job, name, file, control),
    )
    gflop = {name: origin.gflop for name, origin in job.origins.items()}
    unquantised = [name for name in gflop if job.request.precision_of(name, "int8") != "int8"]
    choice = choose_precisions(gflop, workshop, job.say, unquantised=unquantised)
    return choice.precisions, choice.why, results[-1]  # the last that is judged is kept


Quantise = Callable[[str, Path, AccuracyControl], None]
"""Writes a network's INT8 file under control of a score."""


@dataclass(slots=True, kw_only=True)
class ExportWorkshop:
    """Implements export.job.precision.Workshop over the steps of an export."""

    target: Target
    compute: str
    """Arithmetic of what FP16 and INT8 files leave in floating point."""
    onnx: MutableMapping[tuple[str, str], Path]
    """By network and precision; INT8 files are replaced here."""
    engines: MutableMapping[tuple[str, str], EngineFacts]
    """What `make_engine` made, by the same."""
    feeds: Mapping[str, Sequence[Mapping[str, Array]]]
    """Real inputs of each network."""
    make_engine: Callable[[str, str], EngineFacts]
    judge: Callable[[Combination], Mapping[str, Any]]
    control: Callable[[str], AccuracyControl | None]
    """None where nothing can judge a network by itself: its INT8 is then taken whole or not at all."""
    quantise: Quantise

    def build(self, network: str, precision: str) -> None:
        """See Workshop."""
        self.make_engine(network, precision)

    def times_ms(self, network: str, precisions: Sequence[str]) -> Mapping[str, float] | None:
        """See Workshop."""
        with ExitStack() as stack:
            running: dict[str, Backend] = {}
            for precision in precisions:
                engine = self._opened(self.engines[network, precision], precision)
                if engine is None:
                    return None
                running[precision] = engine
                stack.callback(engine.close)
            return interleaved_ms(running, self.feeds[network][0])

    def parity(self, combination: Combination) -> Mapping[str, Any]:
        """See Workshop."""
        return self.judge(combination)

    def give_back(self, network: str) -> Sequence[str]:
        """See Workshop."""
        control = self.control(network)
        if control is None:
            return []
        plain = self.onnx[network, "int8"]
        before = set(layers_in_floating_point(plain))
        controlled = plain.with_name(f"controlled-{plain.name}")
        self.quantise(network, controlled, control)
        given_back = [name for name in layers_in_floating_point(controlled) if name not in before]
        if not given_back:
            controlled.unlink()
            return []
        controlled.replace(plain)
        del self.engines[network, "int8"]
        self.make_engine(network, "int8")
        return given_back

    def _opened(self, facts: EngineFacts, precision: str) -> Backend | None:
        """The engine, ready to run; None where this machine cannot run it."""
        try:
            if facts.plan is not None:
                check_plan_fits_here(facts.plan.to_json(), where=facts.file.name, target=self.target.value)
            compute = self.compute if precision != "fp32" else "f32"
            device = facts.options.loaded_with
            return open_backend(facts.backend, facts.file, compute=compute, device=device)
        except (EngineMismatch, MissingDependency, BackendError):
            if facts.plan is None or self.target.needs_gpu:
                raise  # it was built for this very machine
            return None
