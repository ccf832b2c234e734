"""The protocol between the loop, which needs no network's details, and the tasks, which need no loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch

from export.training.stream import Batch


class Task(Protocol):
    """One network, its samples, its loss and its score."""

    name: str
    graph: Any
    """A torch module as in export/networks/graphs.py; its `.network` holds the weights, in float32."""
    best_by: str
    """The key of `evaluate` that is to be as large as possible."""

    def description(self) -> dict[str, Any]:
        """The network in words, for the header of its weights: JSON values."""
        ...

    def settings(self) -> dict[str, Any]:
        """What must stay the same for a resumed run to be the same run, by option: JSON values."""
        ...

    def batches(self, seed: int, batch: int, start_step: int) -> Iterator[Batch]:
        """Endless batches from `start_step` on: the same for a seed, however many processes render them.

        Closing the iterator ends those processes.
        """
        ...

    def validation(self) -> Sequence[Batch]:
        """Batches that no training seed renders, always the same."""
        ...

    def forward(self, module: Any, batch: Mapping[str, Any]) -> Any:
        """What `loss` takes, from `module` (the graph, or a copy of it) and a batch of tensors."""
        ...

    def loss(self, output: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Scalar tensors by name; the first, "loss", is minimised, the others are its parts."""
        ...

    def evaluate(self, module: Any, validation: Sequence[Batch]) -> dict[str, float]:
        """Scores of `module`, which is in evaluation mode, without gradients, under the loop's precision."""
        ...


def tensors_from(batch: Batch, device: Any) -> dict[str, Any]:
    """A batch as tensors on `device`, float16 widened there; on the CPU the other arrays are not copied."""
    tensors = {name: torch.from_numpy(array).to(device) for name, array in batch.items()}
    return {name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}
