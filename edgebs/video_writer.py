"""Writes a video under a temporary name and proves, before it gets its own name, that it can be read.

OpenCV's VideoWriter says nothing when a disk is full or a codec is missing; this says it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgebs.atomic import Partial
from edgebs.capture import Capture, has_backend, quiet_opencv
from edgebs.errors import SinkError

SPARE_BYTES = 16 << 20
"""Writing stops with an error while this much is left on the disk: a full disk harms more than this run."""
FRAMES_PER_CHECK = 64


class VideoWriter:
    """One video file in the making."""

    def __init__(
        self, path: Path, fourcc: str, size: tuple[int, int], fps: float, *, is_grey: bool = False
    ) -> None:
        """size: (height, width), even. The file appears at `path` when `finish` succeeds."""
        self._path, self._frames = path, 0
        self._partial = Partial(path)
        backend = cv2.CAP_FFMPEG if has_backend(cv2.CAP_FFMPEG) else cv2.CAP_ANY
        code = cv2.VideoWriter.fourcc(*fourcc)
        with quiet_opencv():
            self._writer: Any = cv2.VideoWriter(
                str(self._partial.path), backend, code, fps, (size[1], size[0]), not is_grey
            )
        if not self._writer.isOpened():
            self.discard()
            raise SinkError(
                f"{path} cannot be written: this OpenCV has no encoder {fourcc} for {path.suffix}, or "
                f"refuses {size[1]}x{size[0]} at {fps:g} frames/s. Masks can go to a folder of PNG files "
                "instead: a path without an ending."
            )

    def write(self, picture: npt.NDArray[np.uint8]) -> None:
        """Add a frame: (H, W, 3) BGR, or (H, W) for a grey video."""
        if self._frames % FRAMES_PER_CHECK == 0:
            require_space(self._path)
        self._writer.write(picture)
        self._frames += 1

    def finish(self) -> None:
        """Close the file, check that it holds every frame, and give it its name."""
        self._writer.release()
        if not self._has_last_frame():
            size_bytes = self._partial.path.stat().st_size if self._partial.path.exists() else 0
            self.discard()
            free_bytes = shutil.disk_usage(self._path.parent).free
            raise SinkError(
                f"{self._path} was not written: the last of {self._frames} frames cannot be read back "
                f"({size_bytes} bytes, {free_bytes >> 20} MiB free). Free some space or lift the quota."
            )
        self._partial.keep()

    def _has_last_frame(self) -> bool:
        """The header of a file that was cut off still counts every frame: ask for the last one itself."""
        with quiet_opencv():
            written = Capture(str(self._partial.path))
            is_whole = written.is_open and written.has_frame(self._frames - 1)
        written.close()
        return is_whole

    def discard(self) -> None:
        """Remove what was written."""
        self._writer.release()
        self._partial.discard()


def require_space(path: Path) -> None:
    """Raise SinkError while the disk that holds `path` is as good as full."""
    free_bytes = shutil.disk_usage(path.parent).free
    if free_bytes < SPARE_BYTES:
        raise SinkError(
            f"{path} cannot be written on: its disk is full ({free_bytes >> 20} MiB free). "
            "Free some space, or write elsewhere."
        )
