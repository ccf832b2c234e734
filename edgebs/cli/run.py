"""`edgebs run`, over one source or several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgebs.cli.groups import RunningOptions, refuse_idle_options, takes_groups
from edgebs.cli.options import Cleanup, Force, Json, Threads, Threshold, option, range_of, refuse_given
from edgebs.machine.console import note, print_json, print_line, progress_bar
from edgebs.machine.extras import require_opencv

if TYPE_CHECKING:
    from edgebs.recording.recorder import CameraOutputs


@takes_groups
def run(
    context: typer.Context,
    plans: RunningOptions,
    bundle: Annotated[str, typer.Argument(help="Bundle folder or shipped model.")],
    source: Annotated[
        list[str], option("Video, image folder, camera number or URL; again for each further one.")
    ],
    mask: Annotated[list[Path] | None, option("Mask video, or folder for PNG files. One per source.")] = None,
    overlay: Annotated[
        list[Path] | None, option("Video with the foreground drawn in. One per source.")
    ] = None,
    frames: Annotated[int | None, option("Stop after that many frames a source.", 1)] = None,
    value_range: Annotated[
        list[str] | None,
        option(
            "Values that become black and white, for more than 8 bits. Once for all, or one per source.",
            names=("--range",),
            metavar="LOW,HIGH",
        ),
    ] = None,
    threshold: Threshold = None,
    cleanup: Cleanup = True,
    background: Annotated[
        list[Path] | None,
        option("File of the scene's background: restored if there, saved at the end. One per source."),
    ] = None,
    freeze_background: Annotated[
        bool, option("Use that background as it is, and leave it so.", names=("--freeze-background",))
    ] = False,
    together: Annotated[
        bool,
        option(
            "One call per network for all sources, at the pace of the slowest; plans of --batch.",
            names=("--together",),
        ),
    ] = False,
    threads: Threads = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Run a bundle on videos or cameras and write masks and overlays."""
    require_opencv()
    from edgebs.recording import run_several_to_files, run_to_files
    from edgebs.recording.together import run_together_to_files

    refuse_idle_options(context, [bundle])
    if len(source) == 1:
        refuse_given(context, ("together",), "there is one source")
    if together:
        refuse_given(context, ("background", "freeze_background"), "cameras run together keep no background")
    if freeze_background and not background:
        raise typer.BadParameter("needs --background FILE", param_hint="--freeze-background")
    ranges = _ranges(source, value_range or [])
    recordings = _recordings(source, ranges, mask, overlay, background, freeze_background)
    with progress_bar("running") as progress:
        options: dict[str, Any] = {
            "frames": frames,
            "threshold": threshold,
            "cleanup": cleanup,
            "device": plans.options(),
            "force": force,
            "progress": progress,
        }
        if together:
            summary = run_together_to_files(bundle, recordings, **options)
        elif len(source) > 1:
            summary = run_several_to_files(bundle, recordings, threads=threads, **options)
        else:
            (one,) = recordings
            summary = run_to_files(
                bundle,
                one.source,
                mask=one.mask,
                overlay=one.overlay,
                background=one.background,
                freeze_background=freeze_background,
                value_range=one.value_range,
                threads=threads,
                **options,
            )
    if json:
        print_json(summary)
    elif len(source) > 1:
        _print_cameras(summary)
    else:
        # Without a frame nothing is written.
        _print_run(summary, recordings[0].outputs if summary["frames_out"] else ())
    _end(summary)


def _ranges(sources: Sequence[str], texts: Sequence[str]) -> list[tuple[float, float] | None]:
    if len(texts) > 1 and len(texts) != len(sources):
        raise typer.BadParameter(
            f"given {len(texts)} times for {len(sources)} sources: give it once for all, or once per source, "
            "in the order of the sources",
            param_hint="--range",
        )
    ranges = [range_of(text) for text in texts] or [None]
    return ranges * len(sources) if len(ranges) == 1 else ranges


def _recordings(
    sources: Sequence[str],
    ranges: Sequence[tuple[float, float] | None],
    masks: Sequence[Path] | None,
    overlays: Sequence[Path] | None,
    backgrounds: Sequence[Path] | None,
    is_frozen: bool,
) -> list[CameraOutputs]:
    from edgebs.recording.recorder import CameraOutputs

    return [
        CameraOutputs(
            source=source,
            value_range=value_range,
            mask=mask,
            overlay=overlay,
            background=background,
            is_frozen=is_frozen,
        )
        for source, value_range, mask, overlay, background in zip(
            sources,
            ranges,
            _one_each(sources, masks, "--mask"),
            _one_each(sources, overlays, "--overlay"),
            _one_each(sources, backgrounds, "--background"),
            strict=True,
        )
    ]


def _one_each(sources: Sequence[str], files: Sequence[Path] | None, option: str) -> Sequence[Path | None]:
    if not files:
        return [None] * len(sources)
    if len(files) != len(sources):
        raise typer.BadParameter(
            f"given {len(files)} times for {len(sources)} sources: give it once per source, in the order of "
            "the sources, or not at all",
            param_hint=option,
        )
    return files


def _print_run(summary: dict[str, Any], written: Sequence[Path]) -> None:
    if summary["interrupted"]:
        note(f"interrupted after {summary['frames_out']} frames")
    print_line(_describe(summary))
    for path in written:
        print_line(str(path))


def _print_cameras(summary: dict[str, Any]) -> None:
    if summary["interrupted"]:
        note(f"interrupted after {summary['frames_out']} frames")
    for camera in summary["cameras"]:
        print_line(
            f"{camera['source']}: {_describe(camera)}" + (", then it failed" if camera["error"] else "")
        )


def _describe(summary: dict[str, Any]) -> str:
    latency = summary["latency_ms"]
    return (
        f"{summary['frames_out']} frames at {summary['fps']:.1f} fps, latency p50 {latency['p50']:.1f} ms, "
        f"p99 {latency['p99']:.1f} ms, {100 * summary['foreground_share']:.1f} % foreground"
        + ("" if summary["trained"] else " (untrained weights: the masks mean nothing)")
    )


def _end(summary: dict[str, Any]) -> None:
    """Exit code 1 where a camera failed, 130 where the user ended the run."""
    from edgebs.recording.recorder import require_none_failed

    if "cameras" in summary:
        require_none_failed(summary)
    if summary["interrupted"]:
        raise typer.Exit(130)
