"""How far the camera has moved against the background, and pictures shifted back to the first view."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from edgebs.tensors import Array, Frame

Shift = tuple[float, float]
"""Pixels right and down by which the picture lies off the anchor."""

FAR = 1 / 12
"""Of the shorter side: a camera that looks farther off sees another scene, and the background starts again.
The coarse flow would not find its way back from much farther."""

STILL_PX = 0.15
"""Below this a shift is the estimator's noise; warping for it would only blur."""

TEXTURE = 6.0
"""Grey levels of gradient from which a pixel can tell where it moved."""

FEWEST_TEXTURED = 64

AGREES_BETTER = 0.9
"""A shift counts if it brings the difference from the background down to this share."""


class CameraShift:
    """How far the camera looks off the background: the median of a coarse flow over textured pixels."""

    def __init__(self) -> None:
        """Estimate at half size, by DIS flow."""
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._reference: Frame | None = None
        self._textured: Array | None = None

    def look_at(self, background: Frame | None) -> None:
        """Measure against this (H, W, 3) uint8 background from now on; None forgets it."""
        self._reference = None
        if background is None:
            return
        grey = halved(cv2.cvtColor(background, cv2.COLOR_BGR2GRAY))
        right = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=0.125)
        down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=0.125)
        textured = np.flatnonzero(np.minimum(_blurred(right), _blurred(down)) > TEXTURE / 4)
        if len(textured) < FEWEST_TEXTURED:
            textured = np.flatnonzero(np.maximum(abs(right), abs(down)) > TEXTURE / 2)
        self._textured = textured if len(textured) >= FEWEST_TEXTURED else None
        self._reference = grey

    def of(self, grey: Frame) -> Shift:
        """The shift of (H, W) uint8 grey against the background, in pixels; (0, 0) where nothing can tell."""
        if self._reference is None or self._textured is None:
            return (0.0, 0.0)
        small = halved(grey)
        flow = self._flow.calc(self._reference, small, None).reshape(-1, 2)[self._textured]
        right, down = np.median(flow, axis=0).tolist()
        if 2 * math.hypot(right, down) < STILL_PX:
            return (0.0, 0.0)
        # Light that changes looks like motion to the flow; only a true shift makes the pictures agree.
        shifted = self._disagreement(small, moved(self._reference, (right, down)))
        still = self._disagreement(small, self._reference)
        return (2 * right, 2 * down) if shifted < AGREES_BETTER * still else (0.0, 0.0)

    def _disagreement(self, grey: Frame, expected: Frame) -> float:
        """Mean difference of grey levels on textured pixels, whatever the light between them."""
        difference = cv2.subtract(grey, expected, dtype=cv2.CV_16S).reshape(-1)[self._textured]
        return float(np.abs(difference - np.median(difference)).mean())


def halved(grey: Frame) -> Frame:
    """(H, W) uint8 -> (H / 2, W / 2), averaged."""
    height, width = grey.shape
    return np.asarray(cv2.resize(grey, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)


def _blurred(gradient: Array) -> Array:
    return np.asarray(cv2.blur(np.abs(gradient), (5, 5)))


def moved(picture: Frame, shift: Shift, onto: Frame | None = None) -> Frame:
    """`picture` moved right and down by `shift` pixels; what it leaves uncovered is taken from `onto`.

    Without `onto` the edge is repeated. Returns a new array, or `picture` itself where there is no shift.
    """
    if shift == (0.0, 0.0):
        return picture
    matrix = np.array([[1.0, 0, shift[0]], [0, 1, shift[1]]])
    size = (picture.shape[1], picture.shape[0])
    if onto is None:
        return np.asarray(cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE))
    result: Frame = onto.copy()
    cv2.warpAffine(picture, matrix, size, dst=result, borderMode=cv2.BORDER_TRANSPARENT)
    return result
