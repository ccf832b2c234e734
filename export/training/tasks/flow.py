"""The task of our flow network: two frames to the flow between them, exact on rendered scenes."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgebs.tensors import Array
from export.models.build import module_for_weights, module_from_description
from export.models.request import RANDOM
from export.models.weights import form_of_weights, init_weights, load_weights
from export.networks.flownet import FlowGraph
from export.training import FLOW, FlowTrainRequest
from export.training.samples import as_it_is
from export.training.samples.flow import RenderedPairs, turned_and_tinted
from export.training.stream import Batch, in_batches
from export.training.task import RenderedTask, reset_norms, tensors_from

LEVEL_WEIGHTS = (0.25, 0.5, 1.0)
"""Of the loss at 1/16, 1/8 and 1/4 of the size."""
EXPONENT, EPSILON_PX = 0.8, 0.1
"""Of the robust penalty: small motions count for a cue, and a lost large one must not drown them. A lower
exponent (0.6) first learns zero flow everywhere, and stays there for long."""
FIRST_TRUST = -4.0
"""Logit of how far the matches of random features are trusted."""
HIDDEN_WEIGHT = 0.2
"""Of pixels that the past does not show: their flow can only be guessed."""
MOVING_PX = 0.5
"""Pixels that move by at least this count as moving ..."""
MOVING_WEIGHT = 3.0
"""... and for so much in the loss: most of a picture stands still."""


class FlowTask(RenderedTask):
    """Batches hold `frame`, `past` (N, h, w, 3), `flow` (N, 2, h, w) and `visible` (N, h, w).

    graph: a FlowGraph of one interval; render: see `samples.flow.RenderedPairs`.
    """

    name, best_by = FLOW, "score"

    def batches(self, seed: int, batch: int, start_step: int) -> Generator[Batch, None, None]:
        with closing(super().batches(seed, batch, start_step)) as stream:
            yield from map(pairs_from, stream)

    def validation(self) -> Sequence[Batch]:
        samples = list(chain.from_iterable(self.held_back()))
        return [pairs_from(arrays) for arrays in in_batches(samples)]

    def forward(self, module: Any, batch: Mapping[str, Any]) -> list[Tensor]:
        """The flow of each level, coarse to fine, each (N, 2, h, w) in pixels."""
        levels: list[Tensor] = module.levels(batch["frame"], batch["past"])
        return levels

    def loss(self, output: Sequence[Tensor], batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """`loss`, and the `error_px` of the finest level under the same weights."""
        flow, visible = batch["flow"], batch["visible"]
        weight = torch.where(visible, 1.0, HIDDEN_WEIGHT)
        weight = weight * torch.where(_is_moving(flow), MOVING_WEIGHT, 1.0)
        weight = weight / weight.sum()
        squares = [(level.float() - flow).square().sum(dim=1) for level in output]
        penalties = [((square + EPSILON_PX**2) ** (EXPONENT / 2) * weight).sum() for square in squares]
        loss = sum(share * penalty for share, penalty in zip(LEVEL_WEIGHTS, penalties, strict=True))
        with torch.no_grad():
            error_px = (squares[-1].sqrt() * weight).sum()
        return {"loss": torch.as_tensor(loss), "error_px": error_px}

    def evaluate(self, module: Any, validation: Sequence[Batch]) -> dict[str, float]:
        """End-point errors in pixels where the point is visible: of all, and of `moving` ones; the `loss`.

        The `score` is minus the mean of both errors.
        """
        device = next(module.parameters()).device
        losses, sums, counts = [], np.zeros(2), np.zeros(2)
        for arrays in validation:
            batch = tensors_from(arrays, device)
            output = self.forward(module, batch)
            losses.append(float(self.loss(output, batch)["loss"]))
            error = (output[-1].float() - batch["flow"]).square().sum(dim=1).sqrt()
            for row, kind in enumerate((batch["visible"], batch["visible"] & _is_moving(batch["flow"]))):
                sums[row] += float(error[kind].sum())
                counts[row] += int(kind.sum())
        epe, moving = (sums / np.maximum(counts, 1)).tolist()
        return {
            "loss": float(np.mean(losses)),
            "EPE": epe,
            "EPE_moving": moving,
            "score": -(epe + moving) / 2,
        }


def flow_task(request: FlowTrainRequest) -> FlowTask:
    """The task of a request. Raises WeightsError for a start that does not fit."""
    render = RenderedPairs(gaps=request.gaps, size=request.size, images=request.images)
    return FlowTask(
        flow_graph(request.weights, request.loop.seed),
        render=render,
        validation_render=replace(render, flying=False),
        augment=turned_and_tinted if request.augment else as_it_is,
        feed=request.feed,
        validation_sequences=request.validation_sequences,
        settings={
            "size": list(request.size),
            "gaps": list(request.gaps),
            "weights": request.weights,
            "augment": request.augment,
            "images": str(request.images or ""),
        },
    )


def flow_graph(weights: str, seed: int) -> FlowGraph:
    """The graph of one pair, its weights from a file, or random ones that see no motion yet."""
    form = {"network": "flow-net", "intervals": [1], "output": "flow"}
    if weights != RANDOM:
        form |= form_of_weights(Path(weights), "flow-net")
        graph: FlowGraph = module_for_weights(form, Path(weights))
        load_weights(graph.network, Path(weights))
        return graph
    graph = module_from_description(form)
    init_weights(graph.network, seed)
    reset_norms(graph)
    for estimator in graph.network.estimators:
        nn.init.zeros_(estimator.flow.weight)
        nn.init.zeros_(estimator.flow.bias)
        nn.init.constant_(estimator.flow.bias[0], FIRST_TRUST)
    return graph


def pairs_from(arrays: Batch) -> dict[str, Array]:
    """The feed's `frame` (N, h, w, 6), `cue` and `labels` by the names of this task."""
    frames = arrays["frame"]
    return {
        "frame": np.ascontiguousarray(frames[..., :3]),
        "past": np.ascontiguousarray(frames[..., 3:]),
        "flow": arrays["cue"],
        "visible": arrays["labels"] > 0,
    }


def _is_moving(flow: Tensor) -> Tensor:
    return flow.square().sum(dim=1) >= MOVING_PX**2
