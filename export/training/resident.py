"""A corpus in the memory of a GPU: samples are drawn and changed there, and no step waits for a process.

Processes read the clips of a corpus, once each, while the corpus may still be growing; the training begins
with the first ones. What a clip looks like is changed as in corpus/samples.py, a whole batch at once, and
scenes are enlarged beside. The order of the samples depends on how fast clips come: such a training does not
repeat bit by bit.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edgebs.errors import ExportError
from edgebs.tensors import Array
from export.training.corpus import FACTS, FRAMES, SHARD_CLIPS, Shard, shards_in
from export.training.corpus.samples import (
    FADED,
    FARTHEST_PX,
    GREY,
    LEAK_CELLS,
    LEAKING,
    MISPLACED,
    RECOLOURED,
    RELIT,
    leak,
)

STATES = 3
"""States of the background that are kept of a clip: the newest of more."""
ENLARGED, LARGEST = 0.35, 1.7
"""Share of the draws that show a part of the scene, and how many times as large at most."""
FEWEST = 8
"""Clips with which a training begins."""
LUMA = (0.114, 0.587, 0.299)
"""Of B, G and R."""


@dataclass(frozen=True, slots=True)
class ClipArrays:
    """One clip, decoded: uint8 but for `facts`."""

    frames: Array
    """(FRAMES, 7, h, w): B, G, R, labels and three coded flows."""
    states: Array
    """(STATES, 7, h, w): median, older background and spread."""
    facts: Array
    """(FRAMES, len(FACTS)) float32; the state counts those that are kept."""


def decoded(shard: Shard, clip: int, *, holds: bool) -> ClipArrays:
    """A clip of a shard. holds: whether the background is the one that holds pixels."""
    facts = np.array(shard.facts[clip])
    planes = [
        np.dstack([shard.picture(clip, name, place) for name in ("frame", "labels", "flow")])
        for place in range(FRAMES)
    ]
    count = int(facts[:, 0].max()) + 1
    first = max(0, count - STATES)
    names = ("held" if holds else "plain", "older", "spread")
    states = [[shard.picture(clip, name, place) for name in names] for place in range(first, count)]
    kept = [np.dstack([m, o, s[..., 0 if holds else 1]]) for m, o, s in states]
    kept += [kept[-1]] * (STATES - len(kept))
    facts[:, 0] -= first
    chosen = facts[:, 0] >= 0
    if not chosen.all():
        # The clip's first frames saw a state that is not kept: later ones stand in their place.
        source = np.flatnonzero(chosen)
        fill = source[np.arange(FRAMES) % len(source)]
        planes, facts = [planes[place] for place in fill], facts[fill]
    stacked = np.stack(planes).transpose(0, 3, 1, 2), np.stack(kept).transpose(0, 3, 1, 2)
    return ClipArrays(np.ascontiguousarray(stacked[0]), np.ascontiguousarray(stacked[1]), facts)


def _read(
    folders: tuple[Path, ...], part: int, parts: int, holds: bool, slots: Any, free: Any, full: Any
) -> None:
    """In a process: decode every `parts`-th shard as it appears, clips into free slots."""
    import cv2

    cv2.setNumThreads(1)
    done: set[Path] = set()
    parent = multiprocessing.parent_process()
    while parent is None or parent.is_alive():
        there = [file for folder in folders for file in shards_in(folder)]
        new = [file for file in there if file not in done and int(file.stem[-5:]) % parts == part]
        for file in new:
            shard = Shard(file)
            for clip in range(len(shard)):
                arrays = decoded(shard, clip, holds=holds)
                while True:
                    try:
                        slot = free.get(timeout=1)
                        break
                    except Empty:
                        if parent is not None and not parent.is_alive():
                            return
                for target, array in zip(slots, (arrays.frames, arrays.states, arrays.facts), strict=True):
                    target[slot].numpy()[...] = array
                full.put(slot)
            done.add(file)
        time.sleep(0 if new else 1)


class ResidentCorpus:
    """Clips on a device; more come in while batches are drawn. A context manager."""

    def __init__(
        self,
        folders: tuple[Path, ...],
        device: Any,
        size: tuple[int, int],
        *,
        holds: bool,
        clips: int,
        workers: int,
    ) -> None:
        """clips: room, the oldest make way for more. workers: processes that decode."""
        self._device, self._clips, self.count, self.seen = device, clips, 0, 0
        shapes = ((FRAMES, 7, *size), (STATES, 7, *size), (FRAMES, len(FACTS)))
        types = (torch.uint8, torch.uint8, torch.float32)
        pairs = tuple(zip(shapes, types, strict=True))
        self._frames, self._states, self._facts = (
            torch.empty((clips, *shape), dtype=dtype, device=device) for shape, dtype in pairs
        )
        count = 4 * workers
        self._slots = tuple(
            torch.empty((count, *shape), dtype=dtype).share_memory_() for shape, dtype in pairs
        )
        context = torch.multiprocessing.get_context("spawn")
        self._free, self._full = context.Queue(), context.Queue()
        for slot in range(count):
            self._free.put(slot)
        self._processes = [
            context.Process(
                target=_read, daemon=True,
                args=(folders, part, workers, holds, self._slots, self._free, self._full),
            )
            for part in range(workers)
        ]  # fmt: skip
        for process in self._processes:
            process.start()

    def take_in(self, most: int) -> None:
        """Copy up to `most` decoded clips to the device. Raises ExportError where a process died."""
        for _ in range(most):
            try:
                slot = self._full.get(timeout=60) if self.count < FEWEST else self._full.get_nowait()
            except Empty:
                if not all(process.is_alive() for process in self._processes):
                    raise ExportError("a process that reads the corpus ended: use fewer --workers.") from None
                return
            place = self.seen % self._clips
            for target, source in zip((self._frames, self._states, self._facts), self._slots, strict=True):
                target[place].copy_(source[slot])
            self._free.put(slot)
            self.seen += 1
            self.count = min(self.seen, self._clips)

    @torch.no_grad()
    def batch(self, rng: np.random.Generator, count: int, max_magnitude: float) -> dict[str, Tensor]:
        """`frame` (N, h, w, 3) uint8, `cue` (N, 11, h, w) float32 and `labels` (N, h, w) uint8."""
        clip = torch.from_numpy(rng.integers(self.count, size=count)).to(self._device)
        place = torch.from_numpy(rng.integers(FRAMES, size=count)).to(self._device)
        facts = self._facts[clip, place]
        seen, state = self._frames[clip, place], self._states[clip, facts[:, 0].long()]
        return changed(seen, state, facts, Looks(rng, count, seen.shape[2:]), max_magnitude)

    def __enter__(self) -> ResidentCorpus:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.join()


class Looks:
    """Other cameras for a batch: the numbers behind `corpus.samples.Look`, one row a sample."""

    def __init__(self, rng: np.random.Generator, count: int, size: Any) -> None:
        """Choose everything. size: (h, w)."""
        height, width = size
        gain, lift = np.ones((count, 3)), np.zeros((count, 3))
        recoloured = rng.random(count) < RECOLOURED
        gain[recoloured] = (rng.uniform(0.5, 1.3, (count, 1)) * (1 + rng.uniform(-0.15, 0.15, (count, 3))))[
            recoloured
        ]
        lift[recoloured] = (rng.uniform(-25, 25, (count, 1)) + rng.uniform(-10, 10, (count, 3)))[recoloured]
        faded = rng.random(count) < FADED
        fade = np.exp(rng.uniform(math.log(0.3), math.log(0.7), (count, 1)))
        gain[faded] = np.repeat(fade, 3, 1)[faded]
        lift[faded] = np.repeat(rng.uniform(0, 1, (count, 1)) * 255 * (1 - fade), 3, 1)[faded]
        self.gain, self.lift = gain, lift
        self.noise = np.where(faded, rng.uniform(0.3, 1.5, count), 0.0)
        self.is_grey = rng.random(count) < GREY
        self.light = np.where(rng.random(count) < RELIT, rng.uniform(0.9, 1.1, count), 1.0)
        self.is_mirrored = rng.random(count) < 0.5
        off = rng.random(count) < MISPLACED
        far = np.where(off, np.minimum(rng.exponential(1.0, count), FARTHEST_PX), 0.0)
        angle = rng.uniform(0, 2 * math.pi, count)
        self.zoom = np.where(off, 1 + rng.normal(0, 0.006, count), 1.0)
        # Of the grid from -1 to 1.
        self.off = np.stack([far * np.cos(angle) * 2 / width, far * np.sin(angle) * 2 / height], 1)
        enlarged = rng.random(count) < ENLARGED
        scale = np.where(enlarged, np.exp(rng.uniform(0, math.log(LARGEST), count)), 1.0)
        aspect = np.where(enlarged, np.exp(rng.uniform(-0.15, 0.15, count)), 1.0)
        self.scale = np.maximum(np.stack([scale * aspect, scale / aspect], 1), 1.0)
        self.centre = rng.uniform(-1, 1, (count, 2)) * (1 - 1 / self.scale)
        self.magnified = scale
        self.leak = np.zeros((count, 3, LEAK_CELLS, LEAK_CELLS), np.float32)
        for sample in np.flatnonzero(rng.random(count) < LEAKING):
            self.leak[sample] = leak(rng)
        self.seed = int(rng.integers(2**31))


def changed(
    seen: Tensor, state: Tensor, facts: Tensor, looks: Looks, max_magnitude: float
) -> dict[str, Tensor]:
    """A batch through `looks`. seen, state: (N, 7, h, w) uint8, see `ClipArrays`; facts: (N, FACTS)."""
    device = seen.device
    height, width = seen.shape[2:]

    def on_device(array: Array, axes: int = 4) -> Tensor:
        tensor = torch.from_numpy(np.asarray(array, np.float32)).to(device)
        return tensor.reshape(*tensor.shape, *(1,) * (axes - tensor.ndim))

    gain, lift = on_device(looks.gain), on_device(looks.lift)
    grey = on_device(looks.is_grey)
    luma = torch.tensor(LUMA, device=device)[:, None, None]

    def coloured(picture: Tensor) -> Tensor:
        picture = (picture.float() * gain + lift).round_().clamp_(0, 255)
        return torch.lerp(picture, (picture * luma).sum(1, keepdim=True).round(), grey)

    generator = torch.Generator(device=device).manual_seed(looks.seed)
    frame = coloured(seen[:, :3])
    noise = torch.randn((len(seen), 1, height, width), generator=generator, device=device)
    frame = (frame + noise * on_device(looks.noise)).round_().clamp_(0, 255)
    spread = (state[:, 6:].float() * gain.mean(1, keepdim=True)).round_().clamp_(0, 255)
    past = torch.cat([coloured(state[:, :3]), coloured(state[:, 3:6]), spread], 1)

    scale, centre = on_device(looks.scale, 2), on_device(looks.centre, 2)
    shift = facts[:, 1:3] * torch.tensor([2 / width, 2 / height], device=device)
    zoom, off = on_device(looks.zoom, 2), on_device(looks.off, 2)
    part = _grid(1 / scale, centre, (height, width))
    # What the background lacks beside the camera's shift, the frame fills; the rest repeats its border.
    outside = ((part - shift[:, None, None]).abs() > 1).any(-1)[:, None] & (shift != 0).any(1)[
        :, None, None, None
    ]
    there = _grid(1 / (scale * zoom), (centre - shift - off) / zoom, (height, width))
    past = functional.grid_sample(past, there, padding_mode="border", align_corners=False)
    planes = torch.cat([frame, seen[:, 4:].float()], 1)
    planes = functional.grid_sample(planes, part, padding_mode="border", align_corners=False)
    labels = functional.grid_sample(seen[:, 3:4].float(), part, mode="nearest", align_corners=False)
    frame, code = planes[:, :3].round_(), planes[:, 3:]
    flow = (code * (1 / 255)).square_() * max_magnitude * on_device(looks.magnified)
    leaks = functional.interpolate(on_device(looks.leak), (height, width), mode="bicubic")
    flow = torch.maximum(flow, leaks)
    light = on_device(looks.light)
    colours = (past[:, :6] * light).round_().clamp_(0, 255)
    colours = torch.where(outside, frame.repeat(1, 2, 1, 1), colours)
    age = facts[:, 3, None, None, None].expand(-1, 1, height, width)
    cue = torch.cat([flow, colours[:, :3], past[:, 6:].round(), age, colours[:, 3:]], 1)
    mirrored = on_device(looks.is_mirrored) > 0
    frame, cue, labels = (torch.where(mirrored, x.flip(3), x) for x in (frame, cue, labels))
    return {
        "frame": frame.permute(0, 2, 3, 1).to(torch.uint8),
        "cue": cue,
        "labels": labels[:, 0].round_().to(torch.uint8),
    }


def _grid(scale: Tensor, centre: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, h, w, 2): where each pixel looks, for grid_sample. scale: (N, 1 or 2); centre: (N, 2)."""
    y, x = (
        (torch.arange(side, device=centre.device, dtype=torch.float32) + 0.5) * (2 / side) - 1
        for side in size
    )
    base = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    return base * scale[:, None, None] + centre[:, None, None]


def resident_batches(
    corpus: ResidentCorpus, seed: int, batch: int, start_step: int, max_magnitude: float
) -> Iterator[dict[str, Tensor]]:
    """Endless batches of what is there. Closing ends the processes."""
    step = start_step
    with corpus:
        while True:
            corpus.take_in(SHARD_CLIPS)
            yield corpus.batch(np.random.default_rng((seed, step, 0x6B0)), batch, max_magnitude)
            step += 1
