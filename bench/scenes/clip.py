"""A clip of the street, as frames or as a video file: for demo, parity and tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.scenes.bank import PictureBank
from bench.scenes.mix import AHEAD_S, PAST_S, STREET
from bench.scenes.scene import FOREGROUND, Scene
from edgebs.errors import SinkError
from edgebs.files import atomic_file, library_path
from edgebs.tensors import Array, Frame

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOptions:
    """What is rendered. The same options give the same bytes."""

    size: tuple[int, int] = (360, 640)
    """(height, width) in pixels, each at least 32."""
    frames: int = 250
    """At least 1."""
    fps: float = 25.0
    """Frames per second, above 0."""
    seed: int = 0
    """Chooses street, people, cars and their timing; at least 0."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the option that is out of range."""
        longest = PAST_S + AHEAD_S
        checks = {
            "size": (len(self.size) == 2 and min(self.size) >= 32, "two sides of at least 32"),
            "frames": (self.frames >= 1, "at least 1"),
            "fps": (0 < self.fps < math.inf, "above 0"),
            "seed": (self.seed >= 0, "at least 0"),
        }
        for name, (holds, wanted) in checks.items():
            if not holds:
                raise ValueError(f"clip option {name} must be {wanted}, got {getattr(self, name)}")
        if self.frames / self.fps > longest:
            raise ValueError(
                f"a clip has at most {longest:g} s, got {self.frames} frames at {self.fps:g} a second"
            )


@dataclass(frozen=True, slots=True)
class ClipFrame:
    """One rendered frame and its truth. The arrays belong to the caller."""

    image: Frame
    """(H, W, 3) uint8 BGR."""
    mask: Array
    """(H, W) uint8, 255 where people and cars that have moved since the clip began cover at least half of the
    pixel, else 0."""
    index: int
    captured_s: float


class Clip:
    """A street in daylight, frame by frame; frames may be taken in any order."""

    def __init__(self, options: ClipOptions | None = None) -> None:
        """The first one of a process loads the sprites, which the first one on a machine draws."""
        self.options = options or ClipOptions()
        o = self.options
        self._scene = Scene((o.seed, 0xC11B), o.size, PictureBank(None), STREET)
        # A scene moves most in its last seconds.
        self._start_s = min(0.0, AHEAD_S - o.frames / o.fps)

    def __len__(self) -> int:
        return self.options.frames

    def __iter__(self) -> Iterator[ClipFrame]:
        return (self.frame(t) for t in range(len(self)))

    def frame(self, t: int) -> ClipFrame:
        """Frame `t`, counted from 0. Raises IndexError outside 0 .. len - 1."""
        if not 0 <= t < len(self):
            raise IndexError(f"frame {t} is outside the clip: it has frames 0 to {len(self) - 1}")
        captured_s = t / self.options.fps
        seen = self._scene.frame(self._start_s + captured_s, self._start_s)
        mask = np.where(seen.labels == FOREGROUND, np.uint8(255), np.uint8(0))
        return ClipFrame(seen.image, mask, t, captured_s)


def clip_video(
    options: ClipOptions, path: str | Path, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write the clip as `path` (.mp4: MPEG-4, .avi: motion JPEG) and return it.

    Written under a temporary name and renamed. `progress` is called with (frames done, frames in all). Raises
    SinkError if the video cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() not in CODECS:
        raise SinkError(f"{target}: a clip is written as .mp4 or .avi; give a name that ends so")
    height, width = options.size
    codec = cv2.VideoWriter.fourcc(*CODECS[target.suffix.lower()])
    with atomic_file(target, SinkError) as partial, library_path(partial, SinkError) as named:
        writer = cv2.VideoWriter(str(named), codec, options.fps, (width, height))
        try:
            if not writer.isOpened():
                raise SinkError(
                    f"{target}: OpenCV cannot open a video file there; check folder and permissions"
                )
            for frame in Clip(options):
                writer.write(frame.image)
                if progress is not None:
                    progress(frame.index + 1, options.frames)
        finally:
            writer.release()
        if not partial.is_file() or partial.stat().st_size == 0:
            raise SinkError(f"{target}: OpenCV wrote no video; check the space left on the disk")
    return target
