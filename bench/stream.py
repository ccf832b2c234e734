"""A short stream to compare two pipelines on: a user's video, or a rendered street."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from bench.scenes.street.street import SceneOptions, StreetScene, scene_video
from edgebs.errors import SourceError
from edgebs.files import scratch_folder
from edgebs.tensors import Frame
from edgebs.text import source_name
from edgebs.video.bit_depth import ValueRange
from edgebs.video.open import open_source

RENDERED_SIZE = (240, 320)
RENDERED_SEED = 7
Stream = list[tuple[Frame, float | None]]
"""Frames (H, W, 3) uint8 BGR with their capture times in seconds."""


def parity_stream(source: str | Path | None, frames: int, value_range: ValueRange | None = None) -> Stream:
    """The first `frames` frames of a source, or of a rendered street if `source` is None.

    value_range: see `open_source`. Raises SourceError for an unreadable source or one without a frame.
    """
    if source is None:
        scene = StreetScene(SceneOptions(size=RENDERED_SIZE, frames=frames, seed=RENDERED_SEED))
        return [(frame.image, frame.captured_s) for frame in scene]
    with open_source(source, value_range=value_range) as opened:
        stream: Stream = [(item.image.copy(), item.captured_s) for item in islice(opened, frames)]
    if not stream:
        raise SourceError(f"{source_name(source)} holds no frame. Name another video with --source.")
    return stream


@contextmanager
def video_or_rendered(
    source: str | None, frames: int = 150, progress: Callable[[int, int], None] | None = None
) -> Iterator[str | Path]:
    """The source itself, or a rendered street as a video file that exists within the block."""
    if source is not None:
        yield source
        return
    with scratch_folder() as folder:
        video = folder / "rendered-street.avi"
        scene_video(SceneOptions(frames=frames, seed=RENDERED_SEED), video, progress=progress)
        yield video
