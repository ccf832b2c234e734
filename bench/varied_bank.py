"""The pictures that the training scenes are put together from: sprites, textures, photographs, noise.

Sprites are drawn once and kept in the user's cache folder, under a key of the code that draws them; every
process maps the same file. Nothing in here depends on a scene.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from bench import people, textures, traffic, varied_people, varied_things
from bench.textures import noise
from bench.varied_people import DENSITY, Picture, draw_person
from bench.varied_things import draw_animal, draw_bicycle, draw_thing, draw_vehicle
from edgebs.atomic import atomic_folder
from edgebs.errors import SinkError, SourceError
from edgebs.tensors import Array

MIPS = 5
"""Sizes of each sprite, every one half of the one before."""
TILE = 256
"""Side of a texture in pixels."""
GRAIN = 512
"""Side of the stored noise in pixels."""
_COUNTS = {"person": 80, "vehicle": 64, "bicycle": 8, "animal": 24, "thing": 60}
_PHOTO_SIDE = 512
# Photographs that come with packages; their licences are in docs/training-data.md.
_PACKAGED = {
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "skimage": (
        "data/astronaut.png", "data/brick.png", "data/chelsea.png", "data/coffee.png", "data/grass.png",
        "data/gravel.png", "data/motorcycle_left.png", "data/rocket.jpg",
    ),
}  # fmt: skip


class Sprite(NamedTuple):
    """One picture in `MIPS` sizes."""

    mips: tuple[Array, ...]
    """(h, w, 4) uint8 each, BGR multiplied by alpha, and alpha."""
    foot: tuple[float, float]
    """Column and row in the largest size of the point that stands on the ground."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, vehicle, animal or thing in all its poses."""

    kind: str
    """`person`, `vehicle`, `bicycle`, `animal` or `thing`."""
    density: float
    """Pixels per metre of the largest size."""
    height: float
    """Metres."""
    poses: Mapping[str, tuple[Sprite, ...]]
    """Cycles and states by name; every actor has `walk`."""


@dataclass(frozen=True, slots=True)
class _Contents:
    actors: dict[str, list[Actor]]
    tiles: list[Array]
    photos: list[Array]
    sources: tuple[str, ...]
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
        """Procedural textures, (TILE, TILE, 3) uint8 each, around middle grey."""
        return _contents(self._images).tiles

    @property
    def photos(self) -> list[Array]:
        """Photographs, (h, w, 3) uint8 BGR, at most 512 pixels long."""
        return _contents(self._images).photos

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the photographs come from: scenes are the same only where these are the same."""
        return _contents(self._images).sources

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
    photos, sources = _photos(images)
    return _Contents(
        actors=_load_actors(),
        tiles=[_tile(rng, nth) for nth in range(24)],
        photos=photos,
        sources=sources,
        grain=rng.standard_normal((GRAIN, GRAIN, 3), dtype=np.float32),
        clouds=[noise(rng, GRAIN, GRAIN, cell, 4) for cell in (128, 48, 16, 6)],
    )


def _photos(images: Path | None) -> tuple[list[Array], tuple[str, ...]]:
    files = [] if images is None else [(str(file), file) for file in _picture_files(images)]
    for package, names in _PACKAGED.items():
        found = importlib.util.find_spec(package)
        if found is not None and found.origin is not None:
            root = Path(found.origin).parent
            files += [(f"{package} {name}", root / name) for name in names if (root / name).is_file()]
    photos, sources = [], []
    for name, file in files:
        photo = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)
        if photo is None:
            raise SourceError(f"{file} is not a picture that OpenCV reads. Repair or remove it.")
        shrink = min(1.0, _PHOTO_SIDE / max(photo.shape[:2]))
        if shrink < 1:
            photo = cv2.resize(photo, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        if min(photo.shape[:2]) >= 32:
            photos.append(photo)
            sources.append(name)
    return photos, tuple(sources)


def _tile(rng: np.random.Generator, nth: int) -> Array:
    """A texture without colour of its own: asphalt, brick, boards, paving, grass, leaves, cloth, stripes."""
    base = 128 + 14 * noise(rng, TILE, TILE, 90, 6)
    y, x = np.mgrid[:TILE, :TILE].astype(np.float32)
    kind = nth % 8
    if kind == 0:
        base += 10 * rng.standard_normal((TILE, TILE), dtype=np.float32)
    elif kind == 1:
        row, pitch = float(rng.integers(8, 20)), float(rng.integers(18, 48))
        brick = np.floor(y / row)
        base += np.sin(12.9 * brick + 78.2 * np.floor((x + brick % 2 * pitch / 2) / pitch)) * 18
        base[((y % row) < 2) | (((x + brick % 2 * pitch / 2) % pitch) < 2)] += 40 * rng.choice([-1, 1])
    elif kind == 2:
        board = float(rng.integers(10, 40))
        base += 22 * noise(rng, TILE // 16, TILE, 6, 3).repeat(16, 0) + 18 * np.sin(7.1 * np.floor(x / board))
        base[(x % board) < 1.5] -= 45
    elif kind == 3:
        side = float(rng.integers(14, 64))
        base += 12 * np.sin(12.9 * np.floor(x / side) + 4.1 * np.floor(y / side))
        base[((x % side) < 2) | ((y % side) < 2)] += 30 * rng.choice([-1, 1])
    elif kind in (4, 5):
        base += (26 if kind == 4 else 38) * noise(rng, TILE, TILE, 5 if kind == 4 else 22, 4)
    elif kind == 6:
        pitch = float(rng.uniform(5, 30))
        base += 28 * np.sin((x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)) * (6.28 / pitch))
    tint = np.stack([base + 9 * noise(rng, TILE, TILE, 60, 3) for _ in range(3)], axis=-1)
    return np.asarray(np.clip(tint, 0, 255).astype(np.uint8))


def _cast() -> Iterator[tuple[str, float, float, dict[str, list[Picture]]]]:
    rng = np.random.default_rng(0xAC7)
    for _ in range(_COUNTS["person"]):
        poses = draw_person(rng)
        tall = poses["stand"][0].foot[1] / DENSITY
        yield "person", DENSITY, tall, poses
    for nth in range(_COUNTS["vehicle"]):
        picture, density = draw_vehicle(rng, nth)
        looks = ("walk", "front") if nth % 4 == 3 else ("walk",)
        yield "vehicle", density, picture.foot[1] / density, {look: [picture] for look in looks}
    for _ in range(_COUNTS["bicycle"]):
        pictures, density = draw_bicycle(rng, 8)
        yield "bicycle", density, 1.85, {"walk": pictures}
    for _ in range(_COUNTS["animal"]):
        pictures, density, height = draw_animal(rng, 6)
        yield "animal", density, height, {"walk": pictures}
    for nth in range(_COUNTS["thing"]):
        picture, density, height = draw_thing(rng, nth)
        yield "thing", density, height, {"walk": [picture]}


def _cache_key() -> str:
    digest = hashlib.sha256(f"{cv2.__version__} {np.__version__}".encode())
    for module in (people, textures, traffic, varied_people, varied_things):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "edgebs" / f"varied-{_cache_key()}"


def _load_actors() -> dict[str, list[Actor]]:
    folder = _cache_folder()
    if not (folder / "index.json").is_file():
        pixels, index = _packed()
        # A cache that cannot be written costs seconds at the next start; another process may be first.
        with suppress(SinkError, OSError), atomic_folder(folder, SinkError) as temporary:
            np.save(temporary / "pixels.npy", pixels)
            (temporary / "index.json").write_text(json.dumps(index))
    else:
        index = json.loads((folder / "index.json").read_text())
        pixels = np.load(folder / "pixels.npy", mmap_mode="r").view(np.ndarray)
    return _unpacked(pixels, index)


def _packed() -> tuple[Array, list[dict[str, object]]]:
    """All sprites end to end, and where each lies."""
    parts: list[Array] = []
    index: list[dict[str, object]] = []
    offset = 0
    for kind, density, height, poses in _cast():
        entry: dict[str, list[tuple[int, int, int, float, float]]] = {}
        for name, pictures in poses.items():
            entry[name] = []
            for picture in pictures:
                mips = _mips(picture.pixels)
                rows, columns = mips[0].shape[:2]
                entry[name].append((offset, rows, columns, *picture.foot))
                parts += [mip.ravel() for mip in mips]
                offset += sum(mip.size for mip in mips)
        index.append({"kind": kind, "density": density, "height": height, "poses": entry})
    return np.concatenate(parts), index


def _mips(pixels: Array) -> list[Array]:
    """Sides become multiples of 16, so that every size is exactly half of the one before."""
    below, right = -pixels.shape[0] % 16, -pixels.shape[1] % 16
    mips = [cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))]
    for _ in range(MIPS - 1):
        half = (mips[-1].shape[1] // 2, mips[-1].shape[0] // 2)
        mips.append(cv2.resize(mips[-1], half, interpolation=cv2.INTER_AREA))
    return mips


def sprite_of(picture: Picture) -> Sprite:
    """The picture in all sizes."""
    return Sprite(tuple(_mips(picture.pixels)), picture.foot)


def _unpacked(pixels: Array, index: list[dict[str, object]]) -> dict[str, list[Actor]]:
    actors: dict[str, list[Actor]] = {kind: [] for kind in _COUNTS}
    for entry in index:
        poses: dict[str, tuple[Sprite, ...]] = {}
        for name, places in entry["poses"].items():  # type: ignore[attr-defined]
            poses[name] = tuple(_sprite_at(pixels, *place) for place in places)
        kind = str(entry["kind"])
        actors[kind].append(Actor(kind, float(str(entry["density"])), float(str(entry["height"])), poses))
    return actors


def _sprite_at(pixels: Array, offset: int, rows: int, columns: int, x: float, y: float) -> Sprite:
    mips = []
    for nth in range(MIPS):
        h, w = rows >> nth, columns >> nth
        mips.append(pixels[offset : offset + h * w * 4].reshape(h, w, 4))
        offset += h * w * 4
    return Sprite(tuple(mips), (x, y))
