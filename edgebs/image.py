"""The steps around the networks: check a frame, shrink it for the network, turn the answer into a mask.

Everything else (scaling, layout, sigmoid) is inside the graphs. Calibration, parity, benchmark and runtime
all use these functions, so they cannot disagree.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from edgebs.errors import NotFinite, SourceError
from edgebs.tensors import Array, Frame

if TYPE_CHECKING:
    from edgebs.bundle.manifest import CleanupSettings, Manifest

HALVED_FROM = 4
"""Frames of so many times the network's size, as Full HD, are halved first: less than half the time, and grey
levels that differ by .2 on average (areas that lie across the halves' borders)."""


def network_frame(frame: Frame, size: tuple[int, int]) -> Frame:
    """The frame at network size: always a new C-contiguous array, also when the sizes agree.

    frame: (H, W, 3) uint8. size: (height, width). Averages over areas when shrinking, so that noise and
    thin structures do not alias; interpolates linearly otherwise. The result outlives the frame: a camera
    may reuse its buffer afterwards.
    """
    height, width = size
    if frame.shape[:2] == (height, width):
        return np.array(frame, order="C")
    is_even = frame.shape[0] % 2 == frame.shape[1] % 2 == 0
    if is_even and min(frame.shape[0] // height, frame.shape[1] // width) >= HALVED_FROM:
        # OpenCV's averages of 2x2 are fast; those of other factors, of colours, are not.
        halves = (frame.shape[1] // 2, frame.shape[0] // 2)
        frame = np.asarray(cv2.resize(frame, halves, interpolation=cv2.INTER_AREA), np.uint8)
    is_shrinking = height <= frame.shape[0] and width <= frame.shape[1]
    interpolation = cv2.INTER_AREA if is_shrinking else cv2.INTER_LINEAR
    resized: Frame = cv2.resize(frame, (width, height), interpolation=interpolation)
    return resized


def mask_from_probability(
    probability: npt.NDArray[np.float32], size: tuple[int, int], threshold: float
) -> npt.NDArray[np.uint8]:
    """The mask at `size` (height, width): uint8, 255 where the probability is above `threshold`, else 0.

    probability: (h, w) float32 in [0, 1]. The probability is interpolated before it is cut, so that edges
    are smooth at the frame's size. NaN counts as background.
    """
    # Not cv2.compare: it takes a mask of 1x1 for a scalar.
    is_foreground = probability_at(probability, size) > threshold
    mask: npt.NDArray[np.uint8] = is_foreground.view(np.uint8) * np.uint8(255)
    return mask


def probability_at(probability: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The probability interpolated to `size` (height, width); the array itself where it has that size.

    probability: (h, w) float32 in [0, 1].
    """
    height, width = size
    if probability.shape == (height, width):
        return probability
    resized: npt.NDArray[np.float32] = cv2.resize(
        probability, (width, height), interpolation=cv2.INTER_LINEAR
    )
    return resized


def check_frame(frame: Any, expected_size: tuple[int, int] | None = None, *, name: str = "frame") -> Frame:
    """The frame itself, or SourceError unless it is (H, W, 3) uint8 (and of `expected_size`, if given).

    name: which frame it is, for the message, as in "frame 7 of yard.mp4".
    """
    if not isinstance(frame, np.ndarray):
        raise SourceError(
            f"{name} is a {type(frame).__name__}, not a numpy array. Frames are (H, W, 3) uint8, BGR."
        )
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
        raise SourceError(
            f"{name} is {frame.dtype} {frame.shape}; frames are uint8 (H, W, 3), BGR. {_repair(frame)}"
        )
    if expected_size is not None and frame.shape[:2] != expected_size:
        raise SourceError(
            f"{name} is {frame.shape[0]} high and {frame.shape[1]} wide; "
            f"the stream is {expected_size[0]} high and {expected_size[1]} wide. "
            "One stream has one size: resize the frame, or run it as its own stream."
        )
    return frame


def _repair(frame: Array) -> str:
    if 0 in frame.shape:
        return "It is empty: check what the camera or the decoder delivered."
    is_grey = frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 1)
    is_colour = frame.ndim == 3 and frame.shape[2] == 3
    if (is_grey or is_colour) and frame.dtype.kind in "buif" and frame.dtype != np.uint8:
        low, high = proposed_range(frame)
        return (
            f"Its values go from {frame.min():g} to {frame.max():g}. Say which of them become black and "
            f"white, the same for all frames: value_range=({low:.10g}, {high:.10g}) of open_source, run and "
            "process."
        )
    if is_grey:
        return "For a grey picture: cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)."
    if frame.ndim == 3 and frame.shape[2] == 4:
        return "For a picture with transparency: cv2.cvtColor(frame, cv2.COLOR_BGRA2BGR)."
    if frame.ndim == 4:
        return "For a batch, pass the frames one by one: list(batch)."
    if frame.ndim == 3 and frame.shape[0] == 3:
        return "For channels first: frame.transpose(1, 2, 0)."
    return "Convert it before passing it on."


def proposed_range(values: Array) -> tuple[float, float]:
    """A `value_range` that shows what is in a frame: whole bits where it fills them, else around its values.

    values: of any integer or floating type. Single odd pixels, as of a defective sensor, do not count.
    """
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite.astype(np.float64), (1, 99)))
    is_whole = values.dtype.kind in "ui"
    if not is_whole and low >= 0 and high <= 1:
        return 0.0, 1.0
    bits = next((bits for bits in (8, 10, 12, 14, 16) if low >= 0 and high < 2**bits), None)
    if is_whole and bits is not None and (low == high or high - low >= 2**bits / 4):
        return 0.0, 2.0**bits - 1
    return _around(low, high, is_whole=is_whole)


def _around(low: float, high: float, *, is_whole: bool) -> tuple[float, float]:
    """The range with half of its width on either side, in round numbers: later frames may differ."""
    width = (high - low) or 1.0
    step = 10.0 ** np.floor(np.log10(width / 2))
    step = max(step, 1.0) if is_whole else step
    lowest = float(np.floor((low - width / 2) / step) * step)
    highest = float(np.ceil((high + width / 2) / step) * step)
    return (max(lowest, 0.0) if low >= 0 else lowest), highest


def mask_at(probability: Array, size: tuple[int, int], manifest: Manifest) -> Frame:
    """A frame's mask at its own `size` (H, W), by the bundle's threshold and clean-up.

    probability: (h, w) float32 in [0, 1], at network size.
    """
    mask = mask_from_probability(probability, size, manifest.threshold)
    return clean(mask, manifest.cleanup) if manifest.cleanup.is_on else mask


def clean(mask: Frame, settings: CleanupSettings) -> Frame:
    """The mask without foreground regions under `speck_px` and background regions under `hole_px` pixels.

    mask: (H, W) uint8, 0 or 255, changed in place and returned. Foreground pixels that touch by a corner are
    one region, background pixels are not: a diagonal line of foreground parts two holes. Specks go first, so
    that one inside a hole does not keep it open. A region that the picture's border cuts is judged by what is
    in the picture.
    """
    if settings.speck_px > 1:
        _remove_specks(mask, settings.speck_px)
    if settings.hole_px > 1:
        _fill_holes(mask, settings.hole_px)
    return mask


def _remove_specks(mask: Frame, speck_px: int) -> None:
    left, top, width, height = cv2.boundingRect(mask)
    if width == 0:
        return
    part = mask[top : top + height, left : left + width]
    count, labels = cv2.connectedComponents(part, connectivity=8, ltype=cv2.CV_32S)
    is_speck = _areas(labels, count) < speck_px
    is_speck[0] = False
    if is_speck.any():
        np.bitwise_and(part, _painted(labels, ~is_speck), out=part)


def _fill_holes(mask: Frame, hole_px: int) -> None:
    window = _window(mask, hole_px)
    if window is None:
        return
    rows, columns, cut = window
    part = mask[rows, columns]
    count, labels = cv2.connectedComponents(cv2.bitwise_not(part), connectivity=4, ltype=cv2.CV_32S)
    is_hole = _areas(labels, count) < hole_px
    is_hole[0] = False
    for edge, is_cut in zip((labels[0], labels[-1], labels[:, 0], labels[:, -1]), cut, strict=True):
        if is_cut:
            is_hole[edge] = False
    if is_hole.any():
        np.bitwise_or(part, _painted(labels, is_hole), out=part)


def _areas(labels: Array, count: int) -> Array:
    """Pixels of each region, (count,)."""
    # Not connectedComponentsWithStats, which sums up centroids too: 0.2 ms against 1.4 for 640x360.
    if count > np.iinfo(np.uint16).max:
        return np.bincount(labels.ravel(), minlength=count)
    return np.asarray(cv2.calcHist([labels.astype(np.uint16)], [0], None, [count], [0, count])).ravel()


def _painted(labels: Array, chosen: Array) -> Frame:
    """255 where the region is chosen, 0 elsewhere."""
    colours: Frame = chosen.view(np.uint8) * np.uint8(255)
    return np.take(colours, labels)


def _window(mask: Frame, hole_px: int) -> tuple[slice, slice, tuple[bool, bool, bool, bool]] | None:
    """The part of the mask that every hole lies in: rows, columns, and which sides cut a larger background.

    Most of a mask is empty, and looking for regions there would cost more than everything else. The part is
    what holds foreground, and one pixel more on each side. What lies beyond a side is one region with those
    pixels: it is too large for a hole, or else the part reaches to the picture's border instead.
    """
    left, top, width, height = cv2.boundingRect(mask)
    if width == 0:
        return None
    rows, columns = mask.shape
    start_row, has_above = _before(top, columns, hole_px)
    beyond_row, has_below = _before(rows - top - height, columns, hole_px)
    start_column, has_left = _before(left, rows, hole_px)
    beyond_column, has_right = _before(columns - left - width, rows, hole_px)
    return (
        slice(start_row, rows - beyond_row),
        slice(start_column, columns - beyond_column),
        (has_above, has_below, has_left, has_right),
    )


def _before(margin: int, length: int, hole_px: int) -> tuple[int, bool]:
    """How many lines of `length` pixels to leave out of `margin` empty ones at a side; whether any."""
    outside = margin - 1
    return (outside, True) if outside > 0 and outside * length >= hole_px else (0, False)


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


def is_finite(array: Array) -> bool:
    """Whether no value is NaN or infinite; of (256, 256) float32 in 8 us, a fifth of what numpy takes."""
    if array.dtype == np.float32 and array.flags.c_contiguous:
        # A sum of magnitudes in double: NaN and infinity stay in it, and float32 cannot make it overflow.
        return math.isfinite(cv2.norm(array.reshape(-1, array.shape[-1]), cv2.NORM_L1))
    return bool(np.isfinite(array).all())


def require_finite(array: Array, what: str, repair: str) -> None:
    """Raise NotFinite, with how much of `array` it is, unless every value is finite.

    what: whose values, as in "the flow of the cue network". repair: what to do about it.
    """
    if is_finite(array):
        return
    count = array.size - int(np.isfinite(array).sum())
    raise NotFinite(f"{what} is NaN or infinite in {count} of {array.size} values. {repair}")


CUE_REPAIR = (
    "Divisions and roots in that network meet 0, as on flat, black or white parts of a frame: add a small "
    "constant to them, and export the bundle again."
)
"""For the output of a cue network."""

PROBABILITY_REPAIR = (
    "Most likely the network that computes the cue (the flow) gives NaN on flat, black or white frames: "
    "correct it, or use another --flow, and export the bundle again."
)
"""For the foreground probability."""
