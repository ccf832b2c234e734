"""Scenes rendered once for many trainings.

A corpus is a folder with corpus.json, its description, and shards. A shard is a safetensors file of
`SHARD_CLIPS` clips:

    blob   (bytes,) uint8: PNG files one after another
    table  (clips, PICTURES, FRAMES, 2) int64: start and length of each in the blob; length 0 if absent
    facts  (clips, FRAMES, FACTS) float32

A clip is two runs of `RUN` consecutive frames. It holds picture, labels and flow of each frame, and the
planes of each state of the background that the frames use: docs/training-data.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors.numpy import save

from edgebs.errors import SinkError, SourceError
from edgebs.files import atomic_file
from edgebs.tensors import Array, Frame

FORMAT = 1
FILE = "corpus.json"
SHARD_CLIPS = 32
RUN = 4
"""Consecutive frames."""
FRAMES = 2 * RUN
OF_FRAME = ("frame", "labels", "flow")
"""Pictures of each frame: (h, w, 3) BGR, (h, w) CDnet's labels, (h, w, 3) coded magnitudes of three flows."""
OF_STATE = ("held", "plain", "older", "spread")
"""Pictures of each state of the background: the median with held pixels, the median without, the older
background, (h, w, 3) each; and (h, w, 3) of the spread with, the spread without, and for how many samples a
pixel was held."""
PICTURES = (*OF_FRAME, *OF_STATE)
FACTS = ("state", "right", "down", "age", "number", "is_cold")
"""Of each frame: which state it sees; pixels that it lies off the background; the plane of the age, 0 to 255;
its number since the real-time part of the scene began; 1 where the scene has no past."""
PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip, its pictures coded as PNG."""

    pictures: Mapping[str, Sequence[Array]]
    """By the names of `PICTURES`, (bytes,) uint8 each; FRAMES of each frame's, one per state of the
    others."""
    facts: Array
    """(FRAMES, len(FACTS)) float32."""


def coded(picture: Frame) -> Array:
    """A picture as the bytes of a PNG file."""
    return np.asarray(cv2.imencode(".png", picture, PNG)[1], np.uint8).reshape(-1)


def coded_flow(magnitudes: Array, max_magnitude: float) -> Frame:
    """(3, h, w) magnitudes in pixels as (h, w, 3) uint8: their root, as the network takes it."""
    share = np.clip(magnitudes * np.float32(1 / max_magnitude), 0, 1)
    return np.ascontiguousarray(np.rint(255 * np.sqrt(share)).astype(np.uint8).transpose(1, 2, 0))


def flow_of(code: Frame, max_magnitude: float) -> Array:
    """The inverse of `coded_flow`, (3, h, w) float32."""
    root = code.transpose(2, 0, 1).astype(np.float32) * np.float32(1 / 255)
    return np.asarray(np.square(root) * np.float32(max_magnitude))


def shard_file(folder: Path, number: int) -> Path:
    """Where shard `number` is."""
    return folder / f"shard-{number:05d}.safetensors"


def write_shard(file: Path, clips: Sequence[Clip]) -> None:
    """Write clips, whole or not at all. Raises SinkError."""
    table = np.zeros((len(clips), len(PICTURES), FRAMES, 2), np.int64)
    parts: list[Array] = []
    end = 0
    for number, clip in enumerate(clips):
        for kind, name in enumerate(PICTURES):
            for place, data in enumerate(clip.pictures[name]):
                table[number, kind, place] = end, len(data)
                parts.append(data)
                end += len(data)
    arrays = {"blob": np.concatenate(parts), "table": table, "facts": np.stack([c.facts for c in clips])}
    with atomic_file(file, SinkError) as temporary:
        temporary.write_bytes(save(arrays))


class Shard:
    """A shard that is read in place."""

    def __init__(self, file: Path) -> None:
        """Map `file`. Raises SourceError for a damaged one."""
        try:
            raw = np.memmap(file, np.uint8, mode="r")
            length = int(raw[:8].view("<u8")[0])
            header = json.loads(bytes(raw[8 : 8 + length]))
            self._blob, self._table, self.facts = (
                _tensor(raw[8 + length :], header[name]) for name in ("blob", "table", "facts")
            )
        except (OSError, ValueError, KeyError, TypeError) as cause:
            raise SourceError(
                f"{file} is no shard of a corpus ({cause}). Delete it and render it anew."
            ) from cause
        self.file = file

    def __len__(self) -> int:
        """Clips."""
        return len(self.facts)

    def picture(self, clip: int, name: str, place: int) -> Frame:
        """One of `PICTURES`, of a frame or a state of a clip. Raises SourceError for a damaged one."""
        start, length = self._table[clip, PICTURES.index(name), place]
        code = np.asarray(self._blob[start : start + length])
        picture = cv2.imdecode(code, cv2.IMREAD_UNCHANGED) if length else None
        if picture is None:
            raise SourceError(f"{self.file}: no {name} {place} of clip {clip}. Delete it and render it anew.")
        return np.asarray(picture, np.uint8)


_DTYPES = {"U8": "u1", "I64": "<i8", "F32": "<f4"}


def _tensor(data: Array, entry: Mapping[str, Any]) -> Array:
    start, end = entry["data_offsets"]
    if end > len(data):
        raise ValueError(f"{len(data)} bytes of {end}")
    return np.asarray(data[start:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"]))


@lru_cache(maxsize=2048)
def open_shard(file: Path) -> Shard:
    """A shard, mapped once a process."""
    return Shard(file)


def read_facts(folder: Path) -> dict[str, Any]:
    """corpus.json. Raises SourceError if it is missing or has another format."""
    try:
        facts: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise SourceError(
            f"{folder} is no corpus ({cause}). "
            f"Make one: python -m export.training.corpus {folder} --clips 1024"
        ) from cause
    if facts.get("format") != FORMAT:
        raise SourceError(
            f"{folder} has the format {facts.get('format')}; this edgebs reads {FORMAT}. Render it anew."
        )
    return facts


def shards_in(folder: Path) -> list[Path]:
    """The shards that are there, by number."""
    return sorted(folder.glob("shard-*.safetensors"))
