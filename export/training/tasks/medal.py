"""CDN-MEDAL's training: first CDN-GM without labels, then MEDAL-net on the backgrounds of CDN-GM."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgebs.bundle import weights_file
from edgebs.errors import ExportError
from edgebs.machine.console import ProgressBar
from edgebs.tensors import Array, TensorSpec
from export.convert import onnx_from_module
from export.models.request import RANDOM
from export.models.weights import init_weights, load_weights
from export.networks.cdn_gm import COLOURS, GROUPS, CdnGm, PixelMixture, SeriesGraph, StepGraph
from export.networks.medal import CdnMedal, CdnMedalGraph, MedalNet
from export.training import LoopOptions, Schedule, TrainRequest
from export.training.loop import BEST, require_free, train
from export.training.samples import as_it_is, mirrored_only
from export.training.samples.background import SAMPLES, BackgroundScenes, RenderedSeries
from export.training.stream import Batch, Feed, stacked
from export.training.stream.workers import Render
from export.training.task import RenderedTask, tensors_from
from export.training.tasks.segmentation import SegmentationTask

START_NOISE = 0.05
"""Of the random weights that are added to the mean which the network starts from."""


class CdnTask(RenderedTask):
    """Batches hold `frame` (N, 245, P, 3) uint8: series, oldest first."""

    name, best_by = "cdn-gm", "likelihood"

    def __init__(self, network: CdnGm, *, render: Render, feed: Feed, validation_sequences: int = 16) -> None:
        """render: see `samples.background.RenderedSeries`."""
        super().__init__(
            SeriesGraph(network),
            render=render,
            augment=as_it_is,
            feed=feed,
            validation_sequences=validation_sequences,
        )

    def description(self) -> dict[str, Any]:
        return {"network": self.name}

    def settings(self) -> dict[str, Any]:
        # Without the samples of a sequence, which no option changes.
        return {name: value for name, value in super().settings().items() if name != "per-sequence"}

    def validation(self) -> Sequence[Batch]:
        return [stacked(samples) for samples in self.held_back()]

    def forward(self, module: Any, batch: Mapping[str, Any]) -> PixelMixture:
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


logger = logging.getLogger(__name__)
CUE_FOLDER = "cdn-gm"
"""In the run's folder: the run of CDN-GM."""
CUE_STEPS = 3000
CUE_SHARE = 0.5
"""Steps of CDN-GM for each of MEDAL-net's, where that is less."""
CUE_RATE = 2e-3
"""Of Adam, falling to zero; the paper's 1e-4 is for much longer trainings on each sequence."""
CUE_BATCH = 8
DIFFERENCE_GAIN = 4.0
"""Of the first features: objects differ from what is behind them by a tenth of the range and more."""
CUE_VALIDATION = 16
"""Scenes held back, at most: each is eight samples of 128 pixels."""


def cdn_medal_task(request: TrainRequest, bar: ProgressBar) -> SegmentationTask:
    """The task of MEDAL-net, after CDN-GM was trained, or taken from `request.model.weights`.

    Raises ExportError with --data, or when stopped meanwhile; WeightsError for weights of another model.
    """
    model = request.model
    if request.data is not None:
        raise ExportError(f"{model.model} is trained on rendered scenes alone: leave --data out.")
    require_free(request.loop)  # before the minutes that follow
    network = CdnMedal()
    if model.weights_origin == RANDOM:
        start_at_the_difference(network.segment, model.seed)
        _train_cue(request, network.cue, bar)
    else:
        load_weights(network, weights_file(model.weights_origin))
    scenes = BackgroundScenes(
        cue=model.cue,
        size=model.size,
        network=step_file(network.cue, model.size, request.loop.out / CUE_FOLDER),
        images=request.images,
        overexposed=request.overexposed,
    )
    return SegmentationTask(
        model.model,
        CdnMedalGraph(network),
        render=scenes,
        augment=mirrored_only if request.augment else as_it_is,
        feed=request.feed,
        loss=request.loss,
        validation_sequences=request.validation_sequences,
        settings={**request.settings, "overexposed": request.overexposed},
    )


def _train_cue(request: TrainRequest, network: CdnGm, bar: ProgressBar) -> None:
    """Train CDN-GM in a folder of its own, or go on with that, and load its best weights into `network`."""
    loop = request.loop
    steps = min(CUE_STEPS, max(int(loop.schedule.steps * CUE_SHARE), 1)) if loop.schedule.steps else CUE_STEPS
    options = LoopOptions(
        out=loop.out / CUE_FOLDER,
        schedule=Schedule(
            peak=CUE_RATE,
            warm_up_steps=min(50, steps // 4),
            steps=steps,
            minutes=loop.schedule.minutes * CUE_SHARE,
        ),
        seed=loop.seed,
        batch=CUE_BATCH,
        weight_decay=0.0,
        precision="fp32",
        device=loop.device,
        threads=loop.threads,
        validate_every=500,
        resume=loop.resume,
        force=loop.force,
    )
    feed = Feed(per_sequence=SAMPLES, replay=4, reservoir=1024, workers=request.feed.workers)
    task = CdnTask(
        start_at_the_mean(loop.seed),
        render=RenderedSeries(images=request.images),
        feed=feed,
        validation_sequences=min(request.validation_sequences, CUE_VALIDATION),
    )
    done = train(task, options, say=logger.info, bar=bar)
    if done["interrupted"]:
        raise ExportError(
            f"training was stopped while CDN-GM was being trained ({done['steps']} of {steps} steps). "
            "Go on by repeating the command with --resume."
        )
    load_weights(network, options.out / BEST)


def step_file(network: CdnGm, size: tuple[int, int], folder: Path) -> Path:
    """The network as the cue runs it on frames of `size`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"step-{size[1]}x{size[0]}.onnx"
    step = StepGraph(network)
    inputs = step.inputs(size)
    onnx_from_module(step, inputs, list(step.output_names), [_zeros(inputs)], file)
    return file


def _zeros(inputs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    return {name: np.zeros(spec.shape, spec.dtype) for name, spec in inputs.items()}


@torch.no_grad()
def start_at_the_difference(network: MedalNet, seed: int) -> None:
    """Random weights, but six of the first features are the frame without its background, and the reverse.

    Foreground shows only in differences between the two; random filters take long to find them.
    """
    init_weights(network, seed)
    spread, mix = network.encoder[0]
    spread.weight *= START_NOISE
    spread.weight[:, :, 1, 1] += 1
    for colour in range(COLOURS):
        for sign in (0, 1):
            row = mix.weight[2 * colour + sign, :, 0, 0]
            row.zero_()
            row[colour + COLOURS * sign], row[colour + COLOURS * (1 - sign)] = (
                DIFFERENCE_GAIN,
                -DIFFERENCE_GAIN,
            )
    for block in network.encoder[1:]:
        smooth, carry = block
        smooth.weight += 1 / 9
        carry.weight[:, :, 0, 0] += torch.eye(carry.out_channels)
