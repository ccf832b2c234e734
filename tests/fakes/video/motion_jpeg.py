"""Cameras of multipart JPEG on 127.0.0.1, as IP cameras send it."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np

from fakes.process.waiting import WATCHDOG_S

STALL = "/stall"
"""The path at which a camera does not hang up after its last picture: it is silent until it is released."""


def jpeg(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as a JPEG file."""
    return cv2.imencode(".jpg", picture)[1].tobytes()


class Camera(http.server.ThreadingHTTPServer):
    """Sends the same pictures to everybody who asks."""

    daemon_threads = True

    def __init__(self, pictures: Callable[[str], Iterable[bytes]]) -> None:
        """pictures: the JPEG files that are sent to who asks for a path."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pictures = pictures
        self.is_stalled, self.released = threading.Event(), threading.Event()
        self.gave_up = False
        """It stalled, and was not released."""

    def address(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Camera

    def do_GET(self) -> None:
        # Who reads may leave at any time.
        with suppress(OSError):
            self._send_pictures()
        if self.path == STALL:
            self.server.is_stalled.set()
            self.server.gave_up = not self.server.released.wait(WATCHDOG_S)

    def _send_pictures(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for content in self.server.pictures(self.path):
            head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(content)
            self.wfile.write(head + content + b"\r\n")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def motion_jpeg_camera(pictures: Callable[[str], Iterable[bytes]]) -> Iterator[Camera]:
    """A camera that runs in a thread, and is released at the end."""
    with Camera(pictures) as camera:
        thread = threading.Thread(target=camera.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield camera
        finally:
            camera.released.set()
            camera.shutdown()
            thread.join()


@contextmanager
def stalling_camera(frames: int = 25) -> Iterator[str]:
    """The address of a camera that sends that many frames, and is silent then."""

    def pictures(_: str) -> Iterator[bytes]:
        for number in range(frames):
            yield jpeg(np.full((120, 160, 3), 10 * number % 250, np.uint8))
            time.sleep(0.04)

    with motion_jpeg_camera(pictures) as camera:
        yield camera.address(STALL)
