"""The task of every segmentation network here: a frame and a cue to the foreground."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgebs.bundle import weights_file
from edgebs.tensors import Array
from export.models.build import built, network_form
from export.models.request import RANDOM, ModelRequest
from export.models.weights import init_weights, load_weights
from export.networks import ConvUnit
from export.networks.bmn_bsn import COLOURS, MapsGraph, MapsSegmentGraph, UNet
from export.training.losses import (
    DICE_OF_BETA,
    SHADOW,
    CsFocalOptions,
    bce_dice,
    cs_focal_l1,
    target_and_valid,
)
from export.training.samples.mixture import all_samples
from export.training.stream import Batch, in_batches
from export.training.stream.workers import Sample
from export.training.task import RenderedTask, tensors_from

OF_EACH = 2
"""Samples of a validation sequence."""
BINS = 200
"""Steps of the threshold sweep."""
SCORES = ("F", "Pr", "Re", "best_F", "threshold")
Loss = Callable[[Tensor, Tensor], dict[str, Tensor]]
"""From a logit and CDnet's labels."""


def _by_labels(loss: Callable[..., dict[str, Tensor]]) -> Loss:
    return lambda logit, labels: loss(logit, *target_and_valid(labels))


def _shadows(logit: Tensor, labels: Tensor) -> dict[str, Tensor]:
    return _OUTLINES(logit, *target_and_valid(labels), shadow=labels == SHADOW)


_OUTLINES = partial(bce_dice, foreground_weight=1.0, outline_weight=4.0)
LOSS_FUNCTIONS: Mapping[str, Loss] = {
    "bce-dice": _by_labels(bce_dice),
    "outlines": _by_labels(_OUTLINES),
    "shadows": _shadows,
    "cs-focal": _by_labels(cs_focal_l1),
    "cs-focal-published": _by_labels(
        partial(cs_focal_l1, options=CsFocalOptions(beta_above_dice=DICE_OF_BETA))
    ),
}


class SegmentationTask(RenderedTask):
    """Batches hold `frame` (N, h, w, 3), `cue` (N, K, h, w) and CDnet `labels` (N, h, w)."""

    best_by = "F"

    def __init__(
        self,
        name: str,
        graph: Any,
        *,
        loss: str = "bce-dice",
        held: Path | None = None,
        resident: Callable[[int, int, int], Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        **sampling: Any,
    ) -> None:
        """graph: its `logit(frame, cue)` is (N, 1, h, w). sampling: see `RenderedTask`.

        held: the part of a store (samples/mixture.py) that is validated on, beside or instead of rendered
        sequences. resident: gives the batches, in place of `render`, from seed, size and first step.
        """
        super().__init__(graph, settings={"loss": loss, **(settings or {})}, **sampling)
        self.name, self._loss, self._held = name, LOSS_FUNCTIONS[loss], held
        self._resident = resident

    def batches(self, seed: int, batch: int, start_step: int) -> Any:
        if self._resident is not None:
            return self._resident(seed, batch, start_step)
        return super().batches(seed, batch, start_step)

    def validation(self) -> Sequence[Batch]:
        """Batches of sequences held back from scored data have a further array, `held`."""
        chosen: list[Sample] = []
        for samples in self.held_back():
            places = np.linspace(0, len(samples) - 1, min(OF_EACH, len(samples))).astype(int)
            chosen += [samples[place] for place in places]
        held = [] if self._held is None else in_batches(all_samples(self._held))
        return in_batches(chosen) + [
            {**batch, "held": np.ones(len(batch["frame"]), np.uint8)} for batch in held
        ]

    def forward(self, module: Any, batch: Mapping[str, Any]) -> Tensor:
        """Logit (N, h, w)."""
        logit: Tensor = module.logit(batch["frame"], batch["cue"])[:, 0]
        return logit

    def loss(self, output: Tensor, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        return self._loss(output, batch["labels"])

    def evaluate(self, module: Any, validation: Sequence[Batch]) -> dict[str, float]:
        """`F`, `Pr`, `Re` at probability 0.5 over all pixels; the best F of any `threshold`; the `loss`.

        With sequences held back beside rendered ones each score is the mean of both kinds, so that many
        pixels of one cannot hide the other; `rendered_F` and `held_F` are the two.
        """
        device = next(module.parameters()).device
        counts: dict[str, Array] = {}
        losses = []
        for arrays in validation:
            batch = tensors_from(arrays, device)
            logit = self.forward(module, batch).float()
            losses.append(float(self.loss(logit, batch)["loss"]))
            target, valid = target_and_valid(batch["labels"])
            bins = (torch.sigmoid(logit) * BINS).long().clamp(max=BINS - 1)
            rows = [torch.bincount(bins[kind], minlength=BINS) for kind in (~target & valid, target & valid)]
            kind = "held" if "held" in arrays else "rendered"
            counts[kind] = counts.get(kind, 0) + torch.stack(rows).cpu().numpy()
        found = {kind: scores(pixels) for kind, pixels in counts.items()}
        means = {name: float(np.mean([s[name] for s in found.values()])) for name in SCORES}
        parts = {f"{kind}_F": score["F"] for kind, score in found.items()} if len(found) > 1 else {}
        return {"loss": float(np.mean(losses)), **means, **parts}


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


UNTRAINED = {"folded": False, "bounded": True}
"""The form of a new network: with norms, which the published one lacks, and maps that suit INT8."""


def joint_graph(request: ModelRequest) -> Any:
    """All networks of `request` in one graph, weights loaded or random. Raises WeightsError."""
    origin = request.weights_origin
    is_random = origin == RANDOM
    parts = {
        name: {**network_form(request, name), **(UNTRAINED if is_random else {})}
        for name in request.facts.networks
    }
    graph = built({"network": request.facts.trained_as, "parts": parts}, origin)
    if is_random:
        init_weights(graph.network, request.seed)
    else:
        load_weights(graph.network, weights_file(origin))
    return graph


LIFT = 2.0
"""Standard deviations by which a normed channel is raised, so that the ReLU after it cuts little off."""
DEVIATION = 0.5
"""Typical standard deviation of a picture's values in [-1, 1]."""


# BMN-BSN's training begins with a background model: three maps are the mean of the references. All other
# channels start at random.
@torch.no_grad()
def start_from_mean(maps: MapsGraph, segment: MapsSegmentGraph) -> None:
    """Change the first channels of both networks, whose batch norms must be there and do nothing yet."""
    count = min(COLOURS, maps.maps, maps.network.width)
    first, *others = _path(maps.network)
    for colour in range(count):
        places = range(colour, COLOURS * maps.references, COLOURS)
        _pass_on(first, colour, dict.fromkeys(places, 1 / maps.references))
        for unit in others:
            _pass_on(unit, colour, {colour: 1.0})
        head = maps.network.head
        head.weight[colour] = 0
        head.weight[colour, colour] = DEVIATION
        head.bias[colour] = -DEVIATION * LIFT
    unit = segment.network.encoder[0][0]
    for channel in range(min(2 * count, segment.network.width)):
        colour, sign = channel % count, 1.0 if channel < count else -1.0
        _weigh(unit, channel, {colour: sign, COLOURS + colour: -sign})


def _path(network: UNet) -> list[ConvUnit]:
    """The convolutions at full size, on the path without pooling."""
    return [*network.encoder[0], *network.decoder[0]]


def _pass_on(unit: ConvUnit, channel: int, weights: dict[int, float]) -> None:
    _weigh(unit, channel, weights)
    unit[1].weight[channel], unit[1].bias[channel] = 1.0, LIFT


def _weigh(unit: ConvUnit, channel: int, weights: dict[int, float]) -> None:
    """Give one filter these weights at its centre, by input channel, and 0 elsewhere."""
    filters: Any = unit[0].weight
    filters[channel] = 0
    for place, weight in weights.items():
        filters[channel, place, 1, 1] = weight
