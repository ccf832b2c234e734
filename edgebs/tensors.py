"""What a network's inputs and outputs look like, in the words of numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Frame = npt.NDArray[np.uint8]
"""(H, W, 3) uint8, BGR, as OpenCV and cameras give it."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape and dtype of one network input or output."""

    shape: tuple[int, ...]
    """Sizes in the order that the array has; N first."""
    dtype: str
    """A numpy dtype name: "uint8", "float32"."""

    def __post_init__(self) -> None:
        np.dtype(self.dtype)
        if any(size < 1 for size in self.shape):
            raise ValueError(f"tensor sizes must be at least 1, got {self.shape}")

    @property
    def nbytes(self) -> int:
        """Bytes of such a tensor."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def check(self, name: str, array: Array) -> None:
        """Raise ValueError, naming both sides, unless `array` has this shape and dtype."""
        if array.shape != self.shape or array.dtype != np.dtype(self.dtype):
            raise ValueError(
                f"tensor '{name}' must be {self.dtype} {self.shape}, got {array.dtype} {array.shape}"
            )

    def to_json(self) -> dict[str, Any]:
        """The form written into manifest.json."""
        return {"dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TensorSpec:
        """The inverse of `to_json`."""
        return cls(shape=tuple(int(size) for size in data["shape"]), dtype=str(data["dtype"]))
