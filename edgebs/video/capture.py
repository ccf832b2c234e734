"""OpenCV's VideoCapture, made quiet, bounded in time and safe to close while another thread reads."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import cv2

from edgebs.tensors import Frame


class Capture:
    """One opened camera or GStreamer pipeline."""

    def __init__(self, target: str | int, backend: int = cv2.CAP_ANY, options: tuple[int, ...] = ()) -> None:
        """Check `is_open` afterwards. options: property, value, property, value, ..."""
        with quiet_opencv():
            self._capture: Any = cv2.VideoCapture(target, backend, list(options))
        self.is_open: bool = self._capture.isOpened()
        self._closed = threading.Event()
        self._reading = threading.Lock()

    @property
    def fps(self) -> float | None:
        """Frames/s, None where the container says nothing believable."""
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        return fps if 0 < fps <= 1000 else None  # rejects NaN, and 90000 (a time base, not a rate)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def read(self) -> Frame | None:
        """The next frame (a new array), None at the end, on failure, or once closed."""
        with self._reading:
            if self._closed.is_set():
                return None
            has_frame, image = self._capture.read()
        if self._closed.is_set():
            self.close()
        return image if has_frame else None

    def close(self) -> None:
        """Free it, or, while another thread waits in `read`, let that thread free it. May be called twice.

        Releasing under a running read crashes in OpenCV, and waiting for it would block for the timeout.
        """
        self._closed.set()
        if self._reading.acquire(blocking=False):
            try:
                self._capture.release()
            finally:
                self._reading.release()


def has_backend(backend: int) -> bool:
    """Whether this OpenCV was built with, say, cv2.CAP_FFMPEG."""
    return bool(cv2.videoio_registry.hasBackend(backend))


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """OpenCV and FFmpeg say on stderr what is raised as an error anyway: silent inside this block.

    FFmpeg reads its level once per process, from the environment; a level that the user has set stays.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging = cv2.utils.logging
    before = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(before)
