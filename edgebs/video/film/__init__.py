"""Video files, pipes and addresses, decoded by FFmpeg (PyAV)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgebs.errors import SourceError
from edgebs.tensors import Frame
from edgebs.video import Losses, Source, SourceFrame
from edgebs.video.bit_depth import EightBits, ValueRange
from edgebs.video.film.decode import Decoder, Picture, StreamBroken, StreamStalled
from edgebs.video.film.time_line import TimeLine, is_truncated

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """An opened file or pipe, with the facts of its container."""

    name: str
    decoder: Decoder
    fps: float | None
    """Frames/s, None where unknown."""
    is_regular: bool
    """Whether its rate is constant."""
    has_gaps_in_time: bool
    """Whether a step in time over several frames means that frames are missing, if the rate is constant."""
    promised: int | None
    """Frames that it should have, None where unknown."""
    is_counted: bool
    """Whether that is a count, or follows from a constant rate; else it is a guess from the length."""
    length_s: float | None
    """How long it should be, None where unknown."""


def film_source(
    film: Film,
    reopen: Callable[[], Film],
    *,
    loop: bool,
    fps: float | None,
    value_range: ValueRange | None = None,
) -> Source:
    """A source of the film's frames. fps: believe this rate instead of the file's own times.

    value_range: the values that become 0 and 255. Raises SourceError where more than 8 bits need one.
    """
    reader = _Reader(film, reopen, EightBits(value_range), fps=fps)
    return Source(
        reader.frames(loop=loop),
        name=film.name,
        fps=fps or film.fps,
        frame_count=None if loop else film.promised,
        size=reader.size,
        has_variable_rate=fps is None and not film.is_regular,
        losses=reader.losses,
        release=reader.close,
    )


class _Reader:
    def __init__(
        self, film: Film, reopen: Callable[[], Film], depth: EightBits, *, fps: float | None
    ) -> None:
        self._film, self._reopen, self._depth = film, reopen, depth
        self._is_closed = False
        self.losses = Losses()
        self._line = TimeLine(
            film.fps,
            self.losses,
            is_regular=film.is_regular and film.has_gaps_in_time,
            length_s=film.length_s,
            replaced_fps=fps,
        )
        self._rate = fps or film.fps
        self._index = 0
        self._first = self._required(self._read())
        self._first_image = self._first_as_bgr()
        self.size = (self._first_image.shape[0], self._first_image.shape[1])
        if depth.note:
            logger.warning("%s", depth.note)

    def frames(self, *, loop: bool) -> Iterator[SourceFrame]:
        picture: Picture | None = self._first
        while True:
            while picture is not None:
                self._check_size(picture)
                image = self._first_image if picture is self._first else self._bgr(picture)
                is_after_error = self._film.decoder.errors > 0
                captured_s, missing = self._line.place(picture, is_after_error=is_after_error)
                yield SourceFrame(image, captured_s, self._index, missing)
                self._index += 1
                picture = self._read()
            if self._is_closed:
                return
            self._check_complete()
            if not loop:
                self.losses.report(self._film.name)
                return
            picture = self._rewound()

    def _first_as_bgr(self) -> Frame:
        try:
            return self._bgr(self._first)
        except SourceError:
            self._film.decoder.close()
            raise

    def _bgr(self, picture: Picture) -> Frame:
        return self._depth.frame(
            picture.image, f"frame {self._index} of {self._film.name}", picture.own_range
        )

    def close(self) -> None:
        self._is_closed = True
        self._film.decoder.close()

    def _read(self) -> Picture | None:
        try:
            return self._film.decoder.read()
        except StreamStalled:
            reason = "no more data came in time"
        except StreamBroken as error:
            reason = f"the connection failed ({error})"
        raise SourceError(
            f"{self._film.name} stopped after {self._index} frames: {reason}. Check the network, or copy the "
            "file to this machine."
        )

    def _required(self, picture: Picture | None) -> Picture:
        """The first picture of a pass."""
        if picture is None:
            self._film.decoder.close()
            raise SourceError(
                f"{self._film.name} holds no frame that can be decoded: the recording was cut off, or is "
                f"damaged. See what it is with: ffprobe '{self._film.name}'"
            )
        return picture

    def _check_size(self, picture: Picture) -> None:
        size = picture.image.shape[:2]
        if size != self.size:
            before, now = f"{self.size[1]}x{self.size[0]}", f"{size[1]}x{size[0]}"
            raise SourceError(
                f"{self._film.name} changes its size at frame {self._index}: pictures of {before} before, "
                f"{now} from there. One run has one size. Split the file there, or scale it: "
                f"ffmpeg -i '{self._film.name}' -vf scale={before.replace('x', ':')} same.mkv"
            )

    def _rewound(self) -> Picture | None:
        self._film.decoder.close()
        self._line.rewind()
        self._film = self._reopen()
        if self._is_closed:  # by another thread, meanwhile
            self._film.decoder.close()
        picture = self._read()
        return None if self._is_closed else self._required(picture)

    def _check_complete(self) -> None:
        if self._film.promised is None:
            return
        promised, held = self._film.promised - self._film.decoder.hidden, self._line.position + 1
        if held >= promised:
            return
        if is_truncated(promised, held, fps=self._rate, end_s=self._line.end_s):
            self.losses.report(self._film.name)
            raise SourceError(
                f"{self._film.name} is truncated: it promises {promised} frames and stops after {held} "
                f"(the last good one is frame {held - 1}). Copy it again, or keep what is there: "
                f"ffmpeg -i '{self._film.name}' -c copy repaired.mkv"
            )
        if self._film.is_counted and not self.losses.pauses:
            logger.warning("%s promises %d frames and holds %d", self._film.name, promised, held)
