"""What to export, where to, and what it is judged by; wrong options are refused before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from calib.frames import FACTS
from edgebs.bundle.manifest import CleanupSettings
from edgebs.errors import CalibrationError, OptionError
from engines import BuildOptions, target_named
from export.job.precision import AUTO
from export.models.request import PRECISIONS, ModelRequest

RENDERED = "rendered"
"""Stands for a calibration set: the scenes of the training."""


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
    """Video of the parity check; None for a rendered street."""
    data: Path | None = None
    """Scored sequences for parity of F."""
    value_range: tuple[float, float] | None = None
    """Values of `source` and `data` that become 0 and 255, see edgebs.video.open.open_source."""
    speck_px: int | None = None
    """Smaller specks are removed from the masks. None, here and below: the shipped bundle's value for shipped
    weights, else 0, off."""
    hole_px: int | None = None
    """Smaller holes are filled."""
    compute: str = "f32"
    """Arithmetic of what FP16 and INT8 files leave in floating point, on the CPU: f32 or bf16."""
    flow_precision: str = ""
    """Precision of the flow network; "" for the bundle's."""
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
            option = "--flow-precision" if self.flow_precision in unknown else "--precision"
            raise OptionError(f"{option}: unknown precision '{', '.join(unknown)}'; known: {known}")
        if self.flow_precision and AUTO in wanted:
            raise OptionError(
                "precision auto chooses that of the flow network too: leave --flow-precision out."
            )
        if self.flow_precision and "cue" not in self.model.network_names:
            raise OptionError(
                f"{self.model.model} with flow {self.model.flow} has no network for its cue: leave "
                "--flow-precision out."
            )
        if self.flow_precision == "int8" and "cue" not in self.model.facts.quantised:
            raise OptionError(
                f"--flow-precision int8: {self.model.model} does not quantise the network of its cue, for it "
                "would cost F. Use fp32 or fp16."
            )
        if "int8" in wanted and not self.model.facts.quantised:
            raise OptionError(
                f"{self.model.model} has no INT8: it would cost F and be no faster on a CPU. "
                "Use --precision fp32, fp16 or auto."
            )
        if self.compute != "f32" and not wanted - {"fp32"}:
            raise OptionError(
                f"compute {self.compute} is for what FP16 and INT8 leave in floating point, not for FP32: "
                "leave --compute out."
            )
        if self.compute != "f32" and self.target != "cpu":
            raise OptionError(
                f"compute {self.compute} is for target cpu (OpenVINO); target {self.target} computes as its "
                "file says. Leave --compute out."
            )
        if self.build != BuildOptions() and not target_named(self.target).for_tensorrt:
            raise OptionError(
                f"scratch memory, batch, DLA and versions are of TensorRT plans; target {self.target} has "
                "none. Leave --workspace-mb, --batch, --dla-core and --version-compatible out."
            )
        self.build.require_for(target_named(self.target))
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
        """`speck_px` and `hole_px` resolved."""
        shipped = CleanupSettings() if self.model.shipped is None else self.model.shipped.cleanup
        return CleanupSettings(
            speck_px=shipped.speck_px if self.speck_px is None else self.speck_px,
            hole_px=shipped.hole_px if self.hole_px is None else self.hole_px,
        )

    @property
    def needs_int8(self) -> bool:
        """Whether a network is quantised, be it only to time it."""
        asked = {"int8", AUTO}.intersection({*self.precisions, self.flow_precision})
        return bool(asked and (self.model.facts.quantised or self.model.has_external_flow))

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
        """The arithmetic of a precision: FP32 means float32, so bf16 is for FP16 and INT8."""
        return "f32" if precision == "fp32" else self.compute
