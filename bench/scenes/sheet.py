"""A contact sheet of training scenes: what they look like, and what their labels say."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np

from bench.scenes.bank import PictureBank
from bench.scenes.scene import Mix, Scene
from edgebs.errors import SinkError
from edgebs.files import atomic_file
from edgebs.tensors import Array

TIMES = (-30.0, -2.0, 1.0, 1.2, 4.0)
"""Seconds of the pictures of one scene; labels are shown for the last two, the background for the last."""
LINE = 13


def draw_sheet(
    file: Path,
    *,
    seed: int,
    scenes: int = 16,
    size: tuple[int, int] = (128, 128),
    wanted: Sequence[str] = (),
    images: Path | None = None,
    columns: int = 1,
    mix: Mix | None = None,
) -> None:
    """Write a picture (.png or .jpg) with one strip a scene.

    wanted: only scenes that have all these conditions; images: a folder of pictures for the backgrounds;
    columns: strips side by side.
    Raises SinkError where `file` cannot be written, SourceError for a folder without pictures.
    """
    bank = PictureBank.open(images)
    chosen = list(islice(_scenes(seed, size, bank, set(wanted), mix), scenes))
    strips = [_strip(name, scene) for name, scene in chosen]
    strips += [np.zeros_like(strips[0])] * (-len(strips) % columns)
    rows = [np.hstack(strips[at : at + columns]) for at in range(0, len(strips), columns)]
    with atomic_file(file, SinkError) as temporary:
        if not cv2.imwrite(str(temporary), np.vstack(rows)):
            raise SinkError(f"{file} cannot be written as a picture. Name it .png or .jpg.")


def _scenes(
    seed: int, size: tuple[int, int], bank: PictureBank, wanted: set[str], mix: Mix | None
) -> Iterator[tuple[str, Scene]]:
    # A word that no scene has would search for ever.
    for nth in islice(count(), 20_000):
        scene = Scene((seed, nth), size, bank, mix)
        if wanted <= scene.conditions:
            yield f"{seed},{nth}", scene


def _strip(name: str, scene: Scene) -> Array:
    panels: list[Array] = []
    for seconds in TIMES:
        frame = scene.frame(seconds)
        panels.append(frame.image)
        if seconds in TIMES[-2:]:
            panels.append(cv2.cvtColor(frame.labels, cv2.COLOR_GRAY2BGR))
    panels.append(frame.background)
    strip = np.hstack(panels)
    title = np.zeros((LINE, strip.shape[1], 3), np.uint8)
    text = f"{name}  {scene.fps:.0f} fps  {', '.join(sorted(scene.conditions))}"
    cv2.putText(title, text, (3, LINE - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (200, 230, 255), 1, cv2.LINE_AA)
    return np.vstack([title, strip])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scenes.sheet", description=__doc__)
    parser.add_argument("--sheet", type=Path, required=True, help="picture to write, .png or .jpg")
    parser.add_argument("--seed", type=int, default=0, help="first part of the scenes' seeds (default 0)")
    parser.add_argument("--scenes", type=int, default=16, help="number of scenes (default 16)")
    parser.add_argument("--side", type=int, default=128, help="height and width in pixels (default 128)")
    parser.add_argument("--columns", type=int, default=1, help="strips side by side (default 1)")
    parser.add_argument(
        "--with", dest="wanted", nargs="*", default=(), help="only scenes with these conditions"
    )
    parser.add_argument("--images", type=Path, help="folder of pictures for the backgrounds")
    given = parser.parse_args(arguments)
    draw_sheet(
        given.sheet,
        seed=given.seed,
        scenes=given.scenes,
        size=(given.side, given.side),
        wanted=given.wanted,
        images=given.images,
        columns=given.columns,
    )
