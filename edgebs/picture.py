"""Decoded frames as the pipeline takes them: 8-bit BGR, upright."""

from __future__ import annotations

import logging
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorTrc, Interpolation, VideoReformatter

from edgebs.tensors import Frame

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


class PictureConverter:
    """Converts the frames of one stream. One object per stream: it keeps the tables of the conversion."""

    def __init__(self, name: str) -> None:
        """name: of the source, for the note that a film is HDR."""
        self._name = name
        self._reformatter = VideoReformatter()
        self._is_hdr_reported = False

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
        image: Any = converted.to_ndarray()
        turn = TURNS.get(frame.rotation)
        if turn is not None:
            image = cv2.rotate(image, turn)
        contiguous: Frame = np.ascontiguousarray(image)
        return contiguous

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
