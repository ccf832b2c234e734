"""The check that every backend makes on its inputs, and the file check it makes before loading."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgebs.errors import BackendError
from edgebs.tensors import Array, TensorSpec


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
