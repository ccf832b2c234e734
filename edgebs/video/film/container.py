"""Opens what FFmpeg reads (PyAV): files by path, pipes, addresses."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

from edgebs.video.film import Film
from edgebs.video.film.decode import Decoder
from edgebs.video.film.pipe import Pipe, interruptible
from edgebs.video.film.survey import (
    Slots,
    Survey,
    avi_index,
    film_stream,
    frame_rate,
    length,
    promised_frames,
    survey,
)

logger = logging.getLogger(__name__)

ADDRESS_OPTIONS = {
    # Over UDP, the default, lost packets damage pictures.
    "rtsp_transport": "tcp",
    # Opening must not wait for many pictures: a camera may send one every 3 s.
    "fpsprobesize": "0",
}

NO_FILM = "it holds no video"

TERMINAL = "tty"
"""FFmpeg's format for texts, played as films of a terminal."""


class NotOpened(Exception):
    """FFmpeg cannot open it. Carries the reason, without the address."""


def open_file(path: Path, name: str) -> Film:
    """The film in a local file. Raises NotOpened."""
    with _opened(_file(path)) as container:
        seen = survey(container)
    container = _opened(_file(path))
    return _film(container, name, seen, slots=lambda stream: _slots(path, container, stream))


def open_pipe(path: Path, name: str) -> Film:
    """The film in a pipe. Waits for its writer. Raises NotOpened."""
    try:
        pipe = Pipe(path)
    except OSError as error:
        raise NotOpened(error.strerror) from error
    if pipe.is_terminal:
        raise NotOpened("it is a terminal")
    try:
        # Ctrl-C in the main thread can hit `pipe.read` before its first line, and FFmpeg drops the exception.
        container = interruptible(lambda: _opened(pipe), pipe.close)
        film = _film(container, name, None, pipe=pipe)
    except NotOpened:
        pipe.close()
        pipe.raise_failure()
        raise
    pipe.raise_failure()
    return film


def open_address(url: str, timeout_s: float) -> Any:
    """The container of an address. Raises NotOpened."""
    limits = (timeout_s, timeout_s)
    return interruptible(lambda: _opened(url, options=ADDRESS_OPTIONS, timeout=limits))


def address_film(container: Any, url: str, name: str, timeout_s: float) -> Film:
    """The film of a container that has an end."""
    with open_address(url, timeout_s) as other:
        seen = survey(other)
    return _film(container, name, seen, limit_s=timeout_s)


def is_endless(container: Any, url: str) -> bool:
    """Whether a container of an address is live: it has no length."""
    return url.startswith("rtsp") or not container.duration or container.duration < 0


def live_decoder(container: Any, name: str, timeout_s: float) -> tuple[Decoder, float | None]:
    """A decoder for a live container, and its frames/s where known. Raises NotOpened."""
    stream, _ = film_stream(container, None)
    if stream is None:
        container.close()
        raise NotOpened(NO_FILM)
    decoder = Decoder(container, stream, name=name, limit_s=timeout_s, is_live=True)
    return decoder, frame_rate(stream, None)[0]


def _file(path: Path) -> str:
    """The address of a path: without it, `12:30.mp4` is a protocol to FFmpeg."""
    return f"file:{path}"


def _opened(target: Any, **options: Any) -> Any:
    try:
        return av.open(target, **options)
    except av.error.ExitError:
        raise NotOpened("no answer in time") from None
    except (av.FFmpegError, OSError) as error:
        # Not the error itself: it may hold a password.
        raise NotOpened(error.strerror or type(error).__name__) from None


def _film(
    container: Any,
    name: str,
    seen: Survey | None,
    *,
    limit_s: float | None = None,
    slots: Callable[[Any], Slots | None] = lambda _: None,
    pipe: Pipe | None = None,
) -> Film:
    stream, films = film_stream(container, seen)
    if stream is None or container.format.name == TERMINAL:
        container.close()
        raise NotOpened(NO_FILM)
    if len(films) > 1:
        logger.warning("%s holds %d videos: %s is used", name, len(films), _describe(stream))
    fps, is_regular = frame_rate(stream, seen)
    found = slots(stream)
    return Film(
        name=name,
        decoder=Decoder(container, stream, name=name, limit_s=limit_s, slots=found, pipe=pipe),
        fps=fps,
        is_regular=is_regular or found is not None,
        has_gaps_in_time=not _counts_samples(container, stream),
        is_counted=is_regular or bool(stream.frames),
        promised=promised_frames(container, stream, fps),
        length_s=length(container, stream),
    )


def _slots(path: Path, container: Any, stream: Any) -> Slots | None:
    return Slots(avi_index(path, stream.index)) if container.format.name == "avi" else None


def _counts_samples(container: Any, stream: Any) -> bool:
    """Whether the container lists every frame, so that a step in time is no sign of a missing one."""
    return "mp4" in container.format.name.split(",") and bool(stream.frames)


def _describe(stream: Any) -> str:
    return f"stream {stream.index} ({stream.codec_context.name}, {stream.width}x{stream.height})"
