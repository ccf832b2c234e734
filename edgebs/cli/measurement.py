"""Speed, parity and accuracy of bundles: `edgebs bench`, `edgebs parity` and `edgebs eval`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgebs.cli.groups import RunningOptions, refuse_idle_options, takes_groups
from edgebs.cli.options import (
    MOST_FRAMES,
    Cleanup,
    Force,
    Json,
    Threads,
    Threshold,
    ValueRange,
    option,
    range_of,
    words_of,
)
from edgebs.machine.console import print_json, print_line, print_table, progress_bar
from edgebs.machine.extras import require_export, require_opencv

if TYPE_CHECKING:
    from bench.accuracy.page import Report
    from bench.accuracy.pictures import CurveFiles
    from bench.accuracy.score import SequenceScore
    from bench.scored import Sequence as ScoredSequence


class Baseline(str, Enum):
    """What `bench` compares with."""

    TORCH = "torch"
    NONE = "none"


class Layout(str, Enum):
    """How scored sequences lie on disk: the words of bench.scored.LAYOUTS, and auto."""

    AUTO = "auto"
    CDNET = "cdnet"
    LASIESTA = "lasiesta"
    WALLFLOWER = "wallflower"
    FOLDERS = "folders"
    LIMU = "limu"


@takes_groups
def bench(
    context: typer.Context,
    plans: RunningOptions,
    bundles: Annotated[
        list[str] | None,
        typer.Argument(help="Bundle folders or shipped models; default all below ./bundles."),
    ] = None,
    fps: Annotated[bool, option("Measure speed, camera to mask.", names=("--fps",))] = False,
    source: Annotated[str | None, option("Video; default a rendered street, 640x360.")] = None,
    value_range: ValueRange = "",
    frames: Annotated[int, option("Counted frames per bundle and mode.", 5, MOST_FRAMES)] = 300,
    repeats: Annotated[int, option("Interleaved repeats; the median counts.", 1, MOST_FRAMES)] = 5,
    baseline: Annotated[Baseline, option("Run the networks in PyTorch beside.")] = Baseline.TORCH,
    threads: Threads = 0,
    cleanup: Cleanup = True,
    out: Annotated[Path | None, option("Keep the record in this JSON file.")] = None,
    json: Json = False,
) -> None:
    """Measure throughput, latency, stages and memory, beside PyTorch and the paper, in one run."""
    require_opencv()
    from bench.parity import video_or_rendered
    from bench.speed.fps import bench_fps, bundles_here, write_record
    from bench.tables import fps_table
    from export.models.reference import TorchReference

    if not fps:
        raise typer.BadParameter("say what to measure", param_hint="--fps")
    values = range_of(value_range, has_pictures=source is not None)
    chosen = bundles or bundles_here()
    refuse_idle_options(context, chosen)
    with ExitStack() as stack:
        with progress_bar("rendering a street") as progress:
            video = stack.enter_context(video_or_rendered(source, progress=progress))
        progress = stack.enter_context(progress_bar("measuring"))
        record = bench_fps(
            chosen,
            video,
            frames=frames,
            repeats=min(repeats, frames),
            reference=TorchReference() if baseline is Baseline.TORCH else None,
            threads=threads,
            cleanup=cleanup,
            value_range=values,
            device=plans.options(),
            progress=progress,
        )
    if out is not None:
        write_record(record, out)
    if json:
        print_json(record)
    else:
        print_table(fps_table(record))


@takes_groups
def parity(
    context: typer.Context,
    plans: RunningOptions,
    bundle: Annotated[str, typer.Argument(help="Bundle folder or shipped model.")],
    source: Annotated[str | None, option("Video; default a rendered street.")] = None,
    data: Annotated[Path | None, option("Scored sequences, for parity of F.")] = None,
    value_range: ValueRange = "",
    frames: Annotated[int, option("Frames of the video.", 1, MOST_FRAMES)] = 24,
    json: Json = False,
) -> None:
    """Prove a bundle against its PyTorch FP32 networks; exit code 1 when its gate fails."""
    require_export()
    from bench.parity import bundle_parity, require_passed
    from bench.tables import parity_table
    from export.models.reference import TorchReference

    refuse_idle_options(context, [bundle])
    values = range_of(value_range, has_pictures=source is not None or data is not None)
    with progress_bar("comparing") as progress:
        result = bundle_parity(
            bundle,
            TorchReference(),
            source=source,
            data=data,
            value_range=values,
            frames=frames,
            device=plans.options(),
            progress=progress,
        )
    if json:
        print_json(result)
    else:
        print_table(parity_table(bundle, result))
    require_passed(bundle, result)


@takes_groups
def evaluate(
    context: typer.Context,
    plans: RunningOptions,
    bundles: Annotated[list[str], typer.Argument(help="Bundle folders or shipped models.")],
    data: Annotated[Path, option("Scored sequences: a folder that holds them at any depth.")],
    against: Annotated[str, option("Baselines on the same frames, comma-separated: mog2, knn.")] = "",
    layout: Annotated[
        Layout, option("How sequences lie on disk; auto looks at what there is.")
    ] = Layout.AUTO,
    value_range: ValueRange = "",
    threshold: Threshold = None,
    cleanup: Cleanup = True,
    report: Annotated[Path | None, option("Write curves and pictures as one HTML file.")] = None,
    curves: Annotated[
        Path | None,
        option(
            "Draw each bundle's precision-recall curves, and write their points beside, as FILE.json. Of the "
            "probability: clean-up of specks and holes is left out.",
            metavar="FILE.png",
        ),
    ] = None,
    threads: Threads = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Score bundles on sequences with ground truth, beside OpenCV's subtractors: accuracy and speed."""
    require_opencv()
    from bench.accuracy import evaluate as evaluate_bundles
    from bench.tables import eval_table

    refuse_idle_options(context, bundles)
    outputs = _outputs(report, curves, force)

    def keep(sequence: ScoredSequence, row: Sequence[SequenceScore]) -> None:
        for output in outputs:
            output.add(sequence, row)

    with progress_bar("scoring") as progress:
        record = evaluate_bundles(
            bundles,
            data,
            against=words_of(against),
            layout=layout.value,
            value_range=range_of(value_range),
            threads=threads,
            threshold=threshold,
            cleanup=cleanup,
            device=plans.options(),
            progress=progress,
            sequence_done=keep if outputs else None,
        )
    for output in outputs:
        output.write(record)
    if json:
        print_json(record)
        return
    print_table(eval_table(record))
    for output in outputs:
        print_line(str(output.path))


def _outputs(report: Path | None, curves: Path | None, force: bool) -> list[Report | CurveFiles]:
    """The files that an evaluation writes at its end; names are checked before anything is scored."""
    from bench.accuracy.page import Report
    from bench.accuracy.pictures import CurveFiles

    found: list[Report | CurveFiles] = [] if report is None else [Report(report, force=force)]
    try:
        return found if curves is None else [*found, CurveFiles(curves, force=force)]
    except ValueError as cause:
        raise typer.BadParameter(str(cause), param_hint="--curves") from cause
