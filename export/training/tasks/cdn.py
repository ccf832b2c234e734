"""The task of CDN-GM: pixels' own values, without labels, to the mixture that makes them likely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgebs.tensors import Array
from export.models.weights import init_weights
from export.networks.cdn_gm import COLOURS, GROUPS, CdnGm, PixelMixture, SeriesGraph
from export.training.stream.feed import Feed, batches, stacked
from export.training.stream.rendering import as_it_is
from export.training.stream.workers import Render, rendered
from export.training.tasks.segmentation import VALIDATION_SEED
from export.training.tasks.task import Batch, tensors_from

START_NOISE = 0.05
"""Of the random weights that are added to the mean which the network starts from."""


class CdnTask:
    """See `Task`. Batches hold `frame` (N, 245, P, 3) uint8: series, oldest first."""

    name, best_by = "cdn-gm", "likelihood"

    def __init__(self, network: CdnGm, *, render: Render, feed: Feed, validation_sequences: int = 16) -> None:
        """render: as `cdn_series.RenderedSeries`."""
        self.graph = SeriesGraph(network)
        self._render, self._feed, self._validation_sequences = render, feed, validation_sequences

    def description(self) -> dict[str, Any]:
        """See `Task.description`."""
        return {"network": self.name}

    def settings(self) -> dict[str, Any]:
        """See `Task.settings`."""
        return {
            "replay": self._feed.replay,
            "reservoir": self._feed.reservoir,
            "validation": self._validation_sequences,
        }

    def batches(self, seed: int, batch: int, start_step: int) -> Iterator[Batch]:
        """See `Task.batches`."""
        return batches(self._render, as_it_is, self._feed, seed, batch, start_step)

    def validation(self) -> Sequence[Batch]:
        """See `Task.validation`."""
        sequences = rendered(self._render, VALIDATION_SEED, 0, self._feed.workers)
        try:
            return [stacked(next(sequences)[1]) for _ in range(self._validation_sequences)]
        finally:
            sequences.close()  # type: ignore[attr-defined]  # a generator

    def forward(self, module: Any, batch: Mapping[str, Any]) -> PixelMixture:
        """See `Task.forward`."""
        mixture: PixelMixture = module.network(colours(batch["frame"]))
        return mixture

    def loss(self, output: PixelMixture, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """The negative log-likelihood of a value, in nats."""
        return {"loss": output.negative_log_likelihood(colours(batch["frame"]))}

    def evaluate(self, module: Any, validation: Sequence[Batch]) -> dict[str, float]:
        """The `likelihood` (log, in nats), and how far the background is off the series' median.

        `off_median` is the mean over pixels and colours, in grey levels; `off_mean_median` that of a plain
        mean, for comparison.
        """
        device = next(module.parameters()).device
        found: list[Array] = []
        for arrays in validation:
            batch = tensors_from(arrays, device)
            mixture = self.forward(module, batch)
            series = colours(batch["frame"])
            median = series.median(dim=2).values
            off = [(value - median).abs().mean() for value in (mixture.background(), series.mean(dim=2))]
            found.append(torch.stack([self.loss(mixture, batch)["loss"], *off]).cpu().numpy())
        loss, background, mean = np.mean(found, axis=0).tolist()
        return {
            "likelihood": -loss,
            "off_median": 255 * background,
            "off_mean_median": 255 * mean,
        }


def colours(series: Tensor) -> Tensor:
    """(N, 245, P, 3) uint8 -> (N, 3, 245, P) in [0, 1]."""
    return series.float().permute(0, 3, 1, 2) * (1 / 255)


@torch.no_grad()
def start_at_the_mean(seed: int) -> CdnGm:
    """A network whose components are the means over the whole series, its newer and its older part.

    Random weights need many thousand steps of the paper's rate to learn as much; small random ones are added.
    """
    network = CdnGm()
    init_weights(network, seed)
    for parameter in network.parameters():
        parameter *= START_NOISE
    for time in (network.time1, network.time2):
        time.weight += 1 / time.kernel_size[0]
    for mix in (network.mix1, network.mix2):
        mix.weight[:COLOURS, :COLOURS, 0, 0] += torch.eye(COLOURS)
        # The other features, of which the colours above are no part, begin as grey levels around the middle.
        mix.weight[COLOURS:] += torch.randn(
            mix.weight[COLOURS:].shape, generator=torch.Generator().manual_seed(seed)
        )
    newest = torch.arange(GROUPS) / (GROUPS - 1)
    shares = torch.stack([torch.ones(GROUPS), newest**2, (1 - newest) ** 2])
    shares = 2 * shares / shares.sum(dim=1, keepdim=True)  # the hard sigmoid halves
    for component, share in enumerate(shares):
        for colour in range(COLOURS):
            network.mean.weight[COLOURS * component + colour, colour, :, 0] += share
    network.mean.bias -= 1
    return network
