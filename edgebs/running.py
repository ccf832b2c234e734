"""A bundle run over a source with its results written to files: `edgebs run` as a function."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from edgebs.device_options import DeviceOptions
from edgebs.errors import BundleError, SinkError, StageError
from edgebs.latency import latency_percentiles
from edgebs.loading import load
from edgebs.pipeline import Pipeline
from edgebs.sinks import Sink, open_mask_sink, open_overlay_sink
from edgebs.sources import Source, open_source

logger = logging.getLogger(__name__)

LATENCIES_KEPT = 10_000
"""Percentiles are over the last so many frames: a camera runs for months."""


def run_to_files(
    bundle: str | Path,
    source: str | Path,
    *,
    mask: Path | None = None,
    overlay: Path | None = None,
    frames: int | None = None,
    threads: int = 0,
    threshold: float | None = None,
    cleanup: bool = True,
    background: Path | None = None,
    freeze_background: bool = False,
    device: DeviceOptions | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run `bundle` over `source`; write masks and overlays; return counts, fps, latency and foreground share.

    fps is that of the whole run, writing included. Files appear when they are complete; a source
    that breaks off, and an interruption (Ctrl-C, SIGTERM), leave the outputs of the frames before it; after
    an interruption the summary says `interrupted`. background: a file that the scene's background is restored
    from where it exists, and saved to at the end. freeze_background: use it as it was saved, and leave it so.
    device: as of `edgebs.load`.
    Raises EdgebsError where the bundle, the source or an output cannot be used.
    """
    _refuse_same_file(source, mask, overlay)
    latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
    foreground, pixels = 0, 0
    with ExitStack() as stack:
        stream = stack.enter_context(open_source(source))
        pipeline = stack.enter_context(
            load(bundle, threads=threads, threshold=threshold, cleanup=cleanup, device=device)
        )
        _begin_with(pipeline, background, freeze_background)
        sinks = [stack.enter_context(sink) for sink in _sinks(stream, mask, overlay, force)]
        started_s = time.perf_counter()
        is_whole = False
        with suppress(KeyboardInterrupt), _kept_on_failure(sinks, mask, overlay):
            for result in pipeline.run(stream, frames=frames):
                for sink in sinks:
                    sink.write(result.frame, result.mask, result.probability)
                latencies.append(result.latency_ms)
                foreground += int(np.count_nonzero(result.mask))
                pixels += result.mask.size
                if progress:
                    progress(result.index + 1, frames or stream.frame_count or 0)
            is_whole = True
        elapsed_s = time.perf_counter() - started_s
        if background is not None and not freeze_background and pipeline.counters.frames_out:
            pipeline.save_background(background)
        return {
            **_summary(pipeline, latencies, foreground / max(pixels, 1), elapsed_s),
            "interrupted": not is_whole,
        }


def _begin_with(pipeline: Pipeline, background: Path | None, freeze: bool) -> None:
    if freeze and background is None:
        raise BundleError("there is no background to freeze: name the file of one with --background FILE.")
    if background is None:
        return
    if background.exists() or freeze:
        pipeline.restore_background(background)
    else:
        pipeline.require_background_cue()
    if freeze:
        pipeline.freeze_background()


def _refuse_same_file(source: str | Path, mask: Path | None, overlay: Path | None) -> None:
    """Also with force: a video must not be replaced by its masks."""
    outputs = [path.resolve() for path in (mask, overlay) if path is not None]
    if Path(str(source)).resolve() in outputs:
        raise SinkError(f"{source} is the source, and would be replaced by its masks. Name another output.")
    if len(set(outputs)) < len(outputs):
        raise SinkError(f"mask and overlay have the same name, {mask}. Give them two.")


@contextmanager
def _kept_on_failure(sinks: Sequence[Sink], *outputs: Path | None) -> Iterator[None]:
    """Finish the outputs when the stream breaks or the user stops it: good masks are not thrown away."""
    try:
        yield
    except (StageError, KeyboardInterrupt):
        for sink in sinks:
            sink.close()
        kept = ", ".join(str(path) for path in outputs if path is not None)
        if kept:
            logger.warning("%s: kept, with the frames before the stream ended", kept)
        raise


def _sinks(stream: Source, mask: Path | None, overlay: Path | None, force: bool) -> Iterator[Sink]:
    if mask is not None:
        yield open_mask_sink(mask, stream.size, stream.fps, force=force)
    if overlay is not None:
        yield open_overlay_sink(overlay, stream.size, stream.fps, force=force)


def _summary(
    pipeline: Pipeline, latencies: Sequence[float], foreground_share: float, elapsed_s: float
) -> dict[str, Any]:
    counters = pipeline.counters
    return {
        "bundle": pipeline.manifest.name,
        "trained": pipeline.manifest.trained,
        "frames_in": counters.frames_in,
        "frames_out": counters.frames_out,
        "frames_dropped": counters.frames_dropped,
        "fps": counters.frames_out / elapsed_s,
        "latency_ms": latency_percentiles(latencies),
        "foreground_share": foreground_share,
    }
