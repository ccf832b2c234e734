"""`edgebs export`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgebs.cli.groups import ModelOptions, takes_groups
from edgebs.cli.options import (
    MOST,
    Force,
    Json,
    Size,
    ValueRange,
    counts_of,
    finite,
    option,
    range_of,
    size_of,
    words_of,
)
from edgebs.machine.console import note, print_json, print_line, progress_bar
from edgebs.machine.extras import require_export

if TYPE_CHECKING:
    from engines import BuildOptions
    from export.models.request import ModelRequest

PRECISION_NAMES = ("fp32", "fp16", "int8")
TARGET_NAMES = ("cpu", "onnx", "sm75", "sm86", "sm89", "sm120", "rtx", "gpu")


class Compute(str, Enum):
    """Arithmetic of what FP16 and INT8 files leave in floating point."""

    F32 = "f32"
    BF16 = "bf16"


class Lean(str, Enum):
    """Where a version-compatible plan's runtime is: the words of engines.LeanRuntime."""

    INSIDE = "inside"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedModel(ModelOptions):
    """The networks of an export."""

    weights: Annotated[
        str, option("A .safetensors file, random, or shipped; by default shipped if there is one.")
    ] = ""
    flow: Annotated[
        str,
        option(
            "dis, net, selflow, or the .onnx file of any two-frame flow network.",
            words=["dis", "net", "selflow"],
        ),
    ] = "dis"
    flow_sidecar: Annotated[
        Path | None,
        option("What that file does not say of itself, as JSON; default FILE.json beside it."),
    ] = None
    flow_weights: Annotated[
        str, option("A .safetensors file, random, or shipped; by default shipped for net.")
    ] = ""
    size: Size = ""
    refresh: Annotated[
        float | None,
        option("Seconds after which a background is computed again.", 0, callback=finite),
    ] = None
    threshold: Annotated[
        float | None,
        option("Foreground probability; default the shipped model's, or 0.5.", 0.0, 1.0, callback=finite),
    ] = None
    warp: Annotated[
        str, option("SelFlow's: grid_sample (fast) or published; default the weights', or fast.")
    ] = ""

    def request(self, model: str) -> ModelRequest:
        """The value that the exporter takes."""
        from export.models.request import MODELS_OWN, ModelRequest

        size = size_of(self.size) if self.size else MODELS_OWN
        values = self.values(without=("refresh", "size"))
        return ModelRequest(model=model, size=size, refresh_s=self.refresh, **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """How TensorRT plans are built."""

    batch: Annotated[
        str, option("Plans: frames a call, for several cameras: 4, 1,4 or 1,2,4 (usual second).")
    ] = ""
    workspace_mb: Annotated[
        int | None,
        option("Plans: scratch memory in MB; default half of what the weights leave free.", 1, MOST),
    ] = None
    dla_core: Annotated[
        int | None,
        option("Plans: a Jetson's deep learning accelerator, by number.", 0, MOST),
    ] = None
    version_compatible: Annotated[
        Lean | None,
        option("Plans: later TensorRT loads them, by a runtime inside them or outside."),
    ] = None

    def options(self) -> BuildOptions:
        """The value that the builder takes."""
        from engines import BatchRange, BuildOptions, LeanRuntime

        lean = self.version_compatible
        return BuildOptions(
            batch=BatchRange.from_numbers(counts_of(self.batch, "--batch")) if self.batch else None,
            workspace_bytes=None if self.workspace_mb is None else self.workspace_mb * 1_000_000,
            dla_core=self.dla_core,
            version_compatible=LeanRuntime(lean.value) if lean else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleOptions:
    """What each bundle of an export holds, and what it is judged by."""

    target: Annotated[str, option(" ".join(TARGET_NAMES) + ".", words=TARGET_NAMES)] = "cpu"
    precision: Annotated[
        str,
        option(
            "Comma-separated: fp32, fp16, int8, or auto (the fastest whose parity holds).",
            words=[*PRECISION_NAMES, "auto"],
        ),
    ] = "fp32"
    flow_precision: Annotated[
        str,
        option("Of the flow network, where it differs.", words=PRECISION_NAMES),
    ] = ""
    calib: Annotated[
        str | None,
        option("Calibration set; INT8 needs one, but edge: rendered scenes by default."),
    ] = None
    source: Annotated[str | None, option("Video of the parity check; default rendered.")] = None
    data: Annotated[Path | None, option("Scored sequences, for parity of F.")] = None
    value_range: ValueRange = ""
    speck_px: Annotated[
        int | None,
        option("Foreground of fewer camera pixels is removed; default as shipped, or 0.", 0, MOST),
    ] = None
    hole_px: Annotated[
        int | None,
        option("A hole of fewer camera pixels is filled; default as shipped, or 0.", 0, MOST),
    ] = None
    compute: Annotated[Compute, option("CPU arithmetic of what FP16 and INT8 leave in floating point.")] = (
        Compute.F32
    )

    def values(self) -> dict[str, Any]:
        """Keyword arguments of `export.job.request.ExportRequest`."""
        has_pictures = self.source is not None or self.data is not None
        return {
            "target": self.target,
            "precisions": words_of(self.precision),
            "flow_precision": self.flow_precision,
            "calibration": self.calib,
            "source": self.source,
            "data": self.data,
            "value_range": range_of(self.value_range, has_pictures=has_pictures),
            "speck_px": self.speck_px,
            "hole_px": self.hole_px,
            "compute": self.compute.value,
        }


def _complete_models() -> list[str]:
    from export.models import MODELS

    return list(MODELS)


@takes_groups
def export(
    model: Annotated[str, typer.Argument(help="One of `edgebs models`.", autocompletion=_complete_models)],
    out: Annotated[Path, option("Folder that receives one bundle a precision.")],
    bundle: BundleOptions,
    networks: ExportedModel,
    plans: PlanOptions,
    force: Force = False,
    json: Json = False,
) -> None:
    """Take a model from PyTorch to ONNX and engines, one bundle a precision, with parity proved."""
    require_export()
    from export.job.export import export_bundles
    from export.job.request import ExportRequest

    request = ExportRequest(
        model=networks.request(model), out=out, build=plans.options(), force=force, **bundle.values()
    )
    bundles = export_bundles(request, log=note, bar=progress_bar)
    if json:
        print_json({"bundles": [{"path": str(b.path), **b.manifest.to_json()} for b in bundles]})
        return
    for made in bundles:
        print_line(str(made.path))
