"""The picture for people: what moves, drawn on the frame."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edgebs.tensors import Frame

TINT_BGR = (0.0, 0.0, 255.0)
TINT_SHARE = 0.4
"""Red enough to see, clear enough to recognise what is under it."""
CONTOUR_BGR = (0.0, 255.0, 255.0)
"""Yellow: stands out from the tint, and from most scenes."""


def overlay(frame: Frame, mask: npt.NDArray[np.uint8]) -> Frame:
    """A copy of the frame with the foreground tinted red and outlined in yellow.

    frame: (H, W, 3) uint8 BGR. mask: (H, W) uint8, foreground where it is not 0.
    """
    drawn: Frame = frame.copy()
    if not mask.any():
        return drawn
    red = np.full_like(frame, TINT_BGR)
    tinted = cv2.addWeighted(frame, 1 - TINT_SHARE, red, TINT_SHARE, 0)
    cv2.copyTo(tinted, mask, drawn)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    thickness = max(1, round(min(mask.shape) / 360))
    cv2.drawContours(drawn, contours, -1, CONTOUR_BGR, thickness, cv2.LINE_8)
    return drawn
