"""A flow network of our own: two frames, three levels, small enough to run three times a frame.

One encoder for all frames, a cost volume at 1/16 of the size, then warp, local costs and correction at 1/8
and 1/4. 3x3 convolutions, ReLU and batch norms that fold; nothing that an engine has not got. Trained on the
exact flow of rendered scenes: docs/models/flow.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgebs.errors import ExportError
from edgebs.tensors import TensorSpec
from export.networks import ConvUnit, FoldableNet, fold, planes, static_shape, static_size
from export.networks.selflow import correlate, correlate_by_rows, unit_length, warp

WIDTHS = (16, 32, 64, 64)
"""Channels at 1/2, 1/4, 1/8 and 1/16 of the size."""
RADII = (4, 3, 3)
"""Cells searched each way at 1/16, 1/8 and 1/4: 64, 24 and 12 pixels."""
ESTIMATORS = ((64, 64, 32), (64, 48, 32), (48, 32, 32))
"""Channels of the convolutions of each level, coarse to fine."""
FINEST = 4
"""Pixels of a cell of the finest level."""
SIDE_MULTIPLE = 16
COST_SCALE = 4.0
"""Cosines times this are about as large as the features beside them: INT8 has one scale for both."""
SHARPNESS = 20.0
"""What cosines are multiplied by in the softmax of a match, before it is learnt."""
OUTPUTS = ("magnitude", "flow")


def check_flow_size(size: tuple[int, int]) -> None:
    """Raise ExportError unless both sides of `size` (height, width) can be halved four times."""
    if any(side < SIDE_MULTIPLE or side % SIDE_MULTIPLE for side in size):
        raise ExportError(
            f"the flow network cannot take frames of {size[1]}x{size[0]} (width x height): it halves them "
            f"four times. Use multiples of {SIDE_MULTIPLE}, such as 256x256 or 320x240."
        )


class FlowEstimator(nn.Module):  # type: ignore[misc, unused-ignore]
    """Costs, features and what the coarser level saw to features and a change of the flow."""

    def __init__(self, in_channels: int, channels: Sequence[int]) -> None:
        """channels: of each convolution."""
        super().__init__()
        self.convs = nn.Sequential(
            *(ConvUnit(before, after) for before, after in pairwise((in_channels, *channels)))
        )
        self.flow = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def forward(self, x: Tensor, matched: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, C, H, W); matched: (N, 2, H, W), where the costs alone point.

        Returns features (N, channels[-1], H, W) and a flow (N, 2, H, W), in cells: `matched` as far as it is
        trusted, and a correction.
        """
        seen = self.convs(x)
        said = self.flow(seen).float()
        return seen, torch.sigmoid(said[:, :1]) * matched + said[:, 1:]


class FlowNet(FoldableNet):  # type: ignore[misc, unused-ignore]
    """Flow from one frame to another: `pyramid` of each, then `flows` between any two of them."""

    def __init__(self, widths: Sequence[int] = WIDTHS, *, folded: bool = False) -> None:
        """widths: channels of the encoder's four maps. folded: without batch norms, see `fold`."""
        super().__init__()
        if len(widths) != len(WIDTHS) or min(widths) < 1:
            raise ValueError(f"FlowNet needs {len(WIDTHS)} widths of at least 1, got {tuple(widths)}")
        self.widths = tuple(widths)
        self.stem = ConvUnit(3, widths[0], stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvUnit(before, after, stride=2), ConvUnit(after, after, linear=True))
            for before, after in pairwise(widths)
        )
        levels = zip(RADII, reversed(widths[1:]), (0, *(e[-1] for e in ESTIMATORS)), ESTIMATORS, strict=False)
        self.estimators = nn.ModuleList(
            FlowEstimator((2 * radius + 1) ** 2 + width + seen, channels)
            for radius, width, seen, channels in levels
        )
        self.sharpness = nn.Parameter(torch.full((len(RADII),), math.log(SHARPNESS)))
        if folded:
            self.drop_norms()

    def pyramid(self, image: Tensor) -> list[Tensor]:
        """image: (N, 3, H, W) BGR in [-1, 1]. Returns its features at 1/16, 1/8 and 1/4."""
        if not torch.jit.is_tracing():
            check_flow_size((image.shape[2], image.shape[3]))
        x = self.stem(image)
        maps: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
            x = functional.relu(x)
        return maps[::-1]

    def flows(self, now: Sequence[Tensor], past: Sequence[Tensor], *, by_rows: bool = True) -> list[Tensor]:
        """Flow from `now` to `past` (pyramids of as many samples) at 1/16, 1/8 and 1/4, in cells of each.

        by_rows: how the costs are computed, not what they are: matrix products, or slices and one sum.
        """
        flows: list[Tensor] = []
        seen: Tensor | None = None
        search = correlate_by_rows if by_rows else correlate
        for level, (here, there, radius) in enumerate(zip(now, past, RADII, strict=True)):
            known = [functional.relu(here)]
            if seen is None:
                flow = torch.zeros(())
            else:
                flow = 2 * _enlarged(flows[-1], 2)
                known.append(_enlarged(seen, 2))
                there = warp(there, flow, "grid_sample")
            costs = search(unit_length(here), unit_length(there), radius)
            matched = match(costs.float() * self.sharpness[level].exp(), radius)
            seen, change = self.estimators[level](torch.cat([costs * COST_SCALE, *known], dim=1), matched)
            flows.append(flow + change)
        return flows


class FlowGraph(nn.Module):  # type: ignore[misc, unused-ignore]
    """Flow from a camera's frame to each of several past ones; every frame is encoded once."""

    def __init__(
        self,
        network: FlowNet,
        intervals: Sequence[int] = (1, 5, 10),
        *,
        output: str = "magnitude",
        by_rows: bool = True,
    ) -> None:
        """intervals: frames back to each past. output: one of `OUTPUTS`. by_rows: see `FlowNet.flows`."""
        super().__init__()
        if not intervals or any(tau < 1 for tau in intervals):
            raise ValueError(f"intervals must be frame counts of at least 1, got {list(intervals)}")
        if output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, got '{output}'")
        self.network = network
        self.intervals = tuple(intervals)
        self.output = output
        self.by_rows = by_rows

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the arguments of `forward`, in order."""
        return ("frame", *(f"past_{tau}" for tau in self.intervals))

    def inputs(self, size: tuple[int, int]) -> dict[str, TensorSpec]:
        return dict.fromkeys(self.input_names, TensorSpec((1, *size, 3), "uint8"))

    def description(self) -> dict[str, Any]:
        return {
            "network": "flow-net",
            "widths": list(self.network.widths),
            "intervals": list(self.intervals),
            "output": self.output,
            "folded": self.network.folded,
        }

    def deployed(self, size: tuple[int, int] | None, *, for_tensorrt: bool) -> FlowGraph:  # noqa: ARG002
        return FlowGraph(fold(self.network), self.intervals, output=self.output, by_rows=not for_tensorrt)

    def levels(self, *frames: Tensor) -> list[Tensor]:
        """As `forward`, the flow of each level, coarse to fine, each (intervals * N, 2, H, W) in pixels."""
        if len(frames) != 1 + len(self.intervals):
            raise ValueError(
                f"expected {1 + len(self.intervals)} frames, {self.input_names}, got {len(frames)}"
            )
        count = static_shape(frames[0])[0]
        # TensorRT casts uint8, and does nothing else with it.
        images = torch.cat([planes(frame) for frame in frames]) * (2 / 255) - 1
        maps = self.network.pyramid(images)
        now = [features[:count].repeat(len(self.intervals), 1, 1, 1) for features in maps]
        past = [features[count:] for features in maps]
        flows = self.network.flows(now, past, by_rows=self.by_rows)
        cells = [FINEST << level for level in reversed(range(len(flows)))]
        return [_enlarged(flow * cell, cell) for flow, cell in zip(flows, cells, strict=True)]

    def forward(self, *frames: Tensor) -> Tensor:
        """frames: as `input_names`, each (N, H, W, 3) uint8 BGR.

        Returns px over each interval: |flow| (N, K, H, W), or flow (N, 2 K, H, W), x before y; float32.
        """
        count, size = static_shape(frames[0])[0], static_shape(frames[0])[1:3]
        result = self.levels(*frames)[-1]
        if self.output == "magnitude":
            result = (result * result).sum(dim=1, keepdim=True).sqrt()
        gaps, channels = len(self.intervals), static_shape(result)[1]  # (gaps * N, 1 or 2, H, W)
        if gaps == 1:
            return result  # a Reshape that changes nothing would take the output's name away in OpenVINO
        return result.reshape(gaps, count, channels, *size).transpose(0, 1).reshape(count, -1, *size)


def match(scores: Tensor, radius: int) -> Tensor:
    """(N, 2, H, W): the mean shift under the softmax of scores (N, (2 r + 1)^2, H, W), row-major in (dy, dx).

    Where all are alike, as on an empty wall, that is zero.
    """
    span = 2 * radius + 1
    shift = torch.arange(span * span, dtype=torch.float32)
    down = torch.div(shift, span, rounding_mode="floor")
    share = torch.softmax(scores, dim=1)
    each = [
        (share * (way - radius)[None, :, None, None]).sum(dim=1, keepdim=True)
        for way in (shift - span * down, down)
    ]
    return torch.cat(each, dim=1)


def _enlarged(x: Tensor, factor: int) -> Tensor:
    """(N, C, h, w) -> (N, C, factor * h, factor * w), bilinear."""
    height, width = static_size(x)
    size = (factor * height, factor * width)
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
