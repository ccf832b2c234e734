"""A camera of multipart JPEG on 127.0.0.1 that sends some frames and then nothing, without hanging up."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
from waiting import WATCHDOG_S

FRAMES = 25


@contextmanager
def stalling_camera(frames: int = FRAMES) -> Iterator[str]:
    """Yield its address."""
    ending = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for number in range(frames):
                content = cv2.imencode(".jpg", np.full((120, 160, 3), 10 * number % 250, np.uint8))[
                    1
                ].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + content + b"\r\n")
                except OSError:
                    return
                time.sleep(0.04)
            ending.wait(WATCHDOG_S)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        ending.set()
        server.shutdown()
        thread.join()
        server.server_close()
