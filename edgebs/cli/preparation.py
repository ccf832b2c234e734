"""What an export may be given: `edgebs import-weights` and `edgebs calibrate`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from edgebs.cli.options import (
    MOST_FRAMES,
    Force,
    Json,
    ValueRange,
    counts_of,
    option,
    positive,
    range_of,
    refuse_given,
)
from edgebs.machine.console import note, print_json, print_line, progress_bar
from edgebs.machine.extras import require_export, require_opencv


class PublishedNetwork(str, Enum):
    """Networks whose authors' weights `import-weights` reads."""

    CROSSNET = "crossnet"
    SELFLOW = "selflow"


def import_weights(
    context: typer.Context,
    network: Annotated[PublishedNetwork, typer.Argument(help="crossnet or selflow.")],
    checkpoint: Annotated[Path, typer.Argument(help="TensorFlow checkpoint, format V2: NAME of NAME.index.")],
    out: Annotated[Path, option("The .safetensors file to write.")],
    activated_skips: Annotated[
        bool, option("CrossNet: LeakyReLU before features are fused.", names=("--activated-skips",))
    ] = False,
    standardise: Annotated[
        bool, option("SelFlow: for its supervised (Sintel) weights.", names=("--standardise",))
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Turn a checkpoint of the authors into weights for `edgebs export`; see docs/authors-weights.md."""
    require_export()
    from export.models.authors_weights import import_crossnet, import_selflow

    if network is PublishedNetwork.CROSSNET:
        refuse_given(context, ("standardise",), "only SelFlow's images are ever standardised")
        imported = import_crossnet(checkpoint, out, activated_skips=activated_skips, force=force)
    else:
        refuse_given(context, ("activated_skips",), "only CrossNet fuses features of two encoders")
        imported = import_selflow(checkpoint, out, standardise=standardise, force=force)
    if json:
        print_json(imported.to_json())
        return
    note(f"{imported.variables} variables read, {imported.of_training} of the training left out")
    print_line(str(imported.file))


def calibrate(
    sources: Annotated[list[str], typer.Argument(help="Videos or image folders of your own scene.")],
    out: Annotated[Path, option("Folder of the new calibration set.")],
    frames: Annotated[int, option("Frames to choose over all sources.", 1, MOST_FRAMES)] = 300,
    intervals: Annotated[str, option("Frames back that the cue looks.")] = "1,5,10",
    nominal_fps: Annotated[
        float, option("Frames/s that the intervals are meant for.", callback=positive)
    ] = 25.0,
    value_range: ValueRange = "",
    force: Force = False,
    json: Json = False,
) -> None:
    """Choose frames that cover a video, with the history that the cue needs, for INT8."""
    require_opencv()
    from calib.frames.make import make_calibration_set

    with progress_bar("choosing frames") as progress:
        made = make_calibration_set(
            sources,
            out,
            frames=frames,
            intervals=counts_of(intervals, "--intervals"),
            nominal_fps=nominal_fps,
            value_range=range_of(value_range),
            force=force,
            progress=progress,
        )
    facts = made.facts()
    if json:
        print_json(facts)
        return
    print_line(f"{out}: {len(made.samples)} samples; look at {out / 'contact-sheet.jpg'}")
