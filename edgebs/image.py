"""The steps around the networks: check a frame, shrink it for the network, turn the answer into a mask.

Everything else (scaling, layout, sigmoid) is inside the graphs. Calibration, parity, benchmark and runtime
all use these functions, so they cannot disagree.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgebs.errors import SourceError
from edgebs.tensors import Array, Frame


def network_frame(frame: Frame, size: tuple[int, int]) -> Frame:
    """The frame at network size: always a new C-contiguous array, also when the sizes agree.

    frame: (H, W, 3) uint8. size: (height, width). Averages over areas when shrinking, so that noise and
    thin structures do not alias; interpolates linearly otherwise. The result outlives the frame: a camera
    may reuse its buffer afterwards.
    """
    height, width = size
    if frame.shape[:2] == (height, width):
        return np.array(frame, order="C")
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
