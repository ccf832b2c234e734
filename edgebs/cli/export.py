"""`edgebs export`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgebs.cli.options import (
    Depth,
    DisPreset,
    Force,
    Hold,
    Intervals,
    Json,
    Maps,
    MaxMagnitude,
    NominalFps,
    Norm,
    References,
    Size,
    ValueRange,
    Width,
)
from edgebs.cli.parsing import MOST, counts_of, finite, intervals_of, range_of, size_of, words_of
from edgebs.machine.console import note, print_json, print_line, progress_bar
from edgebs.machine.extras import require_export

PRECISION_NAMES = ("fp32", "fp16", "int8")
TARGET_NAMES = ("cpu", "onnx", "sm75", "sm86", "sm89", "sm120", "rtx", "gpu")


class Compute(str, Enum):
    """Arithmetic of what FP16 and INT8 files leave in floating point."""

    F32 = "f32"
    BF16 = "bf16"


class Lean(str, Enum):
    """Where a version-compatible plan's runtime is: the words of engines.options.LeanRuntime."""

    INSIDE = "inside"
    OUTSIDE = "outside"


def _complete_models() -> list[str]:
    from export.models.table import MODELS

    return list(MODELS)


def export(
    model: Annotated[str, typer.Argument(help="One of `edgebs models`.", autocompletion=_complete_models)],
    out: Annotated[Path, typer.Option(help="Folder that receives one bundle a precision.")],
    weights: Annotated[
        str, typer.Option(help="A .safetensors file, random, or shipped; by default shipped if there is one.")
    ] = "",
    flow: Annotated[
        str,
        typer.Option(
            help="dis, net, selflow, or the .onnx file of any two-frame flow network.",
            autocompletion=lambda: ["dis", "net", "selflow"],
        ),
    ] = "dis",
    flow_sidecar: Annotated[
        Path | None,
        typer.Option(help="What that file does not say of itself, as JSON; default FILE.json beside it."),
    ] = None,
    flow_weights: Annotated[
        str, typer.Option(help="A .safetensors file, random, or shipped; by default shipped for net.")
    ] = "",
    target: Annotated[
        str, typer.Option(help=" ".join(TARGET_NAMES) + ".", autocompletion=lambda: list(TARGET_NAMES))
    ] = "cpu",
    precision: Annotated[
        str,
        typer.Option(
            help="Comma-separated: fp32, fp16, int8, or auto (the fastest whose parity holds).",
            autocompletion=lambda: [*PRECISION_NAMES, "auto"],
        ),
    ] = "fp32",
    flow_precision: Annotated[
        str,
        typer.Option(
            help="Of the flow network, where it differs.", autocompletion=lambda: list(PRECISION_NAMES)
        ),
    ] = "",
    calib: Annotated[
        str | None,
        typer.Option(help="Calibration set; INT8 needs one, but edge: rendered scenes by default."),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Video of the parity check; default rendered.")] = None,
    data: Annotated[Path | None, typer.Option(help="Scored sequences, for parity of F.")] = None,
    value_range: ValueRange = "",
    size: Size = "",
    width: Width = None,
    depth: Depth = None,
    norm: Norm = "",
    intervals: Intervals = None,
    max_magnitude: MaxMagnitude = None,
    nominal_fps: NominalFps = None,
    references: References = None,
    maps: Maps = None,
    hold: Hold = None,
    refresh: Annotated[
        float | None,
        typer.Option(min=0, callback=finite, help="Seconds after which a background is computed again."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            callback=finite,
            help="Foreground probability; default the shipped model's, or 0.5.",
        ),
    ] = None,
    speck_px: Annotated[
        int | None,
        typer.Option(
            min=0, max=MOST, help="Foreground of fewer camera pixels is removed; default as shipped, or 0."
        ),
    ] = None,
    hole_px: Annotated[
        int | None,
        typer.Option(
            min=0, max=MOST, help="A hole of fewer camera pixels is filled; default as shipped, or 0."
        ),
    ] = None,
    dis_preset: DisPreset = "",
    warp: Annotated[
        str, typer.Option(help="SelFlow's: grid_sample (fast) or published; default the weights', or fast.")
    ] = "",
    compute: Annotated[
        Compute, typer.Option(help="CPU arithmetic of what FP16 and INT8 leave in floating point.")
    ] = Compute.F32,
    batch: Annotated[
        str, typer.Option(help="Plans: frames a call, for several cameras: 4, 1,4 or 1,2,4 (usual second).")
    ] = "",
    workspace_mb: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST, help="Plans: scratch memory in MB; default half of what the weights leave free."
        ),
    ] = None,
    dla_core: Annotated[
        int | None,
        typer.Option(min=0, max=MOST, help="Plans: a Jetson's deep learning accelerator, by number."),
    ] = None,
    version_compatible: Annotated[
        Lean | None,
        typer.Option(help="Plans: later TensorRT loads them, by a runtime inside them or outside."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST, help="Of random weights.")] = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Take a model from PyTorch to ONNX and engines, one bundle a precision, with parity proved."""
    require_export()
    from engines.options import BatchRange, BuildOptions, LeanRuntime
    from export.job.export import export_bundles
    from export.job.request import ExportRequest
    from export.models.request import MODELS_OWN, ModelRequest

    request = ExportRequest(
        model=ModelRequest(
            model=model,
            weights=weights,
            flow=flow,
            flow_sidecar=flow_sidecar,
            flow_weights=flow_weights,
            seed=seed,
            width=width,
            depth=depth,
            norm=norm,
            warp=warp,
            size=size_of(size) if size else MODELS_OWN,
            intervals=intervals_of(intervals),
            max_magnitude=max_magnitude,
            nominal_fps=nominal_fps,
            references=references,
            maps=maps,
            hold=hold,
            refresh_s=refresh,
            dis_preset=dis_preset,
            threshold=threshold,
        ),
        target=target,
        precisions=words_of(precision),
        flow_precision=flow_precision,
        out=out,
        calibration=calib,
        source=source,
        data=data,
        value_range=range_of(value_range, has_pictures=source is not None or data is not None),
        speck_px=speck_px,
        hole_px=hole_px,
        compute=compute.value,
        build=BuildOptions(
            batch=BatchRange.from_numbers(counts_of(batch, "--batch")) if batch else None,
            workspace_bytes=None if workspace_mb is None else workspace_mb * 1_000_000,
            dla_core=dla_core,
            version_compatible=LeanRuntime(version_compatible.value) if version_compatible else None,
        ),
        force=force,
    )
    bundles = export_bundles(request, say=note, bar=progress_bar)
    if json:
        print_json({"bundles": [{"path": str(b.path), **b.manifest.to_json()} for b in bundles]})
        return
    for bundle in bundles:
        print_line(str(bundle.path))
