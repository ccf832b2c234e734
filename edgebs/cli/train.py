"""`edgebs train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgebs.cli.options import (
    Depth,
    DisPreset,
    Force,
    Hold,
    Intervals,
    Json,
    Maps,
    MaxMagnitude,
    NominalFps,
    Norm,
    References,
    ValueRange,
    Width,
)
from edgebs.cli.parsing import MOST, finite, fold_of, intervals_of, positive, range_of, refuse_given, size_of
from edgebs.machine.console import note, print_json, print_line, progress_bar
from edgebs.machine.extras import require_export

if TYPE_CHECKING:
    from export.training.request import TrainRequest
    from export.training.samples.scored_store import DataOptions
    from export.training.tasks.flow_request import FlowTrainRequest

NOT_OF_FLOW = (
    "loss", "width", "depth", "norm", "references", "maps", "hold", "max_magnitude", "nominal_fps",
    "dis_preset", "overexposed", "settled", "corpus", "data", "mix", "share", "fold", "data_size",
)  # fmt: skip
"""Parameters of `train` that do nothing for the flow network."""


def train(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(help="crossnet, edge, bmn-bsn, cdn-medal, or flow: the network of --flow net."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoints, weights, curves.")],
    steps: Annotated[
        int, typer.Option(min=0, max=MOST, help="Steps of the whole run; 0 leaves it to --minutes.")
    ] = 0,
    minutes: Annotated[
        float, typer.Option(min=0, callback=finite, help="Minutes of the whole run; 0 for no limit.")
    ] = 0.0,
    batch: Annotated[int, typer.Option(min=2, max=MOST, help="Samples a step; batch norm needs 2.")] = 16,
    lr: Annotated[float, typer.Option(callback=positive, help="Learning rate after the warm-up.")] = 2e-3,
    warm_up: Annotated[
        int, typer.Option(min=0, max=MOST, help="Steps until the learning rate is reached.")
    ] = 200,
    loss: Annotated[
        str,
        typer.Option(help="bce-dice, outlines, cs-focal (the paper's) or cs-focal-published (its code's)."),
    ] = "bce-dice",
    size: Annotated[
        str, typer.Option(help="WIDTHxHEIGHT of the samples, in pixels; default the model's own size.")
    ] = "",
    width: Width = None,
    depth: Depth = None,
    norm: Norm = "",
    weights: Annotated[str, typer.Option(help="Start: a .safetensors file, or random.")] = "random",
    intervals: Intervals = None,
    max_magnitude: MaxMagnitude = None,
    nominal_fps: NominalFps = None,
    references: References = None,
    maps: Maps = None,
    hold: Hold = None,
    dis_preset: DisPreset = "",
    overexposed: Annotated[
        float, typer.Option(min=0, max=1, callback=finite, help="Share of the scenes with too much light.")
    ] = 0.3,
    settled: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            help="Share of the scenes watched from little before somebody comes to stay.",
        ),
    ] = 0.0,
    images: Annotated[Path | None, typer.Option(help="Folder of your own pictures for the scenes.")] = None,
    data: Annotated[Path | None, typer.Option(help="Scored sequences to train on, at any depth.")] = None,
    corpus: Annotated[
        list[Path] | None,
        typer.Option(
            help="Corpus of python -m export.training.corpus.command, "
            "instead of scenes rendered now. Repeatable."
        ),
    ] = None,
    mix: Annotated[str, typer.Option(help="With --data, like rendered=0.8,data=0.2; default halves.")] = "",
    share: Annotated[
        float, typer.Option(callback=positive, help="Of each sequence's labelled frames; the paper: 0.05.")
    ] = 1.0,
    fold: Annotated[str, typer.Option(help="K/N: hold fold K of the sequences back to validate.")] = "",
    data_size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the data's cue, in pixels.")] = "256x256",
    value_range: ValueRange = "",
    replay: Annotated[
        int, typer.Option(min=1, max=MOST, help="Uses of each rendered sample, far apart.")
    ] = 1,
    reservoir: Annotated[int, typer.Option(min=1, max=MOST, help="Samples held in memory for that.")] = 4096,
    workers: Annotated[
        int, typer.Option(min=0, max=MOST, help="Processes that render; 0 renders in this one.")
    ] = 1,
    threads: Annotated[
        int, typer.Option(min=0, max=MOST, help="CPU threads of PyTorch; 0 for its choice.")
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="bf16 (autocast) or fp32.")] = "bf16",
    seed: Annotated[int, typer.Option(min=0, max=MOST, help="Of scenes, order and random weights.")] = 0,
    save_every: Annotated[int, typer.Option(min=0, max=MOST, help="Steps between checkpoints.")] = 250,
    save_minutes: Annotated[
        float, typer.Option(min=0, callback=finite, help="Minutes between checkpoints.")
    ] = 5.0,
    validate_every: Annotated[int, typer.Option(min=1, max=MOST, help="Steps between validations.")] = 500,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the weights of every validated step.")] = False,
    log_every: Annotated[int, typer.Option(min=1, max=MOST, help="Steps of one row of curves.csv.")] = 25,
    validation: Annotated[int, typer.Option(min=1, max=MOST, help="Rendered sequences held back.")] = 64,
    augment: Annotated[bool, typer.Option(help="Mirror, and change colours where that is safe.")] = True,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a network; `edgebs export MODEL --weights OUT/best.safetensors` takes what it writes.

    That of `train flow` is taken by --flow net --flow-weights.
    """
    require_export()
    from export.models.request import DEFAULTS, MODELS_OWN, ModelRequest
    from export.training.request import LoopOptions, TrainRequest
    from export.training.schedule import Schedule
    from export.training.stream.feed import Feed
    from export.training.tasks.flow_request import FLOW, FlowTrainRequest

    if model == FLOW:
        refuse_given(context, NOT_OF_FLOW, "flow is trained on the exact flow of rendered scenes alone")
    chosen = _data_options(data, share, fold, data_size, value_range)
    loop = LoopOptions(
        out=out,
        schedule=Schedule(peak=lr, warm_up_steps=warm_up, steps=steps, minutes=minutes),
        seed=seed,
        batch=batch,
        precision=precision,
        device=device,
        threads=threads,
        save_every=save_every,
        save_minutes=save_minutes,
        validate_every=validate_every,
        keep_validated=keep,
        log_every=log_every,
        resume=resume,
        force=force,
    )
    feed = Feed(replay=replay, reservoir=reservoir, workers=workers)
    request: TrainRequest | FlowTrainRequest
    if model == FLOW:
        request = FlowTrainRequest(
            loop=loop,
            feed=feed,
            size=size_of(size or "256x256"),
            gaps=intervals_of(intervals) or DEFAULTS["intervals"],
            weights=weights,
            augment=augment,
            validation_sequences=validation,
            images=images,
        )
    else:
        request = TrainRequest(
            model=ModelRequest(
                model=model,
                weights=weights,
                seed=seed,
                width=width,
                depth=depth,
                norm=norm,
                size=size_of(size) if size else MODELS_OWN,
                intervals=intervals_of(intervals),
                max_magnitude=max_magnitude,
                nominal_fps=nominal_fps,
                references=references,
                maps=maps,
                hold=hold,
                dis_preset=dis_preset,
            ),
            loop=loop,
            feed=feed,
            loss=loss,
            augment=augment,
            validation_sequences=validation,
            overexposed=overexposed,
            settled=settled,
            images=images,
            data=chosen,
            corpus=tuple(corpus or ()),
            mix=mix,
        )
    _print_trained(_trained(request), json)


def _data_options(
    data: Path | None, share: float, fold: str, data_size: str, value_range: str
) -> DataOptions | None:
    from export.training.samples.scored_store import DataOptions

    if data is None and (fold or share != 1.0):
        raise typer.BadParameter("needs --data", param_hint="--fold" if fold else "--share")
    size = size_of(data_size, "--data-size")
    values = range_of(value_range, has_pictures=data is not None)
    if data is None:
        return None
    return DataOptions(root=data, share=share, fold=fold_of(fold), size=size, value_range=values)


def _trained(request: TrainRequest | FlowTrainRequest) -> dict[str, Any]:
    from bench.scenes.bank import PictureBank
    from export.training.loop import train as run_training
    from export.training.tasks.table import task_for

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
