"""Frames of any depth as 8-bit BGR, by one mapping for a whole stream.

Thermal and machine-vision cameras count in 10 to 16 bits and use a small part of them: 7000 to 8500 of
65536. The user says which counts become black and white (`--range LOW,HIGH`, `value_range=(low, high)`), or
the file's own bits do where the first frame fills them. The mapping is never chosen frame by frame: such
pictures flicker, and every flicker is foreground.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgebs.errors import SourceError
from edgebs.image import check_frame, proposed_range
from edgebs.tensors import Array, Frame

ValueRange = tuple[float, float]
"""The value that becomes 0 and the value that becomes 255; what lies outside is cut to them."""

OWN_BITS_SHARE = 0.25
"""Share of its own range that the first frame must fill for that range to be used: 64 of 256 grey levels."""


def require_range(value_range: ValueRange) -> ValueRange:
    """The range as two floats. Raises ValueError unless it is two finite numbers, the lower one first."""
    try:
        low, high = (float(value) for value in value_range)
    except (TypeError, ValueError) as cause:
        raise ValueError(f"value_range must be (low, high), got {value_range!r}") from cause
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"value_range must be two finite numbers, low < high, got ({low:g}, {high:g})")
    return low, high


class EightBits:
    """The frames of one stream as (H, W, 3) uint8 BGR. The first frame settles the mapping."""

    def __init__(self, value_range: ValueRange | None = None) -> None:
        """value_range: as the user gives it; None leaves 8-bit frames as they are. Raises ValueError."""
        self._asked = None if value_range is None else require_range(value_range)
        self._dtype: np.dtype[Any] | None = None
        self._is_proved = False
        self.mapping: ValueRange | None = self._asked
        """The values that become 0 and 255, once that is settled; None for 8-bit frames left as they are."""
        self.note = ""
        """What was settled without the user, in a sentence for a warning; empty where nothing was."""

    def frame(self, image: Any, name: str, own: ValueRange | None = None) -> Frame:
        """`image` as (H, W, 3) uint8 BGR; the array itself where it is that already and no range was given.

        image: (H, W), (H, W, 1) or (H, W, 3), BGR, of any integer or floating type; without a range and
        without `own` only (H, W, 3) uint8. name: which frame it is, for messages. own: the range that the
        file says its values have. Raises SourceError for anything else, for values that are not finite, for a
        range that the values cannot have, and for another depth than that of the frames before.
        """
        is_eight_bit = isinstance(image, np.ndarray) and image.dtype == np.uint8
        if self._asked is None and (own is None or is_eight_bit):
            self._require_depth(image, name)
            return check_frame(image, name=name)
        values = _values(image, name)
        self._require_depth(values, name)
        if self.mapping is None and own is not None:
            self._settle(values, own, name)
        if not self._is_proved:
            self._prove(values, name)
        return _bgr(_mapped(values, self.mapping or (0.0, 255.0), name))

    def _require_depth(self, image: Any, name: str) -> None:
        dtype = getattr(image, "dtype", None)
        if self._dtype is not None and dtype is not None and dtype != self._dtype:
            raise SourceError(
                f"{name} is {dtype}, the frames before it {self._dtype}. One stream has one depth: convert "
                "the frames, or run them as streams of their own."
            )
        self._dtype = self._dtype or dtype

    def _settle(self, values: Array, own: ValueRange, name: str) -> None:
        """Take the file's own range where the first frame fills enough of it. Raises SourceError."""
        low, high = (float(value) for value in np.percentile(values, (1, 99)))
        if high - low < OWN_BITS_SHARE * (own[1] - own[0]):
            raise SourceError(
                f"{name} holds {values.dtype} values from {values.min():g} to {values.max():g} (98 % of "
                f"them from {low:g} to {high:g}), a small part of {own[0]:g} to {own[1]:g}, and networks see "
                f"8 bits. {_give(proposed_range(values))} Use the same range "
                "wherever this camera is used."
            )
        self.mapping = own
        self.note = (
            f"{name} and the frames after it are {values.dtype}: values from {own[0]:g} to {own[1]:g} become "
            "0 to 255. --range LOW,HIGH chooses others"
        )

    def _prove(self, values: Array, name: str) -> None:
        """Raise SourceError for a range in which no value lies. A frame of one value proves nothing."""
        low, high = self.mapping or (0.0, 255.0)
        if values.dtype.kind in "bui":
            most = 1 if values.dtype.kind == "b" else int(np.iinfo(values.dtype).max)
            if high > most:
                raise SourceError(
                    f"{name} holds {values.dtype} values, at most {most}, and the range {low:g},{high:g} "
                    "goes beyond. Give a range that such values can have, or none for 8-bit frames."
                )
        lowest, highest = float(values.min()), float(values.max())
        if lowest == highest:
            return
        if highest <= low or lowest >= high:
            raise SourceError(
                f"{name} holds values from {lowest:g} to {highest:g}, none of them inside the range "
                f"{low:g},{high:g}: the picture would be of one grey. {_give(proposed_range(values))}"
            )
        self._is_proved = True


def _give(proposal: ValueRange) -> str:
    low, high = proposal
    return (
        f"Say which values become black and white: --range {low:.10g},{high:.10g} "
        f"(in Python value_range=({low:.10g}, {high:.10g}))."
    )


def _values(image: Any, name: str) -> Array:
    """(H, W) or (H, W, 3), of numbers. Raises SourceError."""
    is_numbers = isinstance(image, np.ndarray) and image.dtype.kind in "buif"
    if not is_numbers or 0 in image.shape:
        check_frame(image, name=name)
    values = np.asarray(image)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim != 2 and (values.ndim != 3 or values.shape[2] != 3):
        check_frame(image, name=name)
        raise SourceError(f"{name} is {values.dtype} {values.shape}; frames are (H, W) or (H, W, 3), BGR.")
    return values


def _mapped(values: Array, mapping: ValueRange, name: str) -> Frame:
    """The values as uint8, rounded to the nearest."""
    if values.dtype in (np.uint8, np.uint16):
        return np.asarray(np.take(_table(values.dtype.itemsize, mapping), values), np.uint8)
    low, high = mapping
    numbers = values.astype(np.float64)
    if strange := int(np.count_nonzero(~np.isfinite(numbers))):
        raise SourceError(
            f"{name}: {strange} of {numbers.size} values are not finite (NaN or infinity). Replace them "
            "before, as with numpy.nan_to_num."
        )
    scaled = (np.clip(numbers, low, high) - low) * 255 / (high - low)
    return np.asarray(np.rint(scaled), np.uint8)


@lru_cache(maxsize=16)
def _table(itemsize: int, mapping: ValueRange) -> npt.NDArray[np.uint8]:
    """The result for every value that an unsigned type of `itemsize` bytes can have."""
    low, high = mapping
    values = np.arange(256**itemsize, dtype=np.float64)
    return np.rint((np.clip(values, low, high) - low) * 255 / (high - low)).astype(np.uint8)


def _bgr(grey_or_colour: Frame) -> Frame:
    if grey_or_colour.ndim == 2:
        return np.asarray(cv2.cvtColor(grey_or_colour, cv2.COLOR_GRAY2BGR), np.uint8)
    return grey_or_colour
