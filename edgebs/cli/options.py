"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from edgebs.cli.parsing import MOST_FRAMES, finite, positive

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]
Threads = Annotated[
    int,
    typer.Option(min=0, max=1024, help="CPU threads per engine; 0 uses every core, or all but the flow's."),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0.0, max=1.0, callback=finite, help="Foreground probability, instead of the bundle's own."
    ),
]
Intervals = Annotated[
    str | None,
    typer.Option(help="Frames between the inputs of each flow; default the weights' own, or 1,5,10."),
]
MaxMagnitude = Annotated[
    float | None,
    typer.Option(
        callback=positive, help="Pixels of flow that saturate the cue; default the weights' own, or 20."
    ),
]
NominalFps = Annotated[
    float | None,
    typer.Option(
        callback=positive, help="Frames/s that the intervals mean; default the weights' own, or 25."
    ),
]
DisPreset = Annotated[
    str, typer.Option(help="ultrafast, fast, medium or fine; default the weights' own, or the model's.")
]
ValueRange = Annotated[
    str,
    typer.Option(
        "--range",
        metavar="LOW,HIGH",
        help="Values that become black and white, the same in all frames; for more than 8 bits.",
    ),
]
Size = Annotated[str, typer.Option(help="WIDTHxHEIGHT of the networks, in pixels; default the model's own.")]
Width = Annotated[
    int | None,
    typer.Option(min=1, max=4096, help="Channels of the first stage; default the weights' own, or 64."),
]
Depth = Annotated[
    int | None, typer.Option(min=1, max=12, help="Poolings of bmn-bsn; default the weights' own, or 4.")
]
Norm = Annotated[
    str,
    typer.Option(
        help="batch (folds away) or layer (the published code); default the weights' own, or batch."
    ),
]
References = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_FRAMES,
        help="Frames that the background is made of; default the weights', or the paper's.",
    ),
]
Maps = Annotated[
    int | None,
    typer.Option(min=1, max=4096, help="Background maps of bmn-bsn; default the weights' own, or 12."),
]
Hold = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=0.99,
        help="Foreground probability from which edge's background keeps a pixel as it was; 0 for never. "
        "Default the weights' own, or 0.6.",
    ),
]
Cleanup = Annotated[
    bool,
    typer.Option("--cleanup/--no-cleanup", help="Clean masks of specks and holes, as the bundle says."),
]
