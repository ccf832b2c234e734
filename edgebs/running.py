"""A bundle run over a source with its results written to files: `edgebs run` as a function."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgebs.errors import StageError
from edgebs.loading import load
from edgebs.pipeline import Pipeline
from edgebs.sinks import Sink, open_mask_sink, open_overlay_sink
from edgebs.sources import Source, open_source

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
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run `bundle` over `source`; write masks and overlays; return counts, fps, latency and foreground share.

    fps is that of the whole run, writing included. Files appear when they are complete; a source
    that breaks off leaves the outputs of the frames before it.
    Raises EdgebsError where the bundle, the source or an output cannot be used.
    """
    latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
    foreground, pixels = 0, 0
    with ExitStack() as stack:
        stream = stack.enter_context(open_source(source))
        pipeline = stack.enter_context(load(bundle, threads=threads))
        sinks = [stack.enter_context(sink) for sink in _sinks(stream, mask, overlay, force)]
        started_s = time.perf_counter()
        with _kept_on_failure(sinks):
            for result in pipeline.run(stream, frames=frames):
                for sink in sinks:
                    sink.write(result.frame, result.mask, result.probability)
                latencies.append(result.latency_ms)
                foreground += int(np.count_nonzero(result.mask))
                pixels += result.mask.size
                if progress:
                    progress(result.index + 1, frames or stream.frame_count or 0)
        elapsed_s = time.perf_counter() - started_s
        return _summary(pipeline, latencies, foreground / max(pixels, 1), elapsed_s)


@contextmanager
def _kept_on_failure(sinks: Sequence[Sink]) -> Iterator[None]:
    """Finish the outputs when the stream breaks or the user stops it: good masks are not thrown away."""
    try:
        yield
    except (StageError, KeyboardInterrupt):
        for sink in sinks:
            sink.close()
        raise


def _sinks(stream: Source, mask: Path | None, overlay: Path | None, force: bool) -> Iterator[Sink]:
    if mask is not None:
        yield open_mask_sink(mask, stream.size, stream.fps, force=force)
    if overlay is not None:
        yield open_overlay_sink(overlay, stream.size, stream.fps, force=force)


def _summary(
    pipeline: Pipeline, latencies: Sequence[float], foreground_share: float, elapsed_s: float
) -> dict[str, Any]:
    p50, p90, p99 = (float(value) for value in np.percentile(list(latencies) or [0.0], (50, 90, 99)))
    counters = pipeline.counters
    return {
        "bundle": pipeline.manifest.name,
        "trained": pipeline.manifest.trained,
        "frames_in": counters.frames_in,
        "frames_out": counters.frames_out,
        "frames_dropped": counters.frames_dropped,
        "fps": counters.frames_out / elapsed_s,
        "latency_ms": {"p50": p50, "p90": p90, "p99": p99},
        "foreground_share": foreground_share,
    }
