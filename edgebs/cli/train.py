"""`edgebs train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgebs.cli.groups import ModelOptions, names_of, takes_groups
from edgebs.cli.options import (
    MOST,
    Force,
    Json,
    ValueRange,
    finite,
    fold_of,
    intervals_of,
    option,
    positive,
    range_of,
    refuse_given,
    size_of,
)
from edgebs.machine.console import note, print_json, print_line, progress_bar
from edgebs.machine.extras import require_export

if TYPE_CHECKING:
    from export.training import FlowTrainRequest, LoopOptions, TrainRequest
    from export.training.samples.mixture import DataOptions
    from export.training.stream import Feed


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How long a training runs, with which steps, and what it keeps."""

    steps: Annotated[int, option("Steps of the whole run; 0 leaves it to --minutes.", 0, MOST)] = 0
    minutes: Annotated[float, option("Minutes of the whole run; 0 for no limit.", 0, callback=finite)] = 0.0
    batch: Annotated[int, option("Samples a step; batch norm needs 2.", 2, MOST)] = 16
    lr: Annotated[float, option("Learning rate after the warm-up.", callback=positive)] = 2e-3
    warm_up: Annotated[int, option("Steps until the learning rate is reached.", 0, MOST)] = 200
    threads: Annotated[int, option("CPU threads of PyTorch; 0 for its choice.", 0, MOST)] = 0
    device: Annotated[str, option("auto, cpu or cuda.")] = "auto"
    precision: Annotated[str, option("bf16 (autocast) or fp32.")] = "bf16"
    save_every: Annotated[int, option("Steps between checkpoints.", 0, MOST)] = 250
    save_minutes: Annotated[float, option("Minutes between checkpoints.", 0, callback=finite)] = 5.0
    validate_every: Annotated[int, option("Steps between validations.", 1, MOST)] = 500
    keep: Annotated[bool, option("Keep the weights of every validated step.", names=("--keep",))] = False
    log_every: Annotated[int, option("Steps of one row of curves.csv.", 1, MOST)] = 25
    resume: Annotated[bool, option("Go on from the last checkpoint.", names=("--resume",))] = False
    force: Force = False

    def options(self, out: Path, seed: int) -> LoopOptions:
        """The value that the loop takes."""
        from export.training import LoopOptions, Schedule

        schedule = Schedule(peak=self.lr, warm_up_steps=self.warm_up, steps=self.steps, minutes=self.minutes)
        others = {"lr", "warm_up", "steps", "minutes", "keep"}
        values = {name: getattr(self, name) for name in names_of(RunOptions) if name not in others}
        return LoopOptions(out=out, schedule=schedule, seed=seed, keep_validated=self.keep, **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedOptions:
    """How rendered samples reach the training."""

    replay: Annotated[int, option("Uses of each rendered sample, far apart.", 1, MOST)] = 1
    reservoir: Annotated[int, option("Samples held in memory for that.", 1, MOST)] = 4096
    workers: Annotated[int, option("Processes that render; 0 renders in this one.", 0, MOST)] = 1

    def options(self) -> Feed:
        """The value that the training takes."""
        from export.training.stream import Feed

        return Feed(replay=self.replay, reservoir=self.reservoir, workers=self.workers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredData:
    """Scored sequences to train on."""

    data: Annotated[Path | None, option("Scored sequences to train on, at any depth.")] = None
    share: Annotated[
        float, option("Of each sequence's labelled frames; the paper: 0.05.", callback=positive)
    ] = 1.0
    fold: Annotated[str, option("K/N: hold fold K of the sequences back to validate.")] = ""
    data_size: Annotated[str, option("WIDTHxHEIGHT of the data's cue, in pixels.")] = "256x256"
    value_range: ValueRange = ""

    def options(self) -> DataOptions | None:
        """The value that the training takes; None without --data."""
        from export.training.samples.mixture import DataOptions

        if self.data is None and (self.fold or self.share != 1.0):
            raise typer.BadParameter("needs --data", param_hint="--fold" if self.fold else "--share")
        size = size_of(self.data_size, "--data-size")
        values = range_of(self.value_range, has_pictures=self.data is not None)
        if self.data is None:
            return None
        return DataOptions(
            root=self.data, share=self.share, fold=fold_of(self.fold), size=size, value_range=values
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOptions:
    """What a segmentation network is trained on, beside scored data."""

    loss: Annotated[
        str, option("bce-dice, outlines, shadows, cs-focal (the paper's) or cs-focal-published (its code's).")
    ] = "bce-dice"
    overexposed: Annotated[
        float, option("Share of the scenes with too much light.", 0, 1, callback=finite)
    ] = 0.3
    settled: Annotated[
        float,
        option(
            "Share of the scenes watched from little before somebody comes to stay.", 0, 1, callback=finite
        ),
    ] = 0.0
    corpus: Annotated[
        list[Path] | None,
        option("Corpus of python -m export.training.corpus, instead of scenes rendered now. Repeatable."),
    ] = None
    resident: Annotated[
        int,
        option(
            "Clips of --corpus in the memory of --device cuda, 4.7 MB each; samples are made there.", 0, MOST
        ),
    ] = 0
    mix: Annotated[str, option("With --data, like rendered=0.8,data=0.2; default halves.")] = ""


NOT_OF_FLOW = (
    *(name for name in names_of(ModelOptions) if name not in ("intervals", "seed")),
    *names_of(SampleOptions),
    *(name for name in names_of(ScoredData) if name != "value_range"),
)
"""Parameters of `train` that do nothing for the flow network."""


@takes_groups
def train(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(help="crossnet, edge, bmn-bsn, cdn-medal, or flow: the network of --flow net."),
    ],
    out: Annotated[Path, option("Folder of the run: checkpoints, weights, curves.")],
    run: RunOptions,
    network: ModelOptions,
    samples: SampleOptions,
    scored: ScoredData,
    feed: FeedOptions,
    size: Annotated[
        str, option("WIDTHxHEIGHT of the samples, in pixels; default the model's own size.")
    ] = "",
    weights: Annotated[str, option("Start: a .safetensors file, or random.")] = "random",
    images: Annotated[Path | None, option("Folder of your own pictures for the scenes.")] = None,
    validation: Annotated[int, option("Rendered sequences held back.", 1, MOST)] = 64,
    augment: Annotated[bool, option("Mirror, and change colours where that is safe.")] = True,
    json: Json = False,
) -> None:
    """Train a network; `edgebs export MODEL --weights OUT/best.safetensors` takes what it writes.

    That of `train flow` is taken by --flow net --flow-weights.
    """
    require_export()
    from export.models.request import DEFAULTS, MODELS_OWN, ModelRequest
    from export.training import FLOW, FlowTrainRequest, TrainRequest

    if model == FLOW:
        refuse_given(context, NOT_OF_FLOW, "flow is trained on the exact flow of rendered scenes alone")
    data = scored.options()
    shared: dict[str, Any] = {
        "loop": run.options(out, network.seed),
        "feed": feed.options(),
        "augment": augment,
        "validation_sequences": validation,
        "images": images,
    }
    request: TrainRequest | FlowTrainRequest
    if model == FLOW:
        gaps = intervals_of(network.intervals) or DEFAULTS["intervals"]
        request = FlowTrainRequest(size=size_of(size or "256x256"), gaps=gaps, weights=weights, **shared)
    else:
        request = TrainRequest(
            model=ModelRequest(
                model=model,
                weights=weights,
                size=size_of(size) if size else MODELS_OWN,
                **network.values(),
            ),
            loss=samples.loss,
            overexposed=samples.overexposed,
            settled=samples.settled,
            corpus=tuple(samples.corpus or ()),
            resident=samples.resident,
            mix=samples.mix,
            data=data,
            **shared,
        )
    _print_trained(_trained(request), json)


def _trained(request: TrainRequest | FlowTrainRequest) -> dict[str, Any]:
    from bench.scenes.bank import PictureBank
    from export.training.loop import train as run_training
    from export.training.tasks import task_for

    bank = PictureBank.open(request.images)
    if bank.missing:
        note(
            f"scenes are rendered without the photographs {', '.join(bank.missing)}, and differ from those "
            "of a run that has them. Install them: pip install 'edgebs[train]'"
        )
    task = task_for(request, progress_bar)
    facts = {"photographs": list(bank.sources)}
    return run_training(task, request.loop, say=note, bar=progress_bar, facts=facts)


def _print_trained(result: dict[str, Any], json: bool) -> None:
    if json:
        print_json(result)
    else:
        for file in result["files"]:
            print_line(file)
    if result["interrupted"]:
        raise typer.Exit(130)
