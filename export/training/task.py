"""The protocol between the loop, which needs no network's details, and the tasks, which need no loop."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, Protocol

import torch
from torch import nn

from bench import scenes as seeds
from export.models.build import description_of
from export.training.stream import Augment, Batch, Feed, batches
from export.training.stream.workers import Render, Sample, rendered


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
    tensors = {name: torch.as_tensor(array).to(device) for name, array in batch.items()}
    return {name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}


class RenderedTask:
    """What tasks on rendered sequences share: description, settings, batches and the sequences held back."""

    def __init__(
        self,
        graph: Any,
        *,
        render: Render,
        augment: Augment,
        feed: Feed,
        validation_render: Render | None = None,
        validation_sequences: int = 64,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """validation_render: of the sequences held back; `render` where it is None."""
        self.graph = graph
        self._render, self._augment, self._feed = render, augment, feed
        self._validation_render = validation_render or render
        self._validation_sequences = validation_sequences
        self._settings = {
            "per-sequence": feed.per_sequence,
            "replay": feed.replay,
            "reservoir": feed.reservoir,
            "validation": validation_sequences,
            **(settings or {}),
        }

    def description(self) -> dict[str, Any]:
        return description_of(self.graph)

    def settings(self) -> dict[str, Any]:
        return dict(self._settings)

    def batches(self, seed: int, batch: int, start_step: int) -> Generator[Batch, None, None]:
        return batches(self._render, self._augment, self._feed, seed, batch, start_step)

    def held_back(self) -> Iterator[list[Sample]]:
        """The samples of each validation sequence, all of which must be read."""
        with closing(rendered(self._validation_render, seeds.VALIDATION, 0, self._feed.workers)) as sequences:
            for _, samples in islice(sequences, self._validation_sequences):
                yield samples


def reset_norms(graph: nn.Module) -> None:
    """Start from norms that change nothing; random statistics exist to prove that folding works."""
    for layer in graph.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
