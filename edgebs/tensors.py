"""What a network's inputs and outputs look like, in the words of numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgebs.errors import BackendError

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


def latency_percentiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    """p50, p90 and p99 in milliseconds; zeros where nothing was timed."""
    p50, p90, p99 = (float(value) for value in np.percentile(list(latencies_ms) or [0.0], (50, 90, 99)))
    return {"p50": p50, "p90": p90, "p99": p99}


def check_feed(inputs: Mapping[str, TensorSpec], feed: Mapping[str, Array]) -> None:
    """Raise ValueError unless `feed` holds exactly the `inputs`, each with its shape and dtype."""
    if feed.keys() != inputs.keys():
        raise ValueError(f"the network's inputs are {sorted(inputs)}, got {sorted(feed)}")
    for name, spec in inputs.items():
        spec.check(name, feed[name])


def existing_file(file: Path) -> Path:
    """`file` as a path; BackendError if there is no such file or it is empty."""
    file = Path(file)
    if not file.is_file():
        raise BackendError(f"no such network file: {file}")
    if file.stat().st_size == 0:
        raise BackendError(f"{file} is empty: export it again")
    return file


def fixed_shape(file: Path, name: str, sizes: list[int | str | None]) -> tuple[int, ...]:
    """`sizes` as a shape; BackendError if one is open, naming the tensor."""
    if all(isinstance(size, int) and size > 0 for size in sizes):
        return tuple(int(size) for size in sizes if size is not None)
    spoken = "x".join("?" if size is None else str(size) for size in sizes)
    raise BackendError(f"{file}: tensor '{name}' has no fixed shape ({spoken}); export it with fixed sizes")
