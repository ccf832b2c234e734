"""Options that several commands share, and how an option is declared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import typer

MOST_FRAMES = 1_000_000
"""Of an interval, and of a run that is kept in memory: beyond, a typing error is more likely."""

MOST = 2**31 - 1
"""Of every other whole number: what libraries below take."""

LONGEST_SIDE = 16_384
"""Of a frame, in pixels."""


def finite(value: float | None) -> float | None:
    """Callback of real-number options: nan and infinity are wrong usage."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"expected a number, got {value}")
    return value


def positive(value: float | None) -> float | None:
    """Of options that are real numbers above 0."""
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"expected a number above 0, got {value:g}")
    return value


def words_of(text: str) -> tuple[str, ...]:
    """What stands between commas, each word once."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def counts_of(text: str, option: str) -> tuple[int, ...]:
    """Whole numbers of at least 1 between commas."""
    try:
        counts = tuple(int(word) for word in text.split(",") if word.strip())
    except ValueError as cause:
        raise typer.BadParameter(
            f"expected whole numbers like 1,5,10, got {text!r}", param_hint=option
        ) from cause
    if not counts or min(counts) < 1 or max(counts) > MOST_FRAMES:
        raise typer.BadParameter(
            f"expected frame counts of at least 1, at most {MOST_FRAMES}, got {text!r:.60}", param_hint=option
        )
    return counts


def intervals_of(text: str | None) -> tuple[int, ...] | None:
    """--intervals, where they were given."""
    return None if text is None else counts_of(text, "--intervals")


def size_of(text: str, option: str = "--size") -> tuple[int, int]:
    """(height, width) of WIDTHxHEIGHT."""
    width, _, height = text.lower().partition("x")
    sides = [int(side) for side in (height, width) if side.isdecimal() and len(side) < 10]
    if len(sides) != 2 or not all(1 <= side <= LONGEST_SIDE for side in sides):
        raise typer.BadParameter(
            f"expected WIDTHxHEIGHT like 256x256, both sides must be pixels from 1 to {LONGEST_SIDE}, "
            f"got {text!r:.60}",
            param_hint=option,
        )
    return sides[0], sides[1]


def range_of(text: str, *, has_pictures: bool = True) -> tuple[float, float] | None:
    """(low, high) of LOW,HIGH; None of nothing. has_pictures: whether anything is read that it is for."""
    if not text:
        return None
    if not has_pictures:
        raise typer.BadParameter("no effect here: rendered scenes have 8 bits", param_hint="--range")
    try:
        low, high = (float(word) for word in text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise typer.BadParameter(
            f"expected LOW,HIGH like 7000,8500, the lower number first, got {text!r}", param_hint="--range"
        )
    return low, high


def fold_of(text: str) -> tuple[int, int] | None:
    """(K, N) of K/N; None of nothing."""
    k, _, n = text.partition("/")
    if text and not (k.isdecimal() and n.isdecimal() and len(text) < 10):
        raise typer.BadParameter(f"expected K/N like 1/3, got {text!r}", param_hint="--fold")
    return (int(k), int(n)) if text else None


def given(context: typer.Context, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the parameters `names` that were typed."""
    sources = {name: context.get_parameter_source(name) for name in names}
    return tuple(name for name, source in sources.items() if source and source.name == "COMMANDLINE")


def refuse_given(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse parameters that were typed and would do nothing."""
    for name in given(context, names):
        raise typer.BadParameter(f"no effect here: {why}", param_hint=f"--{name.replace('_', '-')}")


MOST_THREADS, MOST_CHANNELS = 1024, 4096


def option(
    help: str,
    low: float | None = None,
    high: float | None = None,
    *,
    names: Sequence[str] = (),
    words: Sequence[str] = (),
    callback: Callable[[Any], Any] | None = None,
    **more: Any,
) -> Any:
    """An option with its help, the least and greatest value, and the words that the shell completes."""
    completion = (lambda: list(words)) if words else None
    return typer.Option(
        *names, help=help, min=low, max=high, callback=callback, autocompletion=completion, **more
    )


Json = Annotated[bool, option("Print one JSON object and nothing else.", names=("--json",))]
Force = Annotated[bool, option("Replace what is there already.", names=("--force",))]

Threads = Annotated[
    int, option("CPU threads per engine; 0 uses every core, or all but the flow's.", 0, MOST_THREADS)
]

Threshold = Annotated[
    float | None, option("Foreground probability, instead of the bundle's own.", 0.0, 1.0, callback=finite)
]

Intervals = Annotated[
    str | None, option("Frames between the inputs of each flow; default the weights' own, or 1,5,10.")
]

MaxMagnitude = Annotated[
    float | None,
    option("Pixels of flow that saturate the cue; default the weights' own, or 20.", callback=positive),
]

NominalFps = Annotated[
    float | None,
    option("Frames/s that the intervals mean; default the weights' own, or 25.", callback=positive),
]

DisPreset = Annotated[
    str, option("ultrafast, fast, medium or fine; default the weights' own, or the model's.")
]

ValueRange = Annotated[
    str,
    option(
        "Values that become black and white, the same in all frames; for more than 8 bits.",
        names=("--range",),
        metavar="LOW,HIGH",
    ),
]

Size = Annotated[str, option("WIDTHxHEIGHT of the networks, in pixels; default the model's own.")]

Width = Annotated[
    int | None, option("Channels of the first stage; default the weights' own, or 64.", 1, MOST_CHANNELS)
]

Depth = Annotated[int | None, option("Poolings of bmn-bsn; default the weights' own, or 4.", 1, 12)]

Norm = Annotated[
    str, option("batch (folds away) or layer (the published code); default the weights' own, or batch.")
]

References = Annotated[
    int | None,
    option("Frames that the background is made of; default the weights', or the paper's.", 1, MOST_FRAMES),
]

Maps = Annotated[
    int | None, option("Background maps of bmn-bsn; default the weights' own, or 12.", 1, MOST_CHANNELS)
]

Hold = Annotated[
    float | None,
    option(
        "Foreground probability from which edge's background keeps a pixel as it was; 0 for never. "
        "Default the weights' own, or 0.6.",
        0.0,
        0.99,
    ),
]

Seed = Annotated[int, option("Of random weights; in training, of scenes and order too.", 0, MOST)]

Cleanup = Annotated[
    bool,
    option("Clean masks of specks and holes, as the bundle says.", names=("--cleanup/--no-cleanup",)),
]
