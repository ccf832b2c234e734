"""Options that several commands share, and how an option is declared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from edgebs.cli.parsing import MOST, MOST_FRAMES, finite, positive

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
