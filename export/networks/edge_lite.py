"""The smaller models' network: one encoder, a decoder that adds, and a head that computes cells of pixels.

What makes it fast on a CPU: the inputs lie in [0, 1], so that the first convolution may be INT8 without a
sign bit; additions fuse into the convolution in front of them, where a concatenation copies; channels are
multiples of 16; and with cells of 4x4 nothing is decoded above a quarter of the frame's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks import ConvUnit, FoldableNet, fold, planes
from export.networks.edge import DIFFERENCE_RANGE, SPREAD_RANGE, check_edge_size

LITE_EXTRAS = 8
"""Planes beside frame and flow: difference (3), spread, age, and the difference from the older background
(3). The background itself is the frame without the difference."""
CELLS = (2, 4)
FORMS: dict[str, dict[str, Any]] = {
    "edge": {"widths": (32, 64, 96, 128, 128, 112), "cell": 2},
    "edge-small": {"widths": (16, 48, 64, 80, 80, 80), "cell": 2},
    "edge-nano": {"widths": (16, 32, 48, 64, 64, 64), "cell": 4},
}
"""By model: channels of each stage, and the side of the head's cells."""


class LiteBlock(nn.Module):  # type: ignore[misc, unused-ignore]
    """Doubles the decoder's map and adds the encoder's of that size."""

    def __init__(self, before: int, after: int, *, refined: bool) -> None:
        """before, after: channels of the small and the large map. refined: with a convolution on the sum."""
        super().__init__()
        self.reduce = ConvUnit(before, after, linear=True)
        self.fuse = ConvUnit(after, after, linear=True)
        self.refine = ConvUnit(after, after) if refined else nn.Identity()

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """x: (N, before, H, W); skip: (N, after, 2H, 2W). Returns the size of skip."""
        up = functional.interpolate(self.reduce(x), scale_factor=2.0, mode="nearest")
        refined: Tensor = self.refine(functional.relu(self.fuse(skip) + up))
        return refined


class LiteNet(FoldableNet):  # type: ignore[misc, unused-ignore]
    """Planes of frame and cue to the logit of foreground."""

    def __init__(self, widths: Sequence[int], cell: int, intervals: int = 3, *, folded: bool = False) -> None:
        """widths: channels of each stage, each half the size of the one before.

        cell: the head computes cells of so many pixels squared, 2 or 4. intervals: flows in the cue.
        """
        super().__init__()
        if len(widths) < 3 or min(widths) < 1 or intervals < 1 or cell not in CELLS:
            raise ValueError(
                f"LiteNet needs three widths, an interval and cells of 2 or 4, got {tuple(widths)}, "
                f"{intervals}, {cell}"
            )
        self.widths, self.cell, self.intervals = tuple(widths), cell, intervals
        self.stem = ConvUnit(3 + intervals + LITE_EXTRAS, widths[0], 2)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvUnit(before, after, 2), ConvUnit(after, after))
            for before, after in pairwise(widths)
        )
        coarsest = 0 if cell == 2 else 1
        self.blocks = nn.ModuleList(
            LiteBlock(widths[level + 1], widths[level], refined=cell == 2 or level > coarsest)
            for level in reversed(range(coarsest, len(widths) - 1))
        )
        # Cells of 4x4 see the largest map too, or their pixels could not be told apart.
        self.detail = ConvUnit(widths[0], widths[1], 2, linear=True) if cell == 4 else None
        self.head = nn.Conv2d(widths[coarsest], cell * cell, 3, padding=1)
        if folded:
            self.drop_norms()

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3 + intervals + 8, H, W) in [0, 1]. Returns (N, 1, H, W)."""
        if not torch.jit.is_tracing():
            check_edge_size((x.shape[2], x.shape[3]), len(self.widths))
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        y = maps[-1]
        for block, skip in zip(self.blocks, reversed(maps[:-1]), strict=False):
            y = block(y, skip)
        if self.detail is not None:
            y = functional.relu(self.detail(maps[0]) + y)
        return functional.pixel_shuffle(self.head(y), self.cell)


class LiteGraph(nn.Module):  # type: ignore[misc, unused-ignore]
    """LiteNet from a camera's frame and the cue of edgebs.cues.hop_background to the probability."""

    def __init__(self, name: str, network: LiteNet, max_magnitude: float) -> None:
        """name: one of `FORMS`. max_magnitude: pixels of flow that map to 1; larger ones are clipped."""
        super().__init__()
        if not max_magnitude > 0:
            raise ValueError(f"max_magnitude must be above 0 px, got {max_magnitude}")
        self.name, self.network, self.max_magnitude = name, network, float(max_magnitude)

    def logit(self, frame: Tensor, cue: Tensor) -> Tensor:
        """frame: (N, H, W, 3) uint8 BGR; cue: (N, K + 8, H, W) float32, see HopBackground.

        Returns the logit (N, 1, H, W).
        """
        image = planes(frame)
        hops = self.network.intervals
        motion = (cue[:, :hops] * (1 / self.max_magnitude)).clamp(0.0, 1.0).sqrt()
        difference = _share(image, cue[:, hops : hops + 3])
        spread, age = cue[:, hops + 3 : hops + 4], cue[:, hops + 4 : hops + 5]
        older = _share(image, cue[:, hops + 5 :])
        seen = [image * (1 / 255), motion, difference, spread * (1 / SPREAD_RANGE), age * (1 / 255), older]
        # The clip also tells INT8 that no value is negative: calib/int8/float32_nodes.py.
        logit: Tensor = self.network(torch.cat(seen, dim=1).clamp(0.0, 1.0))
        return logit

    def forward(self, frame: Tensor, cue: Tensor) -> Tensor:
        """As `logit`; returns the probability (N, H, W) float32."""
        return torch.sigmoid(self.logit(frame, cue))[:, 0]

    def description(self) -> dict[str, Any]:
        return {
            "network": self.name,
            "widths": list(self.network.widths),
            "cell": self.network.cell,
            "intervals": self.network.intervals,
            "max_magnitude": self.max_magnitude,
            "folded": self.network.folded,
        }

    def deployed(self, size: tuple[int, int] | None, *, for_tensorrt: bool) -> LiteGraph:  # noqa: ARG002
        return LiteGraph(self.name, fold(self.network), self.max_magnitude)


def _share(image: Tensor, background: Tensor) -> Tensor:
    """The difference, 0.5 where there is none."""
    return (image - background) * (0.5 / DIFFERENCE_RANGE) + 0.5
