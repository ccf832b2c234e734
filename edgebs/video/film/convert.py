"""Decoded frames as arrays, upright: 8-bit BGR, or the counts of a thermal or machine-vision camera."""

from __future__ import annotations

import logging
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorTrc, Interpolation, VideoReformatter

from edgebs.tensors import Array, Frame
from edgebs.video.bit_depth import ValueRange

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
        """(H, W, 3) uint8 BGR, a new array, turned as the display matrix says.

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
    """(H, W) uint16 or float32, as the decoder stores it: PyAV knows only some of these formats."""
    order = ">" if frame.format.is_big_endian else "<"
    kind = np.dtype(f"{order}{'u2' if bits <= 16 else 'f4'}")
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind.itemsize)
    parts = len(frame.format.components)  # with alpha, values and alpha alternate
    return rows[: frame.height, : frame.width * parts : parts].astype(kind.newbyteorder("="))
