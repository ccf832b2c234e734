"""The shipped model's network: CrossNet's idea (two encoders, CmDFF decoder), small and made for engines.

3x3 kernels, ReLU, batch norms that each follow a convolution and fold into it, channel counts that suit INT8.
The widest maps have half the frame's size; the head computes the four pixels of each 2x2 cell as channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgebs.errors import ExportError
from export.networks import ConvUnit, FoldableNet, fold, planes

WIDTHS = (32, 48, 64, 80, 96, 96)
DIFFERENCE_RANGE = 64.0
"""Grey levels between frame and background that saturate."""
SPREAD_RANGE = 64.0
CUE_EXTRAS = 11
"""Channels of the cue encoder beside the flow: difference (3), background (3), spread, age, and the
difference from the older background (3)."""


def check_edge_size(size: tuple[int, int], stages: int = len(WIDTHS)) -> None:
    """Raise ExportError unless both sides of `size` (height, width) can be halved `stages` times."""
    multiple = 2**stages
    if any(side < multiple or side % multiple for side in size):
        raise ExportError(
            f"edge cannot take frames of {size[1]}x{size[0]} (width x height): it halves them {stages} "
            f"times. Use multiples of {multiple}, such as 256x256 or 320x256."
        )


class EdgeEncoder(nn.Module):  # type: ignore[misc, unused-ignore]
    """Halves its input once a stage and returns the map of every stage, largest first."""

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        """widths: channels of each stage."""
        super().__init__()
        channels = [in_channels, *widths]
        self.stages = nn.ModuleList(
            nn.Sequential(ConvUnit(before, after, stride=2), ConvUnit(after, after))
            for before, after in pairwise(channels)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """x: (N, C, H, W), about [-1, 1]."""
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage(maps[-1] if maps else x))
        return maps


class EdgeBlock(nn.Module):  # type: ignore[misc, unused-ignore]
    """CmDFF: the encoders' fused features, weighted by the decoder's, beside the decoder's own.

    The convolution in front of the doubling works on the small map, a quarter of the cost of one behind it.
    """

    def __init__(self, in_channels: int, skip_channels: int, channels: int) -> None:
        """Channels of the block before, of both encoders' maps together, and of each half of the result."""
        super().__init__()
        self.reduce = ConvUnit(in_channels, channels)
        self.fuse = ConvUnit(skip_channels, channels)
        self.attend = ConvUnit(channels, channels, linear=True)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """x: (N, C, H, W); skip: (N, S, 2H, 2W). Returns (N, 2 * channels, 2H, 2W)."""
        up = functional.interpolate(self.reduce(x), scale_factor=2.0, mode="nearest")
        return torch.cat([up, torch.sigmoid(self.attend(up)) * self.fuse(skip)], dim=1)


class EdgeNet(FoldableNet):  # type: ignore[misc, unused-ignore]
    """Frame, flow magnitudes and background to the logit of foreground."""

    def __init__(self, widths: Sequence[int] = WIDTHS, intervals: int = 3, *, folded: bool = False) -> None:
        """widths: channels of each stage; intervals: flow magnitudes in the cue.

        folded: without batch norms, as `fold` leaves it: the form in which the weights are shipped.
        """
        super().__init__()
        if len(widths) < 2 or min(widths) < 1 or intervals < 1:
            raise ValueError(f"EdgeNet needs two widths and one interval, got {tuple(widths)}, {intervals}")
        self.widths, self.intervals = tuple(widths), intervals
        self.frame_encoder = EdgeEncoder(3, widths)
        self.cue_encoder = EdgeEncoder(intervals + CUE_EXTRAS, widths)
        self.bottleneck = ConvUnit(2 * widths[-1], widths[-1])
        befores = [widths[-1], *(2 * width for width in reversed(widths[1:-1]))]
        self.blocks = nn.ModuleList(
            EdgeBlock(before, 2 * width, width)
            for before, width in zip(befores, reversed(widths[:-1]), strict=True)
        )
        self.head = nn.Conv2d(2 * widths[0], 4, 3, padding=1)
        if folded:
            self.drop_norms()

    def forward(self, frame: Tensor, cue: Tensor) -> Tensor:
        """frame: (N, 3, H, W); cue: (N, intervals + 11, H, W); both about [-1, 1]. Returns (N, 1, H, W)."""
        if not torch.jit.is_tracing():
            check_edge_size((frame.shape[2], frame.shape[3]), len(self.widths))
        pairs = zip(self.frame_encoder(frame), self.cue_encoder(cue), strict=True)
        skips = [torch.cat(pair, dim=1) for pair in pairs]
        x = self.bottleneck(skips[-1])
        for block, skip in zip(self.blocks, reversed(skips[:-1]), strict=True):
            x = block(x, skip)
        return functional.pixel_shuffle(self.head(x), 2)


class EdgeGraph(nn.Module):  # type: ignore[misc, unused-ignore]
    """EdgeNet from a camera's frame and the cue of edgebs.cues.hop_background to the probability."""

    def __init__(self, network: EdgeNet, max_magnitude: float) -> None:
        """max_magnitude: pixels of flow that map to the largest value; larger ones are clipped."""
        super().__init__()
        if not max_magnitude > 0:
            raise ValueError(f"max_magnitude must be above 0 px, got {max_magnitude}")
        self.network = network
        self.max_magnitude = float(max_magnitude)

    def logit(self, frame: Tensor, cue: Tensor) -> Tensor:
        """frame: (N, H, W, 3) uint8 BGR; cue: (N, K + 8, H, W) float32, see HopBackground.

        Returns the logit (N, 1, H, W).
        """
        image = planes(frame)
        hops = self.network.intervals
        # The root spreads the small magnitudes, where noise and slow walkers part, over INT8's levels.
        motion = (cue[:, :hops] * (1 / self.max_magnitude)).clamp(0.0, 1.0).sqrt() * 2 - 1
        background = cue[:, hops : hops + 3]
        difference = _difference(image, background)
        spread = (cue[:, hops + 3 : hops + 4] * (1 / SPREAD_RANGE)).clamp(max=1.0) * 2 - 1
        age = cue[:, hops + 4 : hops + 5] * (2 / 255) - 1
        older = _difference(image, cue[:, hops + 5 :])
        seen = [motion, difference, background * (2 / 255) - 1, spread, age, older]
        return self.network(image * (2 / 255) - 1, torch.cat(seen, dim=1))

    def forward(self, frame: Tensor, cue: Tensor) -> Tensor:
        """As `logit`; returns the probability (N, H, W) float32."""
        return torch.sigmoid(self.logit(frame, cue))[:, 0]

    def description(self) -> dict[str, Any]:
        return {
            "network": "edge",
            "widths": list(self.network.widths),
            "intervals": self.network.intervals,
            "max_magnitude": self.max_magnitude,
            "folded": self.network.folded,
        }

    def deployed(self, size: tuple[int, int] | None, *, for_tensorrt: bool) -> EdgeGraph:  # noqa: ARG002
        return EdgeGraph(fold(self.network), self.max_magnitude)


def _difference(image: Tensor, background: Tensor) -> Tensor:
    return ((image - background) * (1 / DIFFERENCE_RANGE)).clamp(-1.0, 1.0)
