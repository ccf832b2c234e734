"""The pictures that the training scenes are put together from: sprites, textures, photographs, noise.

Nothing in here depends on a scene.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from bench.scenes.actors.sprites import Actor, load_actors
from bench.scenes.textures import noise, texture_tile
from edgebs.errors import SourceError
from edgebs.tensors import Array
from edgebs.video.picture_file import read_frame

GRAIN = 512
"""Side of the stored noise in pixels."""
_PHOTO_SIDE = 512
# Photographs that come with packages; their licences are in docs/training-data.md.
_PACKAGED = {
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "skimage": (
        "data/astronaut.png", "data/brick.png", "data/chelsea.png", "data/coffee.png", "data/grass.png",
        "data/gravel.png", "data/rocket.jpg",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Contents:
    actors: dict[str, list[Actor]]
    tiles: list[Array]
    photos: list[Array]
    grain: Array
    """(GRAIN, GRAIN, 3) float32, standard normal."""
    clouds: list[Array]
    """(GRAIN, GRAIN) float32 each, smooth noise of about -1..1, ever finer."""


class PictureBank:
    """All pictures. Opened at once, filled at the first use in each process; pickles as the folder's name."""

    def __init__(self, images: Path | None) -> None:
        """Use `open`."""
        self._images = images

    @staticmethod
    def open(images: Path | str | None = None) -> PictureBank:
        """A bank with the shipped pictures, and those in the folder `images` (.jpg, .png, .bmp) if given.

        Raises SourceError where `images` is not a folder or holds no picture.
        """
        if images is None:
            return PictureBank(None)
        folder = Path(images)
        if not folder.is_dir() or not any(_picture_files(folder)):
            raise SourceError(
                f"{folder} holds no pictures. Name a folder with .jpg, .png or .bmp files, or leave it out."
            )
        return PictureBank(folder)

    @property
    def actors(self) -> dict[str, list[Actor]]:
        """Actors by kind."""
        return _contents(self._images).actors

    @property
    def tiles(self) -> list[Array]:
        """Procedural textures, (256, 256, 3) uint8 each, around middle grey."""
        return _contents(self._images).tiles

    @property
    def photos(self) -> list[Array]:
        """Photographs, (h, w, 3) uint8 BGR, at most 512 pixels long."""
        return _contents(self._images).photos

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the photographs come from: scenes are the same only where these are the same."""
        return _sources(self._images)

    @property
    def missing(self) -> tuple[str, ...]:
        """What `sources` lacks because a package of the extra `train` is not installed, or not whole."""
        packaged = (f"{package} {name}" for package, names in _PACKAGED.items() for name in names)
        return tuple(name for name in packaged if name not in self.sources)

    @property
    def grain(self) -> Array:
        """(GRAIN, GRAIN, 3) float32 of standard normal noise."""
        return _contents(self._images).grain

    @property
    def clouds(self) -> list[Array]:
        """(GRAIN, GRAIN) float32 each: smooth noise of about -1..1 with cells of 128, 48, 16 and 6 pixels."""
        return _contents(self._images).clouds


def _picture_files(folder: Path) -> list[Path]:
    kinds = {".jpg", ".jpeg", ".png", ".bmp"}
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in kinds and file.is_file())


@lru_cache(maxsize=4)
def _contents(images: Path | None) -> _Contents:
    rng = np.random.default_rng(0x7E57)
    return _Contents(
        actors=load_actors(),
        tiles=[texture_tile(rng, nth) for nth in range(24)],
        photos=_photos(images)[0],
        grain=rng.standard_normal((GRAIN, GRAIN, 3), dtype=np.float32),
        clouds=[noise(rng, GRAIN, GRAIN, cell, 4) for cell in (128, 48, 16, 6)],
    )


@lru_cache(maxsize=4)
def _sources(images: Path | None) -> tuple[str, ...]:
    # Apart from the contents: who only writes the names down need not hold all the pictures.
    return _photos(images)[1]


def _photos(images: Path | None) -> tuple[list[Array], tuple[str, ...]]:
    files = [] if images is None else [(str(file), file) for file in _picture_files(images)]
    for package, names in _PACKAGED.items():
        found = importlib.util.find_spec(package)
        if found is not None and found.origin is not None:
            root = Path(found.origin).parent
            files += [(f"{package} {name}", root / name) for name in names if (root / name).is_file()]
    photos, sources = [], []
    for name, file in files:
        try:
            photo = read_frame(file)
        except SourceError as cause:
            raise SourceError(f"{file} is not a picture for the scenes: {cause}") from cause
        shrink = min(1.0, _PHOTO_SIDE / max(photo.shape[:2]))
        if shrink < 1:
            photo = cv2.resize(photo, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        if min(photo.shape[:2]) >= 32:
            photos.append(photo)
            sources.append(name)
    return photos, tuple(sources)
