"""What several cameras of one run say: progress while they run, and a summary of each and of all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgebs.errors import CamerasFailed, EdgebsError, StageError
from edgebs.video.source import Source

logger = logging.getLogger(__name__)


def frame_counter(
    progress: Callable[[int, int], None] | None, streams: Sequence[Source], frames: int | None
) -> Callable[[], None]:
    """What is called after each frame of each camera, from whichever thread.

    progress: told the frames done, and those that there are (0 where one camera knows no number).
    """
    totals = [frames or stream.frame_count or 0 for stream in streams]
    total = sum(totals) if all(totals) else 0
    done, counting = 0, threading.Lock()

    def count() -> None:
        nonlocal done
        if progress:
            with counting:
                done += 1
                progress(done, total)

    return count


def cause_of(error: Exception, frames: int) -> str:
    """What a camera failed with. frames: how many it had by then."""
    if isinstance(error, StageError):
        return str(error)
    kind = "" if isinstance(error, EdgebsError) else f"{type(error).__name__}: "
    return f"after {frames} frames: {kind}{error}"


def report_failure(place: int, name: str, error: Exception, frames: int) -> None:
    """Say now that a camera failed: the others may go on for months."""
    is_expected = isinstance(error, EdgebsError | OSError)
    logger.warning(
        "camera %d (%s) failed: %s", place, name, cause_of(error, frames), exc_info=not is_expected
    )


def summary_of_all(cameras: Sequence[Mapping[str, Any]], elapsed_s: float) -> dict[str, Any]:
    """The summary of a run: those of its cameras, and what they did in all."""
    frames = sum(camera["frames_out"] for camera in cameras)
    return {
        "cameras": list(cameras),
        "frames_out": frames,
        "fps": frames / elapsed_s,
        "interrupted": any(camera["interrupted"] for camera in cameras),
    }


def require_none_failed(summary: Mapping[str, Any]) -> None:
    """Raise CamerasFailed naming each camera of a run that failed, and its cause."""
    cameras = summary["cameras"]
    failed = [
        f"camera {place} ({camera['source']}): {camera['error']}"
        for place, camera in enumerate(cameras)
        if camera["error"] is not None
    ]
    if failed:
        raise CamerasFailed(f"{len(failed)} of {len(cameras)} cameras failed: " + "; ".join(failed))
