"""One video stream, decoded by FFmpeg (PyAV): packets in, pictures with their times out.

A packet that cannot be decoded is counted and passed over; it ends nothing.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorTrc, Interpolation, VideoReformatter

from edgebs.tensors import Array, Frame
from edgebs.video.bit_depth import ValueRange
from edgebs.video.film.packets import FrameNumbers, Jpegs, PendingPackets
from edgebs.video.film.pipe import Pipe, interruptible
from edgebs.video.film.survey import AHEAD, Chunk, Slots

logger = logging.getLogger(__name__)

HDR = {int(ColorTrc.SMPTE2084): "PQ", int(ColorTrc.ARIB_STD_B67): "HLG"}
"""Transfer functions of high dynamic range."""

TURNS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    -270: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    -180: cv2.ROTATE_180,
    -90: cv2.ROTATE_90_CLOCKWISE,
    270: cv2.ROTATE_90_CLOCKWISE,
}
"""Of the display matrix, in degrees counterclockwise, as phones write it."""

KEPT_BYTES = (32 << 20) - 65536
"""glibc learns from the largest block that was freed, up to 32 MB, how much free memory it keeps."""


class PictureConverter:
    """Converts the frames of one stream. One object per stream: it keeps the tables of the conversion."""

    def __init__(self, name: str) -> None:
        """name: of the source, for the note that a film is HDR."""
        self._name = name
        self._reformatter = VideoReformatter()
        self._is_hdr_reported = False
        self._depths: dict[str, tuple[int, int]] = {}
        # Without this, glibc returns the memory of each large picture to the kernel and gets it back, page by
        # page, for the next one: 450 page faults and a tenth of the time of each frame of 1280x720.
        np.empty(KEPT_BYTES, np.uint8)

    def values(self, frame: av.VideoFrame) -> tuple[Array, ValueRange | None]:
        """What the frame holds, a new array, and the range that its format gives these values.

        Grey and RGB of more than 8 bits hold counts, which `edgebs.video.bit_depth` maps: (H, W) or (H, W, 3)
        BGR uint16 (float32 without a range). All other frames are (H, W, 3) uint8 BGR: YUV of 10 and 12 bits
        holds colours that are ready to be shown.
        """
        name = frame.format.name
        if name not in self._depths:  # asked once: it makes an object per component
            self._depths[name] = _depth(frame.format)
        bits, count = self._depths[name]
        if bits > 8 and count == 1:
            return self._turned(frame, _grey(frame, bits)), (0.0, 2.0**bits - 1) if bits <= 16 else None
        if 8 < bits <= 16 and frame.format.is_rgb:
            wide: Any = self._reformatter.reformat(frame, format="bgr48le", threads=1).to_ndarray()
            return self._turned(frame, wide >> (16 - bits)), (0.0, 2.0**bits - 1)
        return self.bgr(frame), (0.0, 255.0)

    def bgr(self, frame: av.VideoFrame) -> Frame:
        """(H, W, 3) uint8 BGR, a new array, turned by the display matrix.

        The matrix (BT.601, BT.709, ...) and range that the frame names are used, BT.601 where it names none.
        The same interpolation as in OpenCV's VideoCapture: its pictures and these are equal to the bit.
        """
        self._report_hdr(frame.color_trc)
        # One thread: several cost more than they save below 4K.
        converted = self._reformatter.reformat(
            frame, format="bgr24", interpolation=Interpolation.BICUBIC, threads=1
        )
        image: Frame = self._turned(frame, converted.to_ndarray())
        return image

    def _turned(self, frame: av.VideoFrame, image: Any) -> Any:
        turn = TURNS.get(frame.rotation)
        return np.ascontiguousarray(image if turn is None else cv2.rotate(image, turn))

    def _report_hdr(self, transfer: int) -> None:
        kind = HDR.get(int(transfer))
        if kind is not None and not self._is_hdr_reported:
            self._is_hdr_reported = True
            logger.warning(
                "%s is HDR (%s) and is not tone-mapped: its pictures are flat and grey for a model that was "
                "trained on SDR. Convert it to SDR (BT.709) for best results.",
                self._name,
                kind,
            )


def _depth(layout: Any) -> tuple[int, int]:
    """Bits of the deepest component of a pixel format, and how many it has, alpha aside."""
    bits = [part.bits for part in layout.components if not part.is_alpha]
    return max(bits), len(bits)


def _grey(frame: av.VideoFrame, bits: int) -> Array:
    """(H, W) uint16 or float32, as the decoder stores it: PyAV converts only some of these formats."""
    order = ">" if frame.format.is_big_endian else "<"
    kind = np.dtype(f"{order}{'u2' if bits <= 16 else 'f4'}")
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind.itemsize)
    parts = len(frame.format.components)  # with alpha, values and alpha alternate
    return rows[: frame.height, : frame.width * parts : parts].astype(kind.newbyteorder("="))


FAILED_READS = 32
"""So many failed reads in a row, without a packet between them, are the end of a file."""

LOW_DELAY = 1 << 19
"""AV_CODEC_FLAG_LOW_DELAY: pictures are not held back where the stream does not reorder them."""

THREADS = 4
"""Decoding threads of a file. More would hold more pictures back, which are lost if the last one fails."""

SMALL_PIXELS = 352 * 288
"""Up to so many pixels one thread decodes: 198 pictures of 160x130 cost 6.4 ms of CPU time, 9.0 with four."""

NO_CHUNK = Chunk(0, 0)
"""Of a packet that is not in the file."""


class StreamStalled(Exception):
    """No data, or no picture that can be decoded, came within the time limit."""


class StreamBroken(Exception):
    """The connection failed. Carries FFmpeg's reason."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame."""

    image: Array
    """A new array: (H, W, 3) uint8 BGR, or values of more bits, see `PictureConverter.values`."""
    own_range: ValueRange | None
    """The range that the format gives these values; None for floating point."""
    time_s: float | None
    """Time stamp of the stream in seconds, or None."""
    slot: int | None
    """Position in a file that counts its frames and has no time stamps (AVI), else None."""
    lost: int
    """Packets whose pictures should have come between the picture before and this one, and did not."""
    skipped: int
    """Pictures lost before it that no packet stands for and no gap in time, as the stream numbers them."""
    is_damaged: bool
    """Whether the decoder had to guess parts of it."""
    arrived_s: float
    """`time.monotonic()` when its last packet arrived."""


class Decoder:
    """The pictures of one stream of an open container.

    Read by one thread. `close` may be called by any thread, twice, and while another one reads: then that
    one frees the container when its read ends, because FFmpeg crashes where it is freed under a read.
    """

    def __init__(
        self,
        container: Any,
        stream: Any,
        *,
        name: str,
        limit_s: float | None = None,
        is_live: bool = False,
        slots: Slots | None = None,
        pipe: Pipe | None = None,
    ) -> None:
        """limit_s: how long a picture may take; the container must have been opened with that time-out.

        pipe: what the container reads from, if that is one; `close` ends its read at once.
        """
        self.errors = 0
        """Packets that could not be read or decoded."""
        self.hidden = 0
        """Packets that no player shows: cut away by an edit list, or before the first key frame."""
        self._container, self._stream, self._limit_s, self._is_live = container, stream, limit_s, is_live
        self._converter = PictureConverter(name)
        self._slots, self._pipe = slots, pipe
        self._pending = _pending(stream.codec_context, is_live=is_live)
        self._jpegs = Jpegs() if stream.codec_context.name == "mjpeg" else None
        self._frames: deque[tuple[Any, float]] = deque()
        self._ahead: deque[tuple[Any, Chunk]] = deque()
        # As integers: a product with them is the same number as one of fractions, and cheaper.
        self._tick_s = stream.time_base.numerator, stream.time_base.denominator
        self._packets: Iterator[Any] = self._demuxed()
        self._has_ended = False
        self._last_s = time.monotonic()
        self._closed = threading.Event()
        self._reading = threading.Lock()
        self._set_threads()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def read(self) -> Picture | None:
        """The next picture; None at the end, or once closed. Raises StreamStalled, StreamBroken."""
        with self._reading:
            if self._closed.is_set():
                return None
            try:
                picture = self._next_or_interrupted()
            finally:
                if self._closed.is_set():
                    self._free()
            if self._pipe is not None:
                self._pipe.raise_failure()
        return None if self._closed.is_set() else picture

    def close(self) -> None:
        """Free it, or let the thread free it that waits in `read`."""
        self._closed.set()
        if self._pipe is not None:
            self._pipe.close()
        if self._reading.acquire(blocking=False):
            try:
                self._free()
            finally:
                self._reading.release()

    def _set_threads(self) -> None:
        context = self._stream.codec_context
        if self._is_live:
            # Threads that take a frame each hold as many frames back.
            context.thread_type = "SLICE"
            context.flags |= LOW_DELAY
        else:
            context.thread_type = "AUTO"
            is_small = 0 < context.width * context.height <= SMALL_PIXELS
            context.thread_count = 1 if is_small else THREADS

    def _next_or_interrupted(self) -> Picture | None:
        if self._pipe is None:
            return self._next()
        # Ctrl-C in the main thread can hit `pipe.read` before its first line, and FFmpeg drops the exception.
        return interruptible(self._next, self._pipe.close)

    def _next(self) -> Picture | None:
        while not self._frames and not self._has_ended:
            self._feed()
        if not self._frames:
            return None
        frame, arrived_s = self._frames.popleft()
        self._last_s = time.monotonic()
        pts = frame.pts
        image, own_range = self._converter.values(frame)
        lost, skipped = self._pending.shown(pts, is_interlaced=frame.interlaced_frame)
        return Picture(
            image=image,
            own_range=own_range,
            time_s=None if pts is None else pts * self._tick_s[0] / self._tick_s[1],
            slot=None if self._slots is None else self._slots.next_shown(),
            lost=lost,
            skipped=skipped,
            is_damaged=frame.is_corrupt,
            arrived_s=arrived_s,
        )

    def _feed(self) -> None:
        """Read one packet of the stream, and decode it."""
        packet, chunk = self._packet()
        arrived_s = time.monotonic()
        if packet is None:
            self._has_ended = True
            return
        if packet.size:
            self.hidden += not self._pending.add(packet)
            if self._slots is not None:
                self._slots.add([chunk, *(later for _, later in self._ahead if later.size)])
        try:
            if self._jpegs is not None and self._jpegs.is_cut(packet):
                self._fail()
                return
            self._frames.extend((frame, arrived_s) for frame in self._stream.decode(packet))
        except av.error.EOFError:
            self._has_ended = True
        except av.FFmpegError:
            self._fail()

    def _fail(self) -> None:
        """The packet read last gives no picture."""
        self.errors += 1
        self._pending.fail()
        if self._slots is not None:
            self._slots.fail()

    def _packet(self) -> tuple[Any, Chunk]:
        """The next packet of the stream, an empty one at the end (it flushes the decoder), then None."""
        while len(self._ahead) <= (0 if self._slots is None else AHEAD):
            packet = self._demuxed_packet()
            if packet is None:
                break
            self._ahead.append((packet, Chunk(packet.pos or 0, packet.size)))
        return self._ahead.popleft() if self._ahead else (None, NO_CHUNK)

    def _demuxed_packet(self) -> Any:
        failed = 0
        while True:
            started_s = time.monotonic()
            try:
                packet = next(self._packets)
            except StopIteration:
                return None
            except av.error.ExitError:
                raise StreamStalled from None
            except av.FFmpegError as error:
                if self._is_live:
                    raise StreamBroken(_reason(error)) from None
                self.errors += 1
                failed += 1
                if failed >= FAILED_READS or self._closed.is_set():
                    return None
                self._packets = self._demuxed()
                continue
            self._require_in_time(started_s)
            if packet.stream.index == self._stream.index:  # not stream_index: flush packets have none
                return packet

    def _require_in_time(self, started_s: float) -> None:
        """Raise StreamStalled if the read took too long, or sound arrives and pictures do not.

        At a time-out FFmpeg first delivers what its parser held; that is no new picture.
        """
        now_s = time.monotonic()
        if self._limit_s is None:
            return
        if now_s - started_s >= self._limit_s or (self._is_live and now_s - self._last_s > self._limit_s):
            raise StreamStalled

    def _demuxed(self) -> Iterator[Any]:
        # All packets of a camera are looked at: sound must not reset the limit for pictures.
        packets: Iterator[Any] = (
            self._container.demux() if self._is_live else self._container.demux(self._stream)
        )
        return packets

    def _free(self) -> None:
        self._has_ended = True
        self._frames.clear()
        self._ahead.clear()
        self._packets = iter(())
        self._container.close()


def _pending(codec: Any, *, is_live: bool) -> PendingPackets:
    numbers = FrameNumbers(codec.extradata) if codec.name == "h264" else None
    return PendingPackets(codec.name, numbers, is_live=is_live)


def _reason(error: Any) -> str:
    # FFmpeg reports "Input/output error" where the other side closed a stream of pictures.
    return "it hung up" if error.errno == errno.EIO else error.strerror or type(error).__name__
