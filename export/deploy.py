"""A request turned into bundles: PyTorch -> ONNX -> precision -> engine -> parity, one bundle a precision."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.machine import installed_versions
from bench.parity import (
    UNPROVED,
    ReferenceFrame,
    TaskLevel,
    compare,
    count_on_sequences,
    judge,
    record_reference,
    require_passed,
)
from bench.report import verdict
from bench.scored import find_sequences
from bench.stream import Stream, parity_stream
from bench.torch_baseline import BROUGHT, torch_modules, torch_pipeline
from calib.accuracy_control import AccuracyControl
from calib.stored_set import FACTS, CalibrationSet, load_calibration_set
from edgebs.backends import Backend, open_backend
from edgebs.backends.openvino import require_compute
from edgebs.backends.tensorrt_engine import module_of
from edgebs.backends.tensorrt_module import import_tensorrt
from edgebs.bundle import Bundle, rewrite_manifest, write_bundle
from edgebs.cuda import require_device
from edgebs.cues import open_cue
from edgebs.errors import BundleError, CalibrationError, EdgebsError, ExportError, ParityError
from edgebs.manifest import CleanupSettings, Manifest, NetworkFacts
from edgebs.pipeline import Pipeline
from engines.build import EngineFacts, build_engine
from engines.build_options import BuildOptions
from engines.targets import Target, target_named
from export.auto_precision import AUTO, Combination, choose_precisions
from export.models import PRECISIONS, ModelRequest
from export.networks import NetworkOrigin, build_networks, network_origins
from export.samples import (
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

if TYPE_CHECKING:
    from export.graphs import Graph

logger = logging.getLogger(__name__)

CHECK_SAMPLES = 2
"""Samples on which ONNX Runtime must agree with PyTorch after each step."""
CALIBRATION_SAMPLES = 64
"""Samples of the set that calibrate INT8: each costs up to a second at full width."""
RENDERED = "rendered"
"""In place of a calibration set's folder: the scenes of the training."""
Say = Callable[[str], None]
Bar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Opens a progress bar with a title; what it yields is told (done, total), total 0 for unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What to export, and to where."""

    model: ModelRequest = field(default_factory=ModelRequest)
    target: str = "cpu"
    precisions: tuple[str, ...] = ("fp32",)
    out: Path
    """Folder that receives one bundle a precision."""
    calibration: str | Path | None = None
    """A calibration set's folder, or the text `rendered`: the scenes that `edge` was trained on, its default.
    A folder of that name is meant by a Path, or by ./rendered."""
    source: str | Path | None = None
    """Video of the parity check; a rendered street where there is none."""
    data: Path | None = None
    """Scored sequences for parity of F."""
    speck_px: int | None = None
    """Specks that the bundle's masks are cleaned of; None, here and below, as the shipped bundle does where
    its weights are exported, else 0: off."""
    hole_px: int | None = None
    """Holes that are filled in them."""
    compute: str = "f32"
    """Arithmetic of what FP16 and INT8 files leave in floating point, on the CPU: f32 or bf16."""
    flow_precision: str = ""
    """Precision of the flow network where it differs from the bundle's; "" for the same."""
    build: BuildOptions = field(default_factory=BuildOptions)
    """Of TensorRT plans."""
    parity_frames: int = 24
    """Frames of the stream that every bundle is compared on."""
    force: bool = False

    def __post_init__(self) -> None:
        target_named(self.target)
        wanted = {*self.precisions, *filter(None, (self.flow_precision,))}
        unknown = sorted(wanted - {*PRECISIONS, AUTO})
        if unknown or not self.precisions:
            known = ", ".join((*PRECISIONS, AUTO))
            raise ExportError(f"unknown precision '{', '.join(unknown)}'; known: {known}")
        if self.flow_precision and AUTO in wanted:
            raise ExportError(
                "precision auto chooses that of the flow network too: leave --flow-precision out."
            )
        if self.compute != "f32" and self.target != "cpu":
            raise ExportError(
                f"compute {self.compute} is for target cpu (OpenVINO); target {self.target} computes as its "
                "file says. Leave --compute out."
            )
        if self.build != BuildOptions() and not target_named(self.target).for_tensorrt:
            raise ExportError(
                f"scratch memory, batch, DLA and versions are of TensorRT plans; target {self.target} has "
                "none. Leave --workspace-mb, --batch, --dla-core and --version-compatible out."
            )
        self.model.require_trained_cue()
        if self.calibration == RENDERED and (Path(RENDERED) / FACTS).exists():
            raise CalibrationError(
                f"--calib {RENDERED} means rendered scenes, and there is a calibration set in a folder of "
                f"that name. Say ./{RENDERED} for the folder, or leave --calib out for the scenes of edge."
            )
        if self.calibrates_on_scenes and not self.model.facts.is_trained_on_scenes:
            raise CalibrationError(
                f"{self.model.model} cannot be calibrated on rendered scenes: it is not trained on them. "
                "Make a set of your own scene with: edgebs calibrate VIDEO --out calibration"
            )
        if self.needs_int8 and self.calibration is None and not self.calibrates_on_scenes:
            raise CalibrationError(
                "INT8 needs a calibration set of your own scene, and none was named. Make one with: "
                "edgebs calibrate VIDEO --out calibration, then add: --calib calibration"
            )

    @property
    def cleanup(self) -> CleanupSettings:
        """`speck_px` and `hole_px` decided."""
        shipped = CleanupSettings() if self.model.shipped is None else self.model.shipped.cleanup
        return CleanupSettings(
            speck_px=shipped.speck_px if self.speck_px is None else self.speck_px,
            hole_px=shipped.hole_px if self.hole_px is None else self.hole_px,
        )

    @property
    def needs_int8(self) -> bool:
        """Whether a network is quantised, if only to see what it gains."""
        return bool({"int8", AUTO}.intersection({*self.precisions, self.flow_precision}))

    @property
    def calibrates_on_scenes(self) -> bool:
        """Whether rendered scenes calibrate INT8."""
        return self.calibration == RENDERED or (
            self.calibration is None and self.model.facts.is_trained_on_scenes
        )

    def bundle_path(self, precision: str) -> Path:
        """The folder of one precision's bundle."""
        flow = f"-{self.model.provider}" if self.model.facts.flows else ""
        if self.flow_precision not in ("", precision):
            flow = f"{flow}_{self.flow_precision}"
        compute = "" if self.compute_for(precision) == "f32" else f"-{self.compute}"
        return self.out / f"{self.model.model}{flow}-{self.target}-{precision}{compute}"

    def precision_of(self, network: str, precision: str) -> str:
        """The precision of one network in the bundle of a precision."""
        asked = (self.flow_precision or precision) if network == "cue" else precision
        return "fp32" if asked == "int8" and network not in self.model.facts.quantised else asked

    def compute_for(self, precision: str) -> str:
        """FP32 means float32: bf16 is for what was reduced already."""
        return "f32" if precision == "fp32" else self.compute


@dataclass(slots=True)
class _Job:
    """What the steps of one export share."""

    request: ExportRequest
    target: Target
    folder: Path
    say: Say
    bar: Bar
    origins: dict[str, NetworkOrigin] = field(default_factory=dict)
    onnx: dict[tuple[str, str], Path] = field(default_factory=dict)
    """By network and precision."""
    engines: dict[tuple[str, str], EngineFacts] = field(default_factory=dict)
    """By the same, until a bundle takes them."""
    feeds: dict[str, list[Feed]] = field(default_factory=dict)
    calibration: CalibrationSet | None = None
    task: TaskLevel | None = None
    """F by PyTorch, once a bundle was judged by it."""


def _unheard(done: int, total: int) -> None:
    """Progress that nobody asked for."""


@contextmanager
def no_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar that nobody sees."""
    logger.debug(title)
    yield _unheard


def export_bundles(request: ExportRequest, say: Say = logger.info, bar: Bar = no_bar) -> list[Bundle]:
    """Export every requested precision; `say` hears one line a step, `bar` draws the steps that take long.

    A bundle is written whole, then checked against PyTorch. One that fails its parity gate stays on disk,
    marked so, and ParityError is raised once all are written. What cannot be done is refused before anything
    is written: ExportError, CalibrationError, WeightsError, SourceError, BundleError, MissingDependency.
    """
    target = target_named(request.target)
    if request.target == "cpu":
        require_compute(request.compute)
    if target.needs_gpu:
        import_tensorrt(target.module)
        import_tensorrt(module_of(target.module, request.build.loaded_with))
        require_device()
    if request.data is not None:
        find_sequences(request.data)
    for precision in request.precisions:
        _refuse_overwriting(request.bundle_path(precision), request.force)
    chosen = None if request.calibrates_on_scenes else request.calibration
    calibration = load_calibration_set(chosen) if chosen is not None else None
    stream = parity_stream(request.source, request.parity_frames)
    with _work_folder(request.out) as folder:
        job = _Job(request, target, folder, say, bar, calibration=calibration)
        with bar("building the networks"):
            graphs = build_networks(request.model)
            job.origins = network_origins(request.model, graphs)
        say(f"built {_spoken(job.origins)}")
        if request.model.foreign_flow:
            say(f"note: {request.model.foreign_flow}")
        if request.model.brings_flow and job.origins["cue"].origin["trained"]:
            _check_flow(job, graphs["cue"])
        _export_fp32(job, graphs, _samples(job, stream))
        reference = _reference(job, graphs, stream)
        graphs.clear()  # gigabytes at full width, and INT8 needs the room
        # `auto` may make INT8 files again, with layers in floating point: those of a plain INT8 come first.
        asked = sorted(dict.fromkeys(request.precisions), key=lambda precision: precision == AUTO)
        bundles = [_bundle(job, precision, reference) for precision in asked]
    for bundle in bundles:
        require_passed(str(bundle.path), bundle.manifest.parity or {})
    return bundles


def _check_flow(job: _Job, flow: Any) -> None:
    """Say, and keep in the manifest, how true the flow is that the user brings: parity would not see it."""
    with job.bar("flow on rendered scenes"):
        check = flow.check()
    job.say(f"flow {flow.sidecar.name}: {check}")
    known = job.origins["cue"]
    job.origins["cue"] = replace(known, origin={**known.origin, "check": asdict(check)})


def _refuse_overwriting(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise BundleError(f"{path} exists already. Choose another --out, or replace it with --force.")


@contextmanager
def _work_folder(out: Path) -> Iterator[Path]:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=out) as folder:
            yield Path(folder)
    except OSError as cause:
        where = cause.filename or out
        raise ExportError(
            f"cannot write into {out}: {where}: {cause.strerror or cause}. No bundle was left half written; "
            "free space or choose a writable --out."
        ) from cause


def _samples(job: _Job, stream: Stream) -> list[Sample]:
    model = job.request.model
    if job.calibration is not None:
        return samples_from_calibration(job.calibration, model.size, model.cue, CALIBRATION_SAMPLES)
    frames = [image for image, _ in stream]
    return samples_from_stream(frames, model.size, model.cue, CHECK_SAMPLES)


def _export_fp32(job: _Job, graphs: Mapping[str, Graph], samples: Sequence[Sample]) -> None:
    on_scenes = job.request.calibrates_on_scenes and job.request.needs_int8
    model = job.request.model
    if "cue" in graphs:
        if on_scenes and model.facts.flows:
            with job.bar("rendering scenes for the calibration of the flow") as progress:
                job.feeds["cue"] = scene_cue_feeds(model.cue, model.size, CALIBRATION_SAMPLES, progress)
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
                job.feeds |= scene_feeds(model.cue, model.size, CALIBRATION_SAMPLES, progress, network)
        else:
            job.feeds["segment"] = segment_feeds(samples, model.cue, network)
    _export_one(job, "segment", graphs["segment"])


def _export_one(job: _Job, name: str, graph: Any) -> None:
    started = time.perf_counter()
    file = job.folder / f"{name}.fp32.onnx"
    origin = job.origins[name]
    feeds = job.feeds[name][:CHECK_SAMPLES]
    if origin.description["network"] == BROUGHT:
        with job.bar(f"{name}: HOP around {origin.description['name']}"):
            graph.write(file, feeds)
        original = "the file itself"
    else:
        _onnx_from_graph(job, name, graph, feeds, file)
        original = "PyTorch"
    job.onnx[name, "fp32"] = file
    job.say(f"{name}: ONNX agrees with {original} ({_size(file)}, {time.perf_counter() - started:.0f} s)")


def _onnx_from_graph(job: _Job, name: str, graph: Graph, feeds: Sequence[Feed], file: Path) -> None:
    from export.graphs import deployed
    from export.to_onnx import onnx_from_module

    origin = job.origins[name]
    form = deployed(graph, job.request.model.size, for_tensorrt=job.target.for_tensorrt)
    with job.bar(f"{name}: PyTorch to ONNX"):
        onnx_from_module(form, origin.inputs, list(origin.outputs), feeds, file)


def _reference(job: _Job, graphs: Mapping[str, Graph], stream: Stream) -> list[ReferenceFrame]:
    started = time.perf_counter()
    manifest = _manifest(job, "fp32", dict.fromkeys(job.origins, "fp32"), {})
    with job.bar("PyTorch reference") as progress:
        reference = record_reference(torch_pipeline(manifest, graphs), stream, progress)
    job.say(f"reference: {len(reference)} frames in PyTorch FP32 ({time.perf_counter() - started:.0f} s)")
    return reference


def _bundle(job: _Job, asked: str, reference: Sequence[ReferenceFrame]) -> Bundle:
    """One precision: its ONNX files, engines, bundle folder and parity result."""
    precisions: Combination = {name: job.request.precision_of(name, asked) for name in job.origins}
    why, proved = None, None
    if asked == AUTO:
        precisions, why, proved = _chosen(job, reference)
    engines = {name: _engine(job, name, precision) for name, precision in precisions.items()}
    manifest = _manifest(job, asked, precisions, engines, why)
    files = {manifest.networks[name].file: facts.file for name, facts in engines.items()}
    bundle = write_bundle(manifest, files, job.request.bundle_path(asked), force=job.request.force)
    for name, precision in precisions.items():
        del job.engines[name, precision]  # its file was moved
    try:
        files = {name: bundle.file(name) for name in precisions}
        parity = proved or _parity(job, manifest, files, reference)
    except EdgebsError as cause:
        # The bundle exists: it must say that nothing was proved.
        rewrite_manifest(bundle, parity={**UNPROVED, "precision": manifest.precision, "reason": str(cause)})
        raise
    bundle = rewrite_manifest(bundle, parity=parity)
    result = bundle.manifest.parity or {}
    job.say(
        f"{bundle.path}: {result['gate']}: {result['value']:.3g}, {verdict(result)} ({result['checked']})"
    )
    return bundle


def _chosen(
    job: _Job, reference: Sequence[ReferenceFrame]
) -> tuple[Combination, Mapping[str, Any], dict[str, Any]]:
    """The precisions that `auto` chooses, why, and the parity result of these very files."""
    from export.workshop import ExportWorkshop

    results: list[dict[str, Any]] = []

    def judged(combination: Combination) -> Mapping[str, Any]:
        files = {name: job.engines[name, precision].file for name, precision in combination.items()}
        try:
            results.append(_parity(job, _manifest(job, AUTO, combination, {}), files, reference))
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
        make_engine=lambda name, precision: _engine(job, name, precision),
        judge=judged,
        control=lambda name: _control(job, name),
        quantise=lambda name, file, control: _quantise(job, name, file, control),
    )
    gflop = {name: origin.gflop for name, origin in job.origins.items()}
    unquantised = [name for name in gflop if job.request.precision_of(name, "int8") != "int8"]
    choice = choose_precisions(gflop, workshop, job.say, unquantised=unquantised)
    return choice.precisions, choice.why, results[-1]  # the last that is judged is kept


def _control(job: _Job, name: str) -> AccuracyControl:
    """What judges a network while its layers are given back: F where there is a truth, else masks."""
    from export.validation import (
        CASES,
        control_by_cue_masks,
        control_by_masks,
        control_by_truth,
        scene_cases,
        scored_cases,
    )

    manifest = _manifest(job, "fp32", dict.fromkeys(job.origins, "fp32"), {})
    data = job.request.data
    segment, feeds = job.onnx["segment", "fp32"], job.feeds["segment"][:CASES]
    if name == "cue":
        return control_by_cue_masks(
            job.feeds["cue"][:CASES], feeds, job.onnx["cue", "fp32"], segment, manifest
        )
    if data is not None:
        with job.bar("frames to judge layers by"):
            original = torch_pipeline(manifest, torch_modules(manifest))
            return control_by_truth(scored_cases(original, data), manifest.threshold)
    # A background network would have to see each scene first: its masks on the stream judge instead.
    if _is_judged_on_scenes(job, manifest) and manifest.cue.intervals:
        with job.bar("scenes to judge layers by"):
            return control_by_truth(scene_cases(manifest), manifest.threshold)
    return control_by_masks(feeds, segment, manifest)


def _engine(job: _Job, name: str, precision: str) -> EngineFacts:
    from export.onnx_lint import require_clean

    if (name, precision) in job.engines:
        return job.engines[name, precision]
    started = time.perf_counter()
    onnx_file = _onnx_in(job, name, precision)
    require_clean(onnx_file, for_tensorrt=job.target.for_tensorrt)
    if job.request.build.batch is not None:
        onnx_file = _with_free_batch(job, name, onnx_file)
    out = job.folder / f"{precision}-{name}{job.target.file_suffix}"
    with job.bar(f"{name} {precision}: engine for {job.target.value}") as progress:
        facts = build_engine(onnx_file, job.target, out, options=job.request.build, progress=progress)
    seconds = time.perf_counter() - started
    job.say(f"{name} {precision}: {job.target.value} engine ({_size(facts.file)}, {seconds:.0f} s)")
    if facts.gpu_layers:
        job.say(f"{name} {precision}: the DLA leaves to the GPU: {', '.join(facts.gpu_layers)}")
    job.engines[name, precision] = facts
    return facts


def _with_free_batch(job: _Job, name: str, onnx_file: Path) -> Path:
    from export.free_batch import free_batch

    freed = onnx_file.with_name(f"batch-{onnx_file.name}")
    free_batch(onnx_file, freed, job.feeds[name][:CHECK_SAMPLES])
    return freed


def _onnx_in(job: _Job, name: str, precision: str) -> Path:
    """The network's ONNX file in a precision, made from the FP32 one when first asked for."""
    if (name, precision) not in job.onnx:
        file = job.folder / f"{name}.{precision}.onnx"
        fp32, feeds = job.onnx[name, "fp32"], job.feeds[name]
        if precision == "fp16":
            from export.fp16 import fp16_from_fp32

            with job.bar(f"{name}: to FP16"):
                fp16_from_fp32(fp32, file, feeds[:CHECK_SAMPLES])
        else:
            _quantise(job, name, file, None)
        job.onnx[name, precision] = file
    return job.onnx[name, precision]


def _quantise(job: _Job, name: str, file: Path, control: AccuracyControl | None) -> None:
    from calib.quantize import int8_from_fp32

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


def _manifest(
    job: _Job,
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


def _narrowest(precisions: Combination) -> str:
    """The precision that a bundle of several is judged as."""
    return next(each for each in ("int8", "fp16", "fp32") if each in precisions.values())


def _build_facts(engines: Mapping[str, EngineFacts]) -> dict[str, Any] | None:
    """What the plans were built for, and per network how; None without plans."""
    plans = [facts.plan for facts in engines.values() if facts.plan]
    options = {name: facts.options_json() for name, facts in engines.items() if facts.options_json()}
    return {**plans[0].to_json(), **({"networks": options} if options else {})} if plans else None


def _calibration_facts(job: _Job) -> dict[str, Any]:
    if job.calibration is None:
        count = len(job.feeds["segment"])
        return {**scene_facts(job.request.model.cue, count), "frames_used": count}
    return {**job.calibration.facts(), "frames_used": len(job.feeds["segment"])}


def _network_facts(job: _Job, name: str, precision: str) -> NetworkFacts:
    file, compute = f"{name}{job.target.file_suffix}", job.request.compute_for(precision)
    return job.origins[name].facts(file, job.target.backend, precision, compute)


def _parity(
    job: _Job, manifest: Manifest, files: Mapping[str, Path], reference: Sequence[ReferenceFrame]
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


def _task_level(job: _Job, manifest: Manifest) -> TaskLevel | None:
    """F by PyTorch on scored sequences or rendered scenes; None where neither is meant."""
    data = job.request.data
    if job.task is None and (data is not None or _is_judged_on_scenes(job, manifest)):
        original = torch_pipeline(manifest, torch_modules(manifest))
        if data is not None:
            count = count_on_sequences(data)
        else:
            # Thin masks on a short stream judge badly; what it was trained on has an exact truth.
            from export.scene_parity import count_on_scenes

            with job.bar("scenes for parity of F") as progress:
                count = count_on_scenes(original, progress)
        with job.bar("parity of F, PyTorch") as progress:
            job.task = TaskLevel(count, original, progress)
    return job.task


def _is_judged_on_scenes(job: _Job, manifest: Manifest) -> bool:
    """Whether rendered scenes are the truth: where none was given, and the networks were trained on such."""
    is_default = job.request.source is None and job.request.data is None
    return is_default and manifest.trained and job.request.model.facts.is_trained_on_scenes


def _spoken(origins: Mapping[str, NetworkOrigin]) -> str:
    return ", ".join(
        f"{name} {origin.description['network']} ({origin.parameters / 1e6:.1f} M parameters, "
        f"{origin.gflop:.1f} GFLOP{'' if origin.origin['trained'] else ', untrained'})"
        for name, origin in origins.items()
    )


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.1f} MB"
