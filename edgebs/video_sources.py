"""Sources that OpenCV decodes: video files, cameras, addresses, GStreamer pipelines."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2

from edgebs.capture import Capture, has_backend
from edgebs.errors import SourceError
from edgebs.file_clock import FileClock, is_truncated
from edgebs.preprocess import check_frame
from edgebs.source import Source, SourceFrame
from edgebs.tensors import Frame

logger = logging.getLogger(__name__)

TEXT = (".txt", ".nfo", ".asc", ".ans", ".diz", ".vt")
"""FFmpeg reads these as films of a terminal, letter by letter."""


def video_file(path: Path, *, loop: bool, fps: float | None) -> Source:
    """A video file, from its first frame. fps: believe this rate instead of the file's own times."""
    return _finite(str(path), _opened_file(path), lambda: _opened_file(path), loop=loop, fps=fps)


def camera(number: int, *, timeout_s: float) -> Source:
    """A camera of this machine. (V4L2 has its own limit of 10 s per frame; timeout_s is for the message.)"""
    capture = Capture(number)
    if not capture.is_open:
        present = ", ".join(sorted(str(device) for device in Path("/dev").glob("video*"))) or "none"
        raise SourceError(
            f"camera {number} cannot be opened (devices here: {present}). Check the cable, the permissions "
            "of /dev/video* (group `video`), and that no other program uses it."
        )
    return _live(f"camera {number}", capture, timeout_s)


def address(url: str, *, loop: bool, timeout_s: float) -> Source:
    """A stream (rtsp://, http://), or a video file behind http://. timeout_s: to open, and for each frame."""
    name = without_password(url)
    started_s = time.monotonic()
    capture = _opened_address(url, timeout_s)
    if not capture.is_open:
        raise SourceError(
            f"{name} cannot be opened (tried for {time.monotonic() - started_s:.1f} s). "
            f"Check the address, the user and password, and that it plays here: ffplay '{name}'"
        )
    if url.startswith("rtsp") or capture.frame_count is None:
        if loop:
            capture.close()
            raise SourceError(
                f"{name} is live and cannot be repeated: give a file, or leave out the repeating."
            )
        return _live(name, capture, timeout_s)
    return _finite(name, capture, lambda: _opened_address(url, timeout_s), loop=loop, fps=None)


def gstreamer(pipeline: str, *, timeout_s: float) -> Source:
    """A GStreamer pipeline that ends in `appsink`, where OpenCV was built with GStreamer."""
    if not has_backend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"this OpenCV was built without GStreamer and cannot run the pipeline '{pipeline}'. "
            "Wheels from PyPI never have it: use the system's OpenCV (on Jetson it comes with JetPack; leave "
            "out the extras `headless` and `gui`), or give a file or an rtsp:// address."
        )
    capture = Capture(pipeline, cv2.CAP_GSTREAMER)
    if not capture.is_open:
        raise SourceError(
            f"GStreamer cannot start '{pipeline}'. It must end in `! videoconvert ! video/x-raw,format=BGR ! "
            "appsink`; try it in gst-launch-1.0 with `fakesink` in place of `appsink`."
        )
    return _live(f"GStreamer pipeline '{pipeline}'", capture, timeout_s)


def without_password(url: str) -> str:
    """The address as it may appear in logs and messages."""
    return re.sub(r"(://[^/@:]*):[^/]*@", r"\1:***@", url)


def _opened_file(path: Path) -> Capture:
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is empty (0 bytes). Copy or record it again.")
    if path.suffix.lower() in TEXT:
        raise SourceError(f"{path} is a text, not a video.")
    capture = Capture(str(path), cv2.CAP_FFMPEG if has_backend(cv2.CAP_FFMPEG) else cv2.CAP_ANY)
    if capture.is_open:
        return capture
    if _lacks_moov(path):
        raise SourceError(
            f"{path} has no index (no 'moov' box): the recording or the copy was cut off before its end, and "
            "an MP4 cannot be read without it. Copy it again; where power may fail, record MKV."
        )
    raise SourceError(
        f"{path} cannot be read as a video: it is not one, is damaged, or OpenCV has no decoder for it. "
        f"See what it is with: ffprobe '{path}'"
    )


def _opened_address(url: str, timeout_s: float) -> Capture:
    if not has_backend(cv2.CAP_FFMPEG):
        return Capture(url)
    milliseconds = int(timeout_s * 1000)
    limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds)
    return Capture(url, cv2.CAP_FFMPEG, limits)


def _lacks_moov(path: Path) -> bool:
    """Whether this is an MP4 or MOV without the box that says where the frames are."""
    length, position = path.stat().st_size, 0
    kinds: list[bytes] = []
    with path.open("rb") as file:
        while position + 8 <= length and len(kinds) < 100:
            file.seek(position)
            head = file.read(16)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            size = int.from_bytes(head[8:16], "big") if size == 1 else size
            kinds.append(kind)
            if size < 8:
                break
            position += size
    return kinds[:1] == [b"ftyp"] and b"moov" not in kinds


def _finite(
    name: str, capture: Capture, reopen: Callable[[], Capture], *, loop: bool, fps: float | None
) -> Source:
    video = _Video(name, capture, reopen, fps=fps)
    return Source(
        video.frames(loop=loop),
        name=name,
        fps=video.fps,
        frame_count=None if loop else video.promised,
        size=video.size,
        release=video.close,
    )


class _Video:
    """A file being read, pass after pass when it loops."""

    def __init__(
        self, name: str, capture: Capture, reopen: Callable[[], Capture], *, fps: float | None
    ) -> None:
        self._name, self._capture, self._reopen = name, capture, reopen
        self._is_closed = False
        self._first = self._first_frame()
        self.fps = fps or capture.fps
        self.promised = capture.frame_count
        self.size = (self._first.shape[0], self._first.shape[1])
        self._clock = FileClock(self.fps, trusts_container=fps is None)

    def frames(self, *, loop: bool) -> Iterator[SourceFrame]:
        index = 0
        image: Frame | None = self._first
        while True:
            while image is not None:
                check_frame(image, self.size, name=f"frame {index} of {self._name}")
                yield SourceFrame(image, self._clock.tick(self._capture.position_s), index)
                index += 1
                image = self._capture.read()
            if self._is_closed:
                return
            self._check_complete(index)
            if not loop:
                return
            image = self._rewound()

    def close(self) -> None:
        self._is_closed = True
        self._capture.close()

    def _first_frame(self) -> Frame:
        image = self._capture.read()
        if image is None:
            self._capture.close()
            raise SourceError(
                f"{self._name} holds no frame that can be decoded: the recording was cut off, or OpenCV has "
                f"no decoder for it. See what it is with: ffprobe '{self._name}'"
            )
        return check_frame(image, name=f"frame 0 of {self._name}")

    def _rewound(self) -> Frame | None:
        self._capture.close()
        self._clock.rewind()
        self._capture = self._reopen()
        if self._is_closed:  # by another thread, meanwhile
            self._capture.close()
            return None
        return self._first_frame()

    def _check_complete(self, decoded: int) -> None:
        """Once the first pass has ended; in later passes `decoded` counts on and nothing is missing."""
        if self.promised is None or decoded >= self.promised:
            return
        if is_truncated(self.promised, decoded, fps=self.fps, end_s=self._clock.end_s):
            raise SourceError(
                f"{self._name} is truncated: it promises {self.promised} frames and stops after {decoded} "
                f"(the last good one is frame {decoded - 1}). Copy it again, or keep what is there: "
                f"ffmpeg -i '{self._name}' -c copy repaired.mkv"
            )
        logger.warning("%s promises %d frames and holds %d", self._name, self.promised, decoded)


def _live(name: str, capture: Capture, timeout_s: float) -> Source:
    first = capture.read()
    arrived_s = time.monotonic()
    if first is None:
        capture.close()
        raise SourceError(
            f"{name} opened, but sent no frame within {timeout_s:g} s. Check that it is recording and that "
            "no other program uses it."
        )
    check_frame(first, name=f"frame 0 of {name}")
    return Source(
        _live_frames(name, capture, first, arrived_s),
        name=name,
        fps=capture.fps,
        size=(first.shape[0], first.shape[1]),
        is_live=True,
        release=capture.close,
    )


def _live_frames(name: str, capture: Capture, first: Frame, arrived_s: float) -> Iterator[SourceFrame]:
    size = (first.shape[0], first.shape[1])
    image: Frame | None = first
    index = 0
    while image is not None:
        yield SourceFrame(check_frame(image, size, name=f"frame {index} of {name}"), arrived_s, index)
        index += 1
        image = capture.read()
        arrived_s = time.monotonic()
    if not capture.is_closed:
        raise SourceError(
            f"{name} stopped after {index} frames: it hung up, or no frame came in time. "
            "Check the camera and the network, then open it again."
        )
