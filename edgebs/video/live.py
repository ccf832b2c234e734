"""Sources that send frames at their own pace: cameras, addresses, GStreamer pipelines."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2

from edgebs.errors import SourceError
from edgebs.image import check_frame
from edgebs.tensors import Frame
from edgebs.video import Gap, Losses, Source, SourceFrame
from edgebs.video.film.decode import StreamBroken, StreamStalled
from edgebs.video.film.pipe import interruptible


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """A frame that has arrived."""

    image: Frame
    """(H, W, 3) uint8 BGR, a new array."""
    captured_s: float
    """On the clock `time.monotonic()`."""
    lost: int = 0
    """Frames before it that arrived and could not be decoded."""
    is_damaged: bool = False
    """Whether the decoder had to guess parts of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """An opened camera or stream."""

    name: str
    fps: float | None
    """Frames/s, where known."""
    timeout_s: float
    """How long a frame may take, for messages."""
    read: Callable[[], LiveFrame | None]
    """Waits for the next frame; None at the end, or once closed. Raises StreamStalled, StreamBroken."""
    close: Callable[[], None]
    """May be called by any thread, and twice."""
    is_closed: Callable[[], bool]


def live_source(feed: Feed) -> Source:
    """A live source, whose first frame is there. Raises SourceError if none comes in time."""
    first = _first_frame(feed)
    losses = Losses(is_filled=False)
    return Source(
        _frames(feed, first, losses),
        name=feed.name,
        fps=feed.fps,
        size=(first.image.shape[0], first.image.shape[1]),
        is_live=True,
        has_variable_rate=True,
        losses=losses,
        release=feed.close,
    )


def _first_frame(feed: Feed) -> LiveFrame:
    try:
        first = interruptible(feed.read)
    except (StreamStalled, StreamBroken):
        first = None
    except SourceError:
        feed.close()
        raise
    if first is None:
        feed.close()
        raise SourceError(
            f"{feed.name} opened, but sent no frame within {feed.timeout_s:g} s. Check that it is recording "
            "and that no other program uses it."
        )
    check_frame(first.image, name=f"frame 0 of {feed.name}")
    return first


def _frames(feed: Feed, first: LiveFrame, losses: Losses) -> Iterator[SourceFrame]:
    item: LiveFrame | None = first
    index, reason = 0, "it hung up"
    while item is not None:
        _check_size(feed, first.image, item.image, index)
        if item.lost:
            losses.add_gap(Gap(index, item.lost, None))
        if item.is_damaged:
            losses.add_damaged(index)
        yield SourceFrame(item.image, item.captured_s, index)
        index += 1
        try:
            item = feed.read()
        except StreamStalled:
            item, reason = None, f"no frame came within {feed.timeout_s:g} s"
        except StreamBroken as error:
            item, reason = None, f"the connection failed ({error})"
    if not feed.is_closed():
        raise SourceError(
            f"{feed.name} stopped after {index} frames: {reason}. Check the camera and the network, then "
            "open it again."
        )


def _check_size(feed: Feed, first: Frame, image: Frame, index: int) -> None:
    before, now = first.shape[:2], image.shape[:2]
    if before != now:
        raise SourceError(
            f"{feed.name} changed its size at frame {index}: pictures of {before[1]}x{before[0]} before, "
            f"{now[1]}x{now[0]} from there. One run has one size: set the camera to one, and start again."
        )


OWN_TIMES = frozenset({"rtsp", "rtp", "sdp", "mpegts", "flv", "hls", "matroska", "webm", "mov"})
"""Formats whose packets carry time stamps. For others (MJPEG) FFmpeg makes them up: 25 frames/s."""

CREEP = 1e-3
"""The estimate follows a camera's clock that runs slow by up to this share."""


def has_own_times(format_name: str) -> bool:
    """Whether time stamps of a format come from the camera. format_name: FFmpeg's, as "mov,mp4,m4a"."""
    return not OWN_TIMES.isdisjoint(format_name.split(","))


class LiveClock:
    """Maps a stream's time stamps to `time.monotonic()`.

    A frame cannot arrive before it is sent: the least delay seen is the best estimate of the shift between
    both clocks. Frames that waited, in a buffer or because the caller was slow, then keep the time at which
    they were sent.
    """

    def __init__(self, *, uses_stamps: bool) -> None:
        """uses_stamps: whether the stream's time stamps mean something; else arrival counts."""
        self._uses_stamps = uses_stamps
        self._shift_s: float | None = None
        self._arrived_s = 0.0
        self._last_s = float("-inf")

    def captured_s(self, stamp_s: float | None, arrived_s: float) -> float:
        """Time of a frame on the clock `time.monotonic()`: later than the one before, never after arrival."""
        time_s = arrived_s
        if self._uses_stamps and stamp_s is not None:
            time_s = min(stamp_s + self._shifted(stamp_s, arrived_s), arrived_s)
            if time_s <= self._last_s:  # the stream's time stamps went back
                self._shift_s = arrived_s - stamp_s
                time_s = arrived_s
        self._arrived_s = arrived_s
        self._last_s = max(time_s, self._last_s + 1e-6)
        return self._last_s

    def _shifted(self, stamp_s: float, arrived_s: float) -> float:
        delay_s = arrived_s - stamp_s
        if self._shift_s is None:
            self._shift_s = delay_s
        else:
            self._shift_s = min(self._shift_s + CREEP * (arrived_s - self._arrived_s), delay_s)
        return self._shift_s


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
        """Frames/s, None if the container has no plausible value."""
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        return fps if 0 < fps <= 1000 else None  # rejects NaN, and 90000 (a time base, not a rate)

    @property
    def is_closed(self) -> bool:
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
