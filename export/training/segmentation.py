"""The task of every segmentation network here: a frame and a cue to the foreground."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgebs.tensors import Array
from export.description import description_of
from export.training.feed import Augment, Feed, batches, stacked
from export.training.losses import bce_dice, cs_focal_l1, target_and_valid
from export.training.task import Batch, tensors_from
from export.training.workers import Render, rendered

VALIDATION_SEED = 2_000_000_011
"""No training run may have it: `--seed` stops below."""
OF_EACH = 2
"""Samples of a validation sequence."""
BINS = 200
"""Steps of the threshold sweep."""
Loss = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]
LOSS_FUNCTIONS: Mapping[str, Loss] = {"bce-dice": bce_dice, "cs-focal": cs_focal_l1}


class SegmentationTask:
    """See `Task`. Batches hold `frame` (N, h, w, 3), `cue` (N, K, h, w) and CDnet `labels` (N, h, w)."""

    best_by = "F"

    def __init__(
        self,
        name: str,
        graph: Any,
        *,
        render: Render,
        augment: Augment,
        feed: Feed,
        loss: str = "bce-dice",
        validation_sequences: int = 64,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """graph: of frame and cue to a probability; its `.network` returns the logit (N, 1, h, w)."""
        self.name, self.graph = name, graph
        self._render, self._augment, self._feed = render, augment, feed
        self._loss = LOSS_FUNCTIONS[loss]
        self._settings = {
            "loss": loss,
            "per-sequence": feed.per_sequence,
            "replay": feed.replay,
            "reservoir": feed.reservoir,
            "validation": validation_sequences,
            **(settings or {}),
        }
        self._validation_sequences = validation_sequences

    def description(self) -> dict[str, Any]:
        """See `Task.description`."""
        return description_of(self.graph)

    def settings(self) -> dict[str, Any]:
        """See `Task.settings`."""
        return dict(self._settings)

    def batches(self, seed: int, batch: int, start_step: int) -> Iterator[Batch]:
        """See `Task.batches`."""
        return batches(self._render, self._augment, self._feed, seed, batch, start_step)

    def validation(self) -> Sequence[Batch]:
        """See `Task.validation`."""
        sequences = rendered(self._render, VALIDATION_SEED, 0, self._feed.workers)
        try:
            chosen = []
            for index, samples in sequences:
                places = np.linspace(0, len(samples) - 1, min(OF_EACH, len(samples))).astype(int)
                chosen += [samples[place] for place in places]
                if index == self._validation_sequences - 1:
                    break
        finally:
            sequences.close()  # type: ignore[attr-defined]  # a generator
        return [stacked(chosen[start : start + 16]) for start in range(0, len(chosen), 16)]

    def forward(self, module: Any, batch: Mapping[str, Any]) -> Tensor:
        """Logit (N, h, w)."""
        return logit_of(module, batch["frame"], batch["cue"])

    def loss(self, output: Tensor, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """See `Task.loss`."""
        return self._loss(output, *target_and_valid(batch["labels"]))

    def evaluate(self, module: Any, validation: Sequence[Batch]) -> dict[str, float]:
        """`F`, `Pr`, `Re` at probability 0.5 over all pixels; the best F of any `threshold`; the `loss`."""
        device = next(module.parameters()).device
        counts = np.zeros((2, BINS), np.int64)
        losses = []
        for arrays in validation:
            batch = tensors_from(arrays, device)
            logit = self.forward(module, batch).float()
            losses.append(float(self.loss(logit, batch)["loss"]))
            target, valid = target_and_valid(batch["labels"])
            bins = (torch.sigmoid(logit) * BINS).long().clamp(max=BINS - 1)
            for row, kind in enumerate((~target & valid, target & valid)):
                counts[row] += torch.bincount(bins[kind], minlength=BINS).cpu().numpy()
        return {"loss": float(np.mean(losses)), **scores(counts)}


def scores(counts: Array) -> dict[str, float]:
    """From pixels (2, bins) of background and foreground by probability: scores at 0.5 and the best F."""
    false, true = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]  # at or above each bin
    total = true[0]
    f = 2 * true / np.maximum(true + false + total, 1)
    half, best = counts.shape[1] // 2, int(np.argmax(f))
    return {
        "F": float(f[half]),
        "Pr": float(true[half] / max(true[half] + false[half], 1)),
        "Re": float(true[half] / max(total, 1)),
        "best_F": float(f[best]),
        "threshold": best / counts.shape[1],
    }


def logit_of(graph: Any, frame: Tensor, cue: Tensor) -> Tensor:
    """What `graph.network` returns inside `graph`, (N, h, w): the graph itself ends with the sigmoid.

    Of a probability near 1 the loss could not be computed in bfloat16.
    """
    caught: list[Tensor] = []
    handle = graph.network.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
    try:
        graph(frame, cue)
    finally:
        handle.remove()
    return caught[0][:, 0]
