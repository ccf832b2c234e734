"""Sprites of people, vehicles, animals and things, drawn once and kept in the user's cache folder.

The folder's name is a key of the code that draws them; every process maps the same file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from bench.scenes import textures
from bench.scenes.actors import cars, people, skeleton, things
from bench.scenes.actors.people import DENSITY, Picture, draw_person
from bench.scenes.actors.things import draw_animal, draw_bicycle, draw_boat, draw_thing, draw_vehicle
from edgebs.errors import SinkError
from edgebs.files import atomic_folder
from edgebs.tensors import Array

MIPS = 5
"""Sizes of each sprite, every one half of the one before."""
_COUNTS = {"person": 80, "vehicle": 64, "bicycle": 8, "animal": 24, "thing": 60, "boat": 24}


class Sprite(NamedTuple):
    """One picture in `MIPS` sizes."""

    mips: tuple[Array, ...]
    """(h, w, 4) uint8 each, BGR multiplied by alpha, and alpha."""
    foot: tuple[float, float]
    """Column and row in the largest size of the point that stands on the ground."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, vehicle, animal, thing or boat in all its poses."""

    kind: str
    """`person`, `vehicle`, `bicycle`, `animal`, `thing` or `boat`."""
    density: float
    """Pixels per metre of the largest size."""
    height: float
    """Metres."""
    poses: Mapping[str, tuple[Sprite, ...]]
    """Cycles and states by name; every actor has `walk`."""


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
    for _ in range(_COUNTS["boat"]):
        picture, density, height = draw_boat(rng)
        yield "boat", density, height, {"walk": [picture]}


def _cache_key() -> str:
    digest = hashlib.sha256(f"{cv2.__version__} {np.__version__}".encode())
    for module in (cars, people, skeleton, textures, things):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "edgebs" / f"varied-{_cache_key()}"


def load_actors() -> dict[str, list[Actor]]:
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
