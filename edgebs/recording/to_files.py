"""A bundle run over a source with its results written to files: `edgebs run` as a function."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from edgebs.loading import load
from edgebs.machine.interrupts import ask_first
from edgebs.nvidia.options import DeviceOptions
from edgebs.recording.recorder import Recorder, Recording, begin_with_background, refuse_same_files
from edgebs.video.open import open_source


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
    value_range: tuple[float, float] | None = None,
    device: DeviceOptions | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run `bundle` over `source`; write masks and overlays; return counts, fps, latency and foreground share.

    fps is that of the whole run, writing included. Files appear when they are complete; a source
    that breaks off, and an interruption (Ctrl-C, SIGTERM), leave the outputs of the frames before it; after
    an interruption the summary says `interrupted`. background: a file that the scene's background is restored
    from where it exists, and saved to at the end. freeze_background: use it as it was saved, and leave it so.
    value_range: as of `edgebs.video.open.open_source`. device: as of `edgebs.load`.
    Raises EdgebsError where the bundle, the source or an output cannot be used.
    """
    recording = Recording(
        source=source,
        value_range=value_range,
        mask=mask,
        overlay=overlay,
        background=background,
        is_frozen=freeze_background,
    )
    refuse_same_files([recording])
    with ExitStack() as stack:
        stream = stack.enter_context(open_source(source, **recording.reading))
        pipeline = stack.enter_context(
            load(bundle, threads=threads, threshold=threshold, cleanup=cleanup, device=device)
        )
        begin_with_background(pipeline, recording)
        is_whole = False
        with Recorder(recording, stream, force=force) as recorder:
            started_s = time.perf_counter()
            stop = ask_first()
            with suppress(KeyboardInterrupt), recorder.kept_on_failure(stop):
                with pipeline.run(stream, frames=frames) as results:
                    stop.when_asked(results.ask_to_end)
                    for result in results:
                        recorder.add(result)
                        if progress:
                            progress(result.index + 1, frames or stream.frame_count or 0)
                is_whole = not stop.asked
            elapsed_s = time.perf_counter() - started_s
        # After the masks: they are not lost with a background that cannot be written.
        recorder.save_background(pipeline)
        summary = recorder.summary(pipeline.manifest, pipeline.counters, elapsed_s)
        return {**summary, "interrupted": not is_whole}
