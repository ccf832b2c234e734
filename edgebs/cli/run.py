"""`edgebs run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgebs.cli.device import RUNNING, refuse_without_plans, takes_device_options
from edgebs.cli.options import Cleanup, Force, Json, Threads, Threshold
from edgebs.console import note, print_json, print_line, progress_bar
from edgebs.device_options import DeviceOptions
from edgebs.extras import require_opencv


@takes_device_options(*RUNNING)
def run(
    context: typer.Context,
    device: DeviceOptions,
    bundle: Annotated[str, typer.Argument(help="Bundle folder or shipped model.")],
    source: Annotated[str, typer.Option(help="Video, image folder, camera number or URL.")],
    mask: Annotated[Path | None, typer.Option(help="Mask video, or folder for PNG files.")] = None,
    overlay: Annotated[Path | None, typer.Option(help="Video with the foreground drawn in.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after that many frames.")] = None,
    threshold: Threshold = None,
    cleanup: Cleanup = True,
    background: Annotated[
        Path | None, typer.Option(help="File of the scene's background: restored if there, saved at the end.")
    ] = None,
    freeze_background: Annotated[
        bool, typer.Option("--freeze-background", help="Use that background as it is, and leave it so.")
    ] = False,
    threads: Threads = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Run a bundle on a video or camera and write masks and overlays."""
    require_opencv()
    from edgebs.running import run_to_files

    refuse_without_plans(context, [bundle])
    with progress_bar("running") as progress:
        summary = run_to_files(
            bundle,
            source,
            mask=mask,
            overlay=overlay,
            frames=frames,
            threads=threads,
            threshold=threshold,
            cleanup=cleanup,
            background=background,
            freeze_background=freeze_background,
            device=device,
            force=force,
            progress=progress,
        )
    if json:
        print_json(summary)
    else:
        _print_run(summary, [path for path in (mask, overlay) if path is not None])
    if summary["interrupted"]:
        raise typer.Exit(130)


def _print_run(summary: dict[str, Any], written: list[Path]) -> None:
    if summary["interrupted"]:
        note(f"interrupted after {summary['frames_out']} frames")
    latency = summary["latency_ms"]
    print_line(
        f"{summary['frames_out']} frames at {summary['fps']:.1f} fps, latency p50 {latency['p50']:.1f} ms, "
        f"p99 {latency['p99']:.1f} ms, {100 * summary['foreground_share']:.1f} % foreground"
        + ("" if summary["trained"] else " (untrained weights: the masks mean nothing)")
    )
    for path in written:
        print_line(str(path))
