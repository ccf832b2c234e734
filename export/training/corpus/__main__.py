"""Renders scenes once for many trainings: `python -m export.training.corpus FOLDER --clips N`.

    python -m export.training.corpus corpus --clips 4096 --seed 1
    edgebs train edge --corpus corpus --out run --size 256x256

Ctrl-C ends it; the same command goes on where it was, and a larger --clips makes a corpus longer.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from edgebs.machine.console import errors_in_one_line, print_line, progress_bar
from export.models import HOLD
from export.models.request import ModelRequest
from export.training.corpus.clip import SHARES, ClipOptions
from export.training.corpus.render import CorpusOptions, render_corpus


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of the corpus")
    parser.add_argument("--clips", type=int, required=True, help="number of clips; 1.9 MB each at 256x256")
    parser.add_argument("--seed", type=int, default=1, help="of the scenes, below 2000000000 (default 1)")
    frames = "WIDTHxHEIGHT of the frames (default 256x256)"
    parser.add_argument("--size", type=_size, default=(256, 256), help=frames)
    parser.add_argument("--images", type=Path, help="folder of your own pictures for the scenes")
    parser.add_argument("--workers", type=int, default=1, help="processes; 0 renders in this one (default 1)")
    shown = (
        "share of scenes that networks are worst at",
        "share whose watch begins shortly before somebody comes to stay",
        "of the others, share without a past",
        "share whose background never holds a pixel",
        "share of an ordinary camera in daylight or lit rooms",
        "of the others, share with too much light",
    )
    for name, what in zip(SHARES, shown, strict=True):
        default = ClipOptions.__dataclass_fields__[name].default
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{what} (default {default})")
    given = parser.parse_args(arguments)
    with errors_in_one_line():
        # The median without held pixels is stored beside the other.
        cue = ModelRequest(model="edge", weights="random", size=given.size, hold=HOLD).cue
        shares = {name: getattr(given, name) for name in SHARES}
        options = CorpusOptions(
            out=given.out,
            clips=ClipOptions(cue=cue, size=given.size, **shares),
            count=given.clips,
            seed=given.seed,
            images=given.images,
            workers=given.workers,
        )
        with progress_bar("rendering clips") as progress:
            files = render_corpus(options, progress)
        print_line(f"{len(files)} shards in {given.out}")


def _size(text: str) -> tuple[int, int]:
    """(height, width) of WIDTHxHEIGHT."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT like 256x256, got {text!r}")
    return int(height), int(width)


if __name__ == "__main__":
    main()
