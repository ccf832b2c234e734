"""The command line: every command parses, calls a function that Python can call too, and prints.

Heavy imports stand inside the commands, so that `--help` is instant and needs no extra.
"""

from __future__ import annotations

import math
import signal
import sys
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from edgebs.console import note, print_json, print_line, print_table, progress_bar
from edgebs.errors import EdgebsError
from edgebs.extras import require_export, require_opencv
from edgebs.version import __version__

app = typer.Typer(
    name="edgebs",
    help="Background subtraction networks: PyTorch to ONNX, OpenVINO and TensorRT engines, pipelined.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

PRECISION_NAMES = ("fp32", "fp16", "int8")
TARGET_NAMES = ("cpu", "onnx", "sm75", "sm86", "sm89", "sm120", "gpu")


def _finite(value: float | None) -> float | None:
    """Of options that are real numbers: what is none, like nan, is wrong usage."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"expected a number, got {value}")
    return value


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads per engine; 0 uses every core.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0.0, max=1.0, callback=_finite, help="Foreground probability, instead of the bundle's own."
    ),
]
Intervals = Annotated[
    str | None,
    typer.Option(help="Frames between the inputs of each flow; default the weights' own, or 1,5,10."),
]
MaxMagnitude = Annotated[
    float | None,
    typer.Option(
        callback=_finite, help="Pixels of flow that saturate the cue; default the weights' own, or 20."
    ),
]
NominalFps = Annotated[
    float | None,
    typer.Option(callback=_finite, help="Frames/s that the intervals mean; default the weights' own, or 25."),
]
DisPreset = Annotated[
    str, typer.Option(help="ultrafast, fast, medium or fine; default the weights' own, or the model's.")
]
Size = Annotated[str, typer.Option(help="WIDTHxHEIGHT of the networks, in pixels; default the model's own.")]
Width = Annotated[
    int | None, typer.Option(min=1, help="Channels of the first stage; default the weights' own, or 64.")
]
Depth = Annotated[
    int | None, typer.Option(min=1, help="Poolings of bmn-bsn; default the weights' own, or 4.")
]
Norm = Annotated[
    str,
    typer.Option(
        help="batch (folds away) or layer (the published code); default the weights' own, or batch."
    ),
]
References = Annotated[
    int | None,
    typer.Option(min=1, help="Frames that the background is made of; default the weights', or the paper's."),
]
Maps = Annotated[
    int | None, typer.Option(min=1, help="Background maps of bmn-bsn; default the weights' own, or 12.")
]
Cleanup = Annotated[
    bool,
    typer.Option("--cleanup/--no-cleanup", help="Clean masks of specks and holes, as the bundle says."),
]


class Baseline(str, Enum):
    """What `bench` compares with."""

    TORCH = "torch"
    NONE = "none"


class Layout(str, Enum):
    """How scored sequences lie on disk: the words of bench.scored.LAYOUTS, and auto."""

    AUTO = "auto"
    CDNET = "cdnet"
    LASIESTA = "lasiesta"
    WALLFLOWER = "wallflower"
    FOLDERS = "folders"
    LIMU = "limu"


class PublishedNetwork(str, Enum):
    """Networks whose authors' weights `import-weights` reads."""

    CROSSNET = "crossnet"
    SELFLOW = "selflow"


class Compute(str, Enum):
    """Arithmetic of what FP16 and INT8 files leave in floating point."""

    F32 = "f32"
    BF16 = "bf16"


def main() -> None:
    """Run the command line; expected errors become one line on stderr and exit code 1."""
    # systemd and docker stop with SIGTERM: it ends a command as Ctrl-C does, outputs finished.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except EdgebsError as error:
        note(f"edgebs: error: {error}")
        sys.exit(1)
    except OSError as error:
        # Whatever a library could not read or write and no function of ours foresaw.
        where = f"{error.filename}: " if error.filename else ""
        note(f"edgebs: error: {where}{error.strerror or error}. Check path, permissions and free space.")
        sys.exit(1)


def _version(value: bool) -> None:
    if value:
        print_line(__version__)
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step on stderr.")] = False,
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    import logging

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(message)s",
        stream=sys.stderr,
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(word) for word in _words(text))
    except ValueError as cause:
        raise typer.BadParameter(
            f"expected whole numbers like 1,5,10, got {text!r}", param_hint=option
        ) from cause
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"expected frame counts of at least 1, got {text!r}", param_hint=option)
    return numbers


def _gaps(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else _numbers(text, "--intervals")


def _size(text: str, option: str = "--size") -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"expected WIDTHxHEIGHT like 256x256, got {text!r}", param_hint=option)
    return int(height), int(width)


def _fold(text: str) -> tuple[int, int] | None:
    k, _, n = text.partition("/")
    if text and not (k.isdecimal() and n.isdecimal()):
        raise typer.BadParameter(f"expected K/N like 1/3, got {text!r}", param_hint="--fold")
    return (int(k), int(n)) if text else None


NOT_OF_FLOW = (
    "loss", "width", "depth", "norm", "references", "maps", "max_magnitude", "nominal_fps", "dis_preset",
    "overexposed", "data", "mix", "share", "fold", "data_size",
)  # fmt: skip
"""Parameters of `train` that do nothing for the flow network."""


def _refuse_given(context: typer.Context, names: tuple[str, ...], why: str) -> None:
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"no effect here: {why}", param_hint=f"--{name.replace('_', '-')}")


def _complete_models() -> list[str]:
    from export.model_table import MODELS

    return list(MODELS)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="One of `edgebs models`.", autocompletion=_complete_models)],
    out: Annotated[Path, typer.Option(help="Folder that receives one bundle a precision.")],
    weights: Annotated[
        str, typer.Option(help="A .safetensors file, random, or shipped; by default shipped if there is one.")
    ] = "",
    flow: Annotated[
        str,
        typer.Option(
            help="dis, net, selflow, or the .onnx file of any two-frame flow network.",
            autocompletion=lambda: ["dis", "net", "selflow"],
        ),
    ] = "dis",
    flow_sidecar: Annotated[
        Path | None,
        typer.Option(help="What that file does not say of itself, as JSON; default FILE.json beside it."),
    ] = None,
    flow_weights: Annotated[
        str, typer.Option(help="A .safetensors file, random, or shipped; by default shipped for net.")
    ] = "",
    target: Annotated[
        str, typer.Option(help=" ".join(TARGET_NAMES) + ".", autocompletion=lambda: list(TARGET_NAMES))
    ] = "cpu",
    precision: Annotated[
        str,
        typer.Option(
            help="Comma-separated: fp32, fp16, int8, or auto (the fastest whose parity holds).",
            autocompletion=lambda: [*PRECISION_NAMES, "auto"],
        ),
    ] = "fp32",
    flow_precision: Annotated[
        str,
        typer.Option(
            help="Of the flow network, where it differs.", autocompletion=lambda: list(PRECISION_NAMES)
        ),
    ] = "",
    calib: Annotated[
        str | None,
        typer.Option(help="Calibration set; INT8 needs one, but edge: rendered scenes by default."),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Video of the parity check; default rendered.")] = None,
    data: Annotated[Path | None, typer.Option(help="Scored sequences, for parity of F.")] = None,
    size: Size = "",
    width: Width = None,
    depth: Depth = None,
    norm: Norm = "",
    intervals: Intervals = None,
    max_magnitude: MaxMagnitude = None,
    nominal_fps: NominalFps = None,
    references: References = None,
    maps: Maps = None,
    refresh: Annotated[
        float | None,
        typer.Option(min=0, callback=_finite, help="Seconds after which a background is computed again."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            callback=_finite,
            help="Foreground probability; default the shipped model's, or 0.5.",
        ),
    ] = None,
    speck_px: Annotated[
        int | None,
        typer.Option(min=0, help="Foreground of fewer camera pixels is removed; default as shipped, or 0."),
    ] = None,
    hole_px: Annotated[
        int | None,
        typer.Option(min=0, help="A hole of fewer camera pixels is filled; default as shipped, or 0."),
    ] = None,
    dis_preset: DisPreset = "",
    warp: Annotated[
        str, typer.Option(help="SelFlow's: grid_sample (fast) or published; default the weights', or fast.")
    ] = "",
    compute: Annotated[
        Compute, typer.Option(help="CPU arithmetic of what FP16 and INT8 leave in floating point.")
    ] = Compute.F32,
    batch: Annotated[
        str, typer.Option(help="Plans: frames a call, for several cameras: 4, 1,4 or 1,2,4 (usual second).")
    ] = "",
    workspace_mb: Annotated[
        int | None,
        typer.Option(min=1, help="Plans: scratch memory in MB; default half of what the weights leave free."),
    ] = None,
    dla_core: Annotated[
        int | None, typer.Option(min=0, help="Plans: a Jetson's deep learning accelerator, by number.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of random weights.")] = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Take a model from PyTorch to ONNX and engines, one bundle a precision, with parity proved."""
    require_export()
    from engines.build_options import BatchRange, BuildOptions
    from export.deploy import ExportRequest, export_bundles
    from export.models import MODELS_OWN, ModelRequest

    request = ExportRequest(
        model=ModelRequest(
            model=model,
            weights=weights,
            flow=flow,
            flow_sidecar=flow_sidecar,
            flow_weights=flow_weights,
            seed=seed,
            width=width,
            depth=depth,
            norm=norm,
            warp=warp,
            size=_size(size) if size else MODELS_OWN,
            intervals=_gaps(intervals),
            max_magnitude=max_magnitude,
            nominal_fps=nominal_fps,
            references=references,
            maps=maps,
            refresh_s=refresh,
            dis_preset=dis_preset,
            threshold=threshold,
        ),
        target=target,
        precisions=_words(precision),
        flow_precision=flow_precision,
        out=out,
        calibration=calib,
        source=source,
        data=data,
        speck_px=speck_px,
        hole_px=hole_px,
        compute=compute.value,
        build=BuildOptions(
            batch=BatchRange.from_numbers(_numbers(batch, "--batch")) if batch else None,
            workspace_bytes=None if workspace_mb is None else workspace_mb * 1_000_000,
            dla_core=dla_core,
        ),
        force=force,
    )
    bundles = export_bundles(request, say=note, bar=progress_bar)
    if json:
        print_json({"bundles": [{"path": str(b.path), **b.manifest.to_json()} for b in bundles]})
        return
    for bundle in bundles:
        print_line(str(bundle.path))


@app.command()
def train(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(help="crossnet, edge, bmn-bsn, cdn-medal, or flow: the network of --flow net."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoints, weights, curves.")],
    steps: Annotated[int, typer.Option(min=0, help="Steps of the whole run; 0 leaves it to --minutes.")] = 0,
    minutes: Annotated[float, typer.Option(min=0, help="Minutes of the whole run; 0 for no limit.")] = 0.0,
    batch: Annotated[int, typer.Option(min=1, help="Samples a step.")] = 16,
    lr: Annotated[float, typer.Option(help="Learning rate after the warm-up.")] = 2e-3,
    warm_up: Annotated[int, typer.Option(min=0, help="Steps until the learning rate is reached.")] = 200,
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
    dis_preset: DisPreset = "",
    overexposed: Annotated[float, typer.Option(help="Share of the scenes with too much light.")] = 0.3,
    images: Annotated[Path | None, typer.Option(help="Folder of your own pictures for the scenes.")] = None,
    data: Annotated[Path | None, typer.Option(help="Scored sequences to train on, at any depth.")] = None,
    mix: Annotated[str, typer.Option(help="With --data, like rendered=0.8,data=0.2; default halves.")] = "",
    share: Annotated[float, typer.Option(help="Of each sequence's labelled frames; the paper: 0.05.")] = 1.0,
    fold: Annotated[str, typer.Option(help="K/N: hold fold K of the sequences back to validate.")] = "",
    data_size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the data's cue, in pixels.")] = "256x256",
    replay: Annotated[int, typer.Option(min=1, help="Uses of each rendered sample, far apart.")] = 1,
    reservoir: Annotated[int, typer.Option(min=1, help="Samples held in memory for that.")] = 4096,
    workers: Annotated[int, typer.Option(min=0, help="Processes that render; 0 renders in this one.")] = 1,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of PyTorch; 0 for its choice.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="bf16 (autocast) or fp32.")] = "bf16",
    seed: Annotated[int, typer.Option(min=0, help="Of scenes, order and random weights.")] = 0,
    save_every: Annotated[int, typer.Option(min=0, help="Steps between checkpoints.")] = 250,
    save_minutes: Annotated[float, typer.Option(min=0, help="Minutes between checkpoints.")] = 5.0,
    validate_every: Annotated[int, typer.Option(min=1, help="Steps between validations.")] = 500,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the weights of every validated step.")] = False,
    log_every: Annotated[int, typer.Option(min=1, help="Steps of one row of curves.csv.")] = 25,
    validation: Annotated[int, typer.Option(min=1, help="Rendered sequences held back.")] = 64,
    augment: Annotated[bool, typer.Option(help="Mirror, and change colours where that is safe.")] = True,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a network; `edgebs export MODEL --weights OUT/best.safetensors` takes what it writes.

    That of `train flow` is taken by --flow net --flow-weights.
    """
    require_export()
    from bench.varied_bank import PictureBank
    from export.models import DEFAULTS, MODELS_OWN, ModelRequest
    from export.training.feed import Feed
    from export.training.flow_request import FLOW, FlowTrainRequest
    from export.training.loop import train as run_training
    from export.training.request import LoopOptions, TrainRequest
    from export.training.schedule import Schedule
    from export.training.scored_store import DataOptions
    from export.training.tasks import task_for

    if model == FLOW:
        _refuse_given(context, NOT_OF_FLOW, "flow is trained on the exact flow of rendered scenes alone")
    if data is None and (fold or share != 1.0):
        raise typer.BadParameter("needs --data", param_hint="--fold" if fold else "--share")
    height_width = _size(data_size, "--data-size")
    chosen = DataOptions(root=data, share=share, fold=_fold(fold), size=height_width) if data else None
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
            size=_size(size or "256x256"),
            gaps=_gaps(intervals) or DEFAULTS["intervals"],
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
                size=_size(size) if size else MODELS_OWN,
                intervals=_gaps(intervals),
                max_magnitude=max_magnitude,
                nominal_fps=nominal_fps,
                references=references,
                maps=maps,
                dis_preset=dis_preset,
            ),
            loop=loop,
            feed=feed,
            loss=loss,
            augment=augment,
            validation_sequences=validation,
            overexposed=overexposed,
            images=images,
            data=chosen,
            mix=mix,
        )
    bank = PictureBank.open(images)
    if bank.missing:
        note(
            f"scenes are rendered without the photographs {', '.join(bank.missing)}, and differ from those "
            "of a run that has them. Install them: pip install 'edgebs[train]'"
        )
    task = task_for(request, progress_bar)
    facts = {"photographs": list(bank.sources)}
    result = run_training(task, loop, say=note, bar=progress_bar, facts=facts)
    if json:
        print_json(result)
    else:
        for file in result["files"]:
            print_line(file)
    if result["interrupted"]:
        raise typer.Exit(130)


@app.command("import-weights")
def import_weights(
    context: typer.Context,
    network: Annotated[PublishedNetwork, typer.Argument(help="crossnet or selflow.")],
    checkpoint: Annotated[Path, typer.Argument(help="TensorFlow checkpoint, format V2: NAME of NAME.index.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    activated_skips: Annotated[
        bool, typer.Option("--activated-skips", help="CrossNet: LeakyReLU before features are fused.")
    ] = False,
    standardise: Annotated[
        bool, typer.Option("--standardise", help="SelFlow: for its supervised (Sintel) weights.")
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Turn a checkpoint of the authors into weights for `edgebs export`; see docs/authors-weights.md."""
    require_export()
    from export.authors_weights import import_crossnet, import_selflow

    if network is PublishedNetwork.CROSSNET:
        _refuse_given(context, ("standardise",), "only SelFlow's images are ever standardised")
        imported = import_crossnet(checkpoint, out, activated_skips=activated_skips, force=force)
    else:
        _refuse_given(context, ("activated_skips",), "only CrossNet fuses features of two encoders")
        imported = import_selflow(checkpoint, out, standardise=standardise, force=force)
    if json:
        print_json(imported.to_json())
        return
    note(f"{imported.variables} variables read, {imported.of_training} of the training left out")
    print_line(str(imported.file))


@app.command()
def calibrate(
    sources: Annotated[list[str], typer.Argument(help="Videos or image folders of your own scene.")],
    out: Annotated[Path, typer.Option(help="Folder of the new calibration set.")],
    frames: Annotated[int, typer.Option(min=1, help="Frames to choose over all sources.")] = 300,
    intervals: Annotated[str, typer.Option(help="Frames back that the cue looks.")] = "1,5,10",
    nominal_fps: Annotated[
        float, typer.Option(callback=_finite, help="Frames/s that the intervals are meant for.")
    ] = 25.0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Choose frames that cover a video, with the history that the cue needs, for INT8."""
    require_opencv()
    from calib.calibration_set import make_calibration_set

    with progress_bar("choosing frames") as progress:
        made = make_calibration_set(
            sources,
            out,
            frames=frames,
            intervals=_numbers(intervals, "--intervals"),
            nominal_fps=nominal_fps,
            force=force,
            progress=progress,
        )
    facts = made.facts()
    if json:
        print_json(facts)
        return
    print_line(f"{out}: {len(made.samples)} samples; look at {out / 'contact-sheet.jpg'}")


@app.command()
def bench(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(help="Bundle folders or shipped models; default all below ./bundles."),
    ] = None,
    fps: Annotated[bool, typer.Option("--fps", help="Measure speed, camera to mask.")] = False,
    source: Annotated[str | None, typer.Option(help="Video; default a rendered street, 640x360.")] = None,
    frames: Annotated[int, typer.Option(min=5, help="Counted frames per bundle and mode.")] = 300,
    repeats: Annotated[int, typer.Option(min=1, help="Interleaved repeats; the median counts.")] = 5,
    baseline: Annotated[Baseline, typer.Option(help="Run the networks in PyTorch beside.")] = Baseline.TORCH,
    threads: Threads = 0,
    cleanup: Cleanup = True,
    out: Annotated[Path | None, typer.Option(help="Keep the record in this JSON file.")] = None,
    json: Json = False,
) -> None:
    """Measure throughput, latency, stages and memory, beside PyTorch and the paper, in one run."""
    require_opencv()
    from bench.fps import bench_fps, bundles_here, write_record
    from bench.report import fps_table
    from bench.stream import video_or_rendered

    if not fps:
        raise typer.BadParameter("say what to measure", param_hint="--fps")
    with ExitStack() as stack:
        with progress_bar("rendering a street") as progress:
            video = stack.enter_context(video_or_rendered(source, progress=progress))
        progress = stack.enter_context(progress_bar("measuring"))
        record = bench_fps(
            bundles or bundles_here(),
            video,
            frames=frames,
            repeats=min(repeats, frames),
            baseline=baseline is Baseline.TORCH,
            threads=threads,
            cleanup=cleanup,
            progress=progress,
        )
    if out is not None:
        write_record(record, out)
    if json:
        print_json(record)
    else:
        print_table(fps_table(record))


@app.command()
def parity(
    bundle: Annotated[str, typer.Argument(help="Bundle folder or shipped model.")],
    source: Annotated[str | None, typer.Option(help="Video; default a rendered street.")] = None,
    data: Annotated[Path | None, typer.Option(help="Scored sequences, for parity of F.")] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames of the video.")] = 24,
    json: Json = False,
) -> None:
    """Prove a bundle against its PyTorch FP32 networks; exit code 1 when its gate fails."""
    require_export()
    from bench.parity import bundle_parity, require_passed
    from bench.report import parity_table

    with progress_bar("comparing") as progress:
        result = bundle_parity(bundle, source=source, data=data, frames=frames, progress=progress)
    if json:
        print_json(result)
    else:
        print_table(parity_table(bundle, result))
    require_passed(bundle, result)


@app.command("eval")
def evaluate(
    bundles: Annotated[list[str], typer.Argument(help="Bundle folders or shipped models.")],
    data: Annotated[Path, typer.Option(help="Scored sequences: a folder that holds them at any depth.")],
    against: Annotated[str, typer.Option(help="Peers on the same frames, comma-separated: mog2, knn.")] = "",
    layout: Annotated[
        Layout, typer.Option(help="How sequences lie on disk; auto looks at what there is.")
    ] = Layout.AUTO,
    threshold: Threshold = None,
    cleanup: Cleanup = True,
    report: Annotated[Path | None, typer.Option(help="Write curves and pictures as one HTML file.")] = None,
    threads: Threads = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Score bundles on sequences with ground truth, beside OpenCV's subtractors: accuracy and speed."""
    require_opencv()
    from bench.evaluation import evaluate as evaluate_bundles
    from bench.evaluation_report import Report
    from bench.evaluation_table import eval_table

    page = Report(report, force=force) if report is not None else None
    with progress_bar("scoring") as progress:
        record = evaluate_bundles(
            bundles,
            data,
            against=_words(against),
            layout=layout.value,
            threads=threads,
            threshold=threshold,
            cleanup=cleanup,
            progress=progress,
            sequence_done=page.add if page is not None else None,
        )
    if page is not None:
        page.write(record)
    if json:
        print_json(record)
        return
    print_table(eval_table(record))
    if page is not None:
        print_line(str(page.path))


@app.command()
def run(
    bundle: Annotated[str, typer.Argument(help="Bundle folder or shipped model.")],
    source: Annotated[str, typer.Option(help="Video, image folder, camera number or URL.")],
    mask: Annotated[Path | None, typer.Option(help="Mask video, or folder for PNG files.")] = None,
    overlay: Annotated[Path | None, typer.Option(help="Video with the foreground drawn in.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after that many frames.")] = None,
    threshold: Threshold = None,
    cleanup: Cleanup = True,
    background: Annotated[
        Path | None, typer.Option(help="File of the scene's background: restored if there, saved at the end.")
    ] = None,
    freeze_background: Annotated[
        bool, typer.Option("--freeze-background", help="Use that background as it is, and leave it so.")
    ] = False,
    threads: Threads = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Run a bundle on a video or camera and write masks and overlays."""
    require_opencv()
    from edgebs.running import run_to_files

    with progress_bar("running") as progress:
        summary = run_to_files(
            bundle,
            source,
            mask=mask,
            overlay=overlay,
            frames=frames,
            threads=threads,
            threshold=threshold,
            cleanup=cleanup,
            background=background,
            freeze_background=freeze_background,
            force=force,
            progress=progress,
        )
    if json:
        print_json(summary)
    else:
        _print_run(summary, [path for path in (mask, overlay) if path is not None])
    if summary["interrupted"]:
        raise typer.Exit(130)


def _print_run(summary: dict[str, Any], written: list[Path]) -> None:
    if summary["interrupted"]:
        note(f"interrupted after {summary['frames_out']} frames")
    latency = summary["latency_ms"]
    print_line(
        f"{summary['frames_out']} frames at {summary['fps']:.1f} fps, latency p50 {latency['p50']:.1f} ms, "
        f"p99 {latency['p99']:.1f} ms, {100 * summary['foreground_share']:.1f} % foreground"
        + ("" if summary["trained"] else " (untrained weights: the masks mean nothing)")
    )
    for path in written:
        print_line(str(path))


@app.command()
def inspect(
    bundle: Annotated[str, typer.Argument(help="Bundle folder or shipped model.")],
    layers: Annotated[
        bool, typer.Option("--layers", help="List each network's layers as its runtime runs and times them.")
    ] = False,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Verify a bundle and say what is in it."""
    from bench.report import bundle_table
    from edgebs.bundle import verify_files
    from edgebs.shipped import bundle_path

    if layers:
        _print_layers(bundle_path(bundle), threads, json)
        return
    manifest = verify_files(bundle_path(bundle)).manifest.to_json()
    if json:
        print_json(manifest)
    else:
        print_table(bundle_table(manifest))


def _print_layers(bundle: Path, threads: int, json: bool) -> None:
    from bench.layer_table import layer_table
    from edgebs.bundle import load_bundle
    from engines.layers import layers_of_network

    loaded = load_bundle(bundle)  # also refuses a plan of another GPU
    found = {
        name: layers_of_network(loaded.file(name), facts, threads)
        for name, facts in loaded.manifest.networks.items()
    }
    if json:
        print_json({name: [layer.to_json() for layer in layers] for name, layers in found.items()})
        return
    for name, layers in found.items():
        print_table(layer_table(f"{loaded.manifest.name}, network {name}", layers))


@app.command()
def doctor(json: Json = False) -> None:
    """Say what is installed, what can be built and run here, and how to get what is missing."""
    from edgebs.doctor import diagnose, format_report
    from engines.targets import Target

    report = diagnose(Target)
    if json:
        print_json(report.to_json())
    else:
        print_line(format_report(report))
    raise typer.Exit(report.exit_code)


@app.command()
def models(json: Json = False) -> None:
    """List the models that can be exported, the flows that feed them, and the bundles shipped inside."""
    from export.listing import models_listing

    listing = models_listing()
    if json:
        print_json(listing)
        return
    from bench.report import models_table

    print_table(models_table(listing))


if __name__ == "__main__":
    main()
