"""One export: the networks of a request become ONNX files, engines and bundles, compared with PyTorch."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.parity import (
    UNPROVED,
    ReferenceFrame,
    Stream,
    TaskLevel,
    compare,
    count_on_sequences,
    judge,
    record_reference,
)
from bench.speed import interleaved_ms
from bench.tables import verdict
from calib.frames import CalibrationSet
from calib.int8 import weight_bits
from calib.int8.accuracy import AccuracyControl, layers_in_floating_point
from edgebs.backends import Backend, open_backend
from edgebs.bundle import Bundle, write_bundle
from edgebs.bundle.manifest import Manifest, NetworkFacts
from edgebs.cues import open_cue
from edgebs.errors import BackendError, EdgebsError, EngineMismatch, MissingDependency, ParityError
from edgebs.facts import installed_versions
from edgebs.machine.console import Log, ProgressBar, no_bar
from edgebs.nvidia.tensorrt import check_plan_fits_here
from edgebs.pipeline import Pipeline
from engines import Target, target_named
from engines.build import EngineFacts, build_engine
from export.feeds import (
    Feed,
    cue_feeds,
    samples_from_calibration,
    samples_from_stream,
    scene_cue_feeds,
    scene_facts,
    scene_feeds,
    segment_feeds,
)
from export.job.precision import AUTO, Choice, Combination, choose_precisions
from export.job.request import ExportRequest
from export.models.build import NetworkOrigin, build_networks, network_origins
from export.models.reference import torch_modules, torch_pipeline

if TYPE_CHECKING:
    from export.networks.graphs import Graph

logger = logging.getLogger(__name__)

CHECK_SAMPLES = 2
"""Samples on which ONNX Runtime must agree with PyTorch after each step."""
CALIBRATION_SAMPLES = 64
"""Samples of the set that calibrate INT8: each costs up to a second at full width."""
SCENE_SAMPLES = 128
"""Rendered scenes that calibrate INT8. With 64 the error of edge is a third larger (decision 10)."""


@dataclass(slots=True)
class Job:
    """The networks of one request, and the files made of them: each file is made when it is first needed."""

    request: ExportRequest
    folder: Path
    """Receives the unfinished files."""
    log: Log = logger.info
    bar: ProgressBar = no_bar
    calibration: CalibrationSet | None = None
    origins: dict[str, NetworkOrigin] = field(default_factory=dict)
    onnx: dict[tuple[str, str], Path] = field(default_factory=dict)
    """By network and precision."""
    engines: dict[tuple[str, str], EngineFacts] = field(default_factory=dict)
    """By network and precision, until a bundle takes the file."""
    feeds: dict[str, list[Feed]] = field(default_factory=dict)
    """Inputs of each network, that check and calibrate it."""
    reference: Sequence[ReferenceFrame] = ()
    """Results of PyTorch in FP32 on the stream that all bundles are compared on."""
    task: TaskLevel | None = None
    """F of PyTorch, once it is needed."""

    @property
    def target(self) -> Target:
        """What the engines are built for."""
        return target_named(self.request.target)

    def build(self) -> dict[str, Graph]:
        """Build the networks in PyTorch, and keep their `origins`."""
        with self.bar("building the networks"):
            graphs = build_networks(self.request.model)
            self.origins = network_origins(self.request.model, graphs)
        return graphs

    # From PyTorch to FP32 ONNX.

    def fp32(self, graphs: Mapping[str, Graph], stream: Stream) -> None:
        """Write every network as FP32 ONNX that agrees with PyTorch, and keep its `feeds`."""
        model, calibration = self.request.model, self.calibration
        on_scenes = self.request.calibrates_on_scenes and self.request.needs_int8
        if calibration is not None:
            samples = samples_from_calibration(calibration, model.size, model.cue, CALIBRATION_SAMPLES)
        else:
            samples = samples_from_stream(
                [image for image, _ in stream], model.size, model.cue, CHECK_SAMPLES
            )
        with ExitStack() as stack:
            cue: Backend | None = None
            if "cue" in graphs:
                if on_scenes and model.facts.flows:
                    with self.bar("rendering scenes for the calibration of the flow") as progress:
                        self.feeds["cue"] = scene_cue_feeds(model.cue, model.size, SCENE_SAMPLES, progress)
                else:
                    self.feeds["cue"] = cue_feeds(samples, self.origins["cue"].inputs)
                self._write_fp32("cue", graphs["cue"])
                # The segmenter's inputs hold the cue, so the cue network has to run first.
                cue = stack.enter_context(closing(open_backend("onnxruntime", self.onnx["cue", "fp32"])))
            if on_scenes:
                with self.bar("rendering scenes for the calibration") as progress:
                    self.feeds |= scene_feeds(model.cue, model.size, SCENE_SAMPLES, progress, cue)
            else:
                self.feeds["segment"] = segment_feeds(samples, model.cue, cue)
        self._write_fp32("segment", graphs["segment"])

    def _write_fp32(self, name: str, graph: Any) -> None:
        from export.convert import onnx_from_module
        from export.networks.graphs import deployed

        started = time.perf_counter()
        file, origin, original = self.folder / f"{name}.fp32.onnx", self.origins[name], "PyTorch"
        feeds = self.feeds[name][:CHECK_SAMPLES]
        if name == "cue" and self.request.model.has_external_flow:
            with self.bar(f"{name}: HOP around {origin.description['name']}"):
                graph.write(file, feeds)
            original = "the file itself"
        else:
            form = deployed(graph, self.request.model.size, for_tensorrt=self.target.for_tensorrt)
            with self.bar(f"{name}: PyTorch to ONNX"):
                onnx_from_module(form, origin.inputs, list(origin.outputs), feeds, file)
            self._require_finite(name, "fp32", file)
        self.onnx[name, "fp32"] = file
        self.log(f"{name}: ONNX agrees with {original} ({_made(file, started)})")

    def _require_finite(self, name: str, precision: str, file: Path) -> None:
        from export.convert.lint import require_finite

        what, repair = f"network '{name}' in {precision.upper()}", "Use other weights or another precision."
        with self.bar(f"{name} {precision}: black, white and even pictures"):
            require_finite(file, self.feeds[name][0], what, repair)

    # To the other precisions, and to engines.

    def engine(self, name: str, precision: str) -> EngineFacts:
        """The engine of a network in a precision. Raises ExportError if its builder refuses the network."""
        from export.convert import free_batch
        from export.convert.lint import require_clean

        if (name, precision) in self.engines:
            return self.engines[name, precision]
        started = time.perf_counter()
        file, build = self._onnx_in(name, precision), self.request.build
        require_clean(file, for_tensorrt=self.target.for_tensorrt)
        if precision != "fp32":  # FP32 was checked before the reference was computed
            self._require_finite(name, precision, file)
        if build.batch is not None:
            fixed, file = file, file.with_name(f"batch-{file.name}")
            free_batch(fixed, file, self.feeds[name][:CHECK_SAMPLES])
        out = self.folder / f"{precision}-{name}{self.target.file_suffix}"
        with self.bar(f"{name} {precision}: engine for {self.target.value}") as progress:
            facts = build_engine(file, self.target, out, options=build, progress=progress)
        self.log(f"{name} {precision}: {self.target.value} engine ({_made(facts.file, started)})")
        if facts.gpu_layers:
            self.log(f"{name} {precision}: the DLA leaves to the GPU: {', '.join(facts.gpu_layers)}")
        self.engines[name, precision] = facts
        return facts

    def _onnx_in(self, name: str, precision: str) -> Path:
        if (name, precision) not in self.onnx:
            file = self.folder / f"{name}.{precision}.onnx"
            if precision == "int8":
                self.int8(name, file)
            else:
                from export.convert.fp16 import fp16_from_fp32

                with self.bar(f"{name}: to FP16"):
                    fp16_from_fp32(self.onnx[name, "fp32"], file, self.feeds[name][:CHECK_SAMPLES])
            self.onnx[name, precision] = file
        return self.onnx[name, precision]

    def int8(self, name: str, file: Path, control: AccuracyControl | None = None) -> None:
        """Write a network as INT8 ONNX to `file`; with `control`, its worst layers stay in floating point."""
        from calib.int8 import int8_from_fp32

        title = "to INT8, samples" if control is None else "INT8 layers back to floating point"
        with self.bar(f"{name}: {title}") as progress:
            int8_from_fp32(
                self.onnx[name, "fp32"],
                file,
                self.feeds[name],
                signed=self.target.for_tensorrt,
                control=control,
                progress=progress,
            )

    # To a bundle.

    def bundle(self, asked: str) -> Bundle:
        """One precision: its ONNX files, engines, bundle folder and parity result."""
        chosen = self._choose() if asked == AUTO else None
        precisions = chosen.precisions if chosen else self._precisions(asked)
        engines = {name: self.engine(name, precision) for name, precision in precisions.items()}
        manifest = self.manifest(asked, precisions, engines, chosen.why if chosen else None)
        failure: EdgebsError | None = None
        try:
            if chosen and "checked" in chosen.parity:
                parity = dict(chosen.parity)
            else:
                parity = self.parity(manifest, {name: facts.file for name, facts in engines.items()})
        except EdgebsError as cause:
            # The bundle is written all the same; its manifest marks parity as not proved.
            failure = cause
            parity = {**UNPROVED, "precision": manifest.precision, "reason": str(cause)}
        files = {manifest.networks[name].file: facts.file for name, facts in engines.items()}
        path = self.request.bundle_path(asked)
        bundle = write_bundle(replace(manifest, parity=parity), files, path, force=self.request.force)
        for name, precision in precisions.items():
            del self.engines[name, precision]  # its file was moved
        if failure is not None:
            raise failure
        self.log(
            f"{bundle.path}: {parity['gate']}: {parity['value']:.3g}, {verdict(parity)} ({parity['checked']})"
        )
        return bundle

    def _precisions(self, asked: str) -> dict[str, str]:
        return {name: self.request.precision_of(name, asked) for name in self.origins}

    def manifest(
        self,
        asked: str,
        precisions: Combination,
        engines: Mapping[str, EngineFacts] | None = None,
        why: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """asked: the precision that names the bundle. why: the reasons for the choice of `auto`."""
        request, model = self.request, self.request.model
        narrowest = next(each for each in ("int8", "fp16", "fp32") if each in precisions.values())
        return Manifest(
            name=request.bundle_path(asked).name,
            model=model.model,
            target=self.target.value,
            precision=narrowest if asked == AUTO else asked,
            size=model.size,
            threshold=model.mask_threshold,
            cleanup=request.cleanup,
            cue=model.cue,
            networks={name: self._network_facts(name, each) for name, each in precisions.items()},
            weights={name: origin.origin for name, origin in self.origins.items()},
            calibration=self._calibration_facts() if "int8" in precisions.values() else None,
            tools=installed_versions(),
            build=_build_facts(engines or {}),
            choice=why,
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        )

    @property
    def fp32_manifest(self) -> Manifest:
        """Describes the pipeline in PyTorch."""
        return self.manifest("fp32", dict.fromkeys(self.origins, "fp32"))

    def _calibration_facts(self) -> dict[str, Any]:
        used = len(self.feeds["segment"])
        if self.calibration is None:
            return {**scene_facts(self.request.model.cue, used), "frames_used": used}
        return {**self.calibration.facts(), "frames_used": used}

    def _network_facts(self, name: str, precision: str) -> NetworkFacts:
        file, compute = f"{name}{self.target.file_suffix}", self.request.compute_for(precision)
        bits = weight_bits(signed=self.target.for_tensorrt) if precision == "int8" else None
        return self.origins[name].facts(file, self.target.backend, precision, compute, bits)

    # Parity with PyTorch.

    def record_reference(self, graphs: Mapping[str, Graph], stream: Stream) -> None:
        """Keep the results of PyTorch in FP32 on the stream as `reference`."""
        started = time.perf_counter()
        with self.bar("PyTorch reference") as progress:
            pipeline = torch_pipeline(self.fp32_manifest, graphs)
            self.reference = record_reference(pipeline, stream, progress)
        seconds = time.perf_counter() - started
        self.log(f"reference: {len(self.reference)} frames in PyTorch FP32 ({seconds:.0f} s)")

    def parity(self, manifest: Manifest, files: Mapping[str, Path]) -> dict[str, Any]:
        """The parity result of the engine `files`, by network."""
        # A plan for another GPU cannot run here; the ONNX file that it was built from can.
        is_elsewhere = self.target.for_tensorrt and not self.target.needs_gpu
        device = self.request.build.loaded_with
        with ExitStack() as stack:
            engines: dict[str, Backend] = {}
            for name, facts in manifest.networks.items():
                file = self.onnx[name, facts.precision] if is_elsewhere else files[name]
                runtime = "onnxruntime" if is_elsewhere else facts.backend
                backend = open_backend(runtime, file, compute=facts.compute, device=device)
                engines[name] = stack.enter_context(closing(backend))
            cue = open_cue(manifest.cue, manifest.size, engines.get("cue"))
            pipeline = Pipeline(manifest, engines["segment"], cue)
            with self.bar("parity, frames") as progress:
                levels = compare(pipeline, self.reference, progress)
            task = None
            if level := self._task_level(manifest):
                with self.bar("parity of F") as progress:
                    task = level.change(pipeline, progress)
            checked = "onnx file of the plan, in ONNX Runtime" if is_elsewhere else "engine"
            return {**judge(manifest, levels, task), "checked": checked, "engines": pipeline.descriptions()}

    def _task_level(self, manifest: Manifest) -> TaskLevel | None:
        """F of PyTorch on scored sequences or rendered scenes; None if neither is the truth."""
        data = self.request.data
        if self.task is None and (data is not None or self._is_judged_on_scenes(manifest)):
            original = torch_pipeline(manifest, torch_modules(manifest))
            if data is not None:
                count = count_on_sequences(data, self.request.value_range)
            else:
                # Thin masks on a short stream judge badly; the scenes of the training have an exact truth.
                from export.feeds.judges import count_on_scenes

                with self.bar("scenes for parity of F") as progress:
                    count = count_on_scenes(original, progress)
            with self.bar("parity of F, PyTorch") as progress:
                self.task = TaskLevel(count, original, progress)
        return self.task

    def _is_judged_on_scenes(self, manifest: Manifest) -> bool:
        is_default = self.request.source is None and self.request.data is None
        return is_default and manifest.trained and self.request.model.facts.is_trained_on_scenes

    # Precision auto: see export.job.precision.Trials.

    def _choose(self) -> Choice:
        gflop = {name: origin.gflop for name, origin in self.origins.items()}
        unquantised = [name for name, each in self._precisions("int8").items() if each != "int8"]
        return choose_precisions(gflop, self, self.log, unquantised=unquantised)

    def times_ms(self, name: str, precisions: Sequence[str]) -> Mapping[str, float] | None:
        """Milliseconds of one call of each engine, measured in turns; None if they cannot run here."""
        with ExitStack() as stack:
            running: dict[str, Backend] = {}
            for precision in precisions:
                engine = self._opened(self.engines[name, precision], precision)
                if engine is None:
                    return None
                running[precision] = stack.enter_context(closing(engine))
            return interleaved_ms(running, self.feeds[name][0])

    def _opened(self, facts: EngineFacts, precision: str) -> Backend | None:
        """The engine, ready to run; None if it was built for another machine."""
        try:
            if facts.plan is not None:
                check_plan_fits_here(facts.plan.to_json(), where=facts.file.name, target=self.target.value)
            compute, device = self.request.compute_for(precision), facts.options.loaded_with
            return open_backend(facts.backend, facts.file, compute=compute, device=device)
        except (EngineMismatch, MissingDependency, BackendError):
            if facts.plan is None or self.target.needs_gpu:
                raise
            return None

    def try_combination(self, combination: Combination) -> Mapping[str, Any]:
        """The parity result of a combination; UNPROVED if it gives NaN."""
        files = {name: self.engines[name, precision].file for name, precision in combination.items()}
        try:
            return self.parity(self.manifest(AUTO, combination), files)
        except ParityError:
            return {**UNPROVED, "networks": {name: {"cosine": 0.0} for name in combination}}

    def restore_float_layers(self, name: str) -> Sequence[str]:
        """Make the network's INT8 again with its worst layers in floating point; returns their names."""
        control = self._control(name)
        if control is None:
            return []
        plain = self.onnx[name, "int8"]
        before = set(layers_in_floating_point(plain))
        controlled = plain.with_name(f"controlled-{plain.name}")
        self.int8(name, controlled, control)
        restored = [layer for layer in layers_in_floating_point(controlled) if layer not in before]
        if not restored:
            controlled.unlink()
            return []
        controlled.replace(plain)
        del self.engines[name, "int8"]
        self.engine(name, "int8")
        return restored

    def _control(self, name: str) -> AccuracyControl | None:
        """What judges a network while layers are restored: F if there is a truth, else masks.

        None for a network of flow vectors: the runtime computes the cue from them and from earlier frames, so
        its INT8 is taken whole or not at all.
        """
        from export.feeds import judges

        manifest, count = self.fp32_manifest, judges.CASES
        segment, feeds = self.onnx["segment", "fp32"], self.feeds["segment"][:count]
        if name == "cue":
            if "cue" not in self.origins["cue"].outputs:
                return None
            cue = self.onnx["cue", "fp32"]
            return judges.control_by_cue_masks(self.feeds["cue"][:count], feeds, cue, segment, manifest)
        if self.request.data is not None:
            with self.bar("frames to judge layers by"):
                original = torch_pipeline(manifest, torch_modules(manifest))
                cases = judges.scored_cases(original, self.request.data, count, self.request.value_range)
                return judges.control_by_truth(cases, manifest.threshold)
        # A background network would need many frames of each scene: its masks on the stream judge instead.
        if self._is_judged_on_scenes(manifest) and manifest.cue.intervals:
            with self.bar("scenes to judge layers by"):
                return judges.control_by_truth(judges.scene_cases(manifest, count), manifest.threshold)
        return judges.control_by_masks(feeds, segment, manifest)


def _build_facts(engines: Mapping[str, EngineFacts]) -> dict[str, Any] | None:
    """What the plans were built for, and how, by network; None without plans."""
    plans = [facts.plan for facts in engines.values() if facts.plan]
    options = {name: facts.options_json() for name, facts in engines.items() if facts.options_json()}
    return {**plans[0].to_json(), **({"networks": options} if options else {})} if plans else None


def _made(file: Path, started: float) -> str:
    return f"{file.stat().st_size / 1e6:.1f} MB, {time.perf_counter() - started:.0f} s"
