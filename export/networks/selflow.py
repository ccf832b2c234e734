"""SelFlow, the three-frame optical flow network that HOFAM takes its cue from.

Liu et al., CVPR 2019, and the authors' code, as written down in docs/networks.md section 3.
`SelFlow.forward` is the plain network; export/networks/graphs.py composes its parts for HOP without the
passes that HOP does not need.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgebs.errors import ExportError
from export.networks import Conv2dSame, static_shape, static_size

SIDE_MULTIPLE = 64
SLOPE = 0.2
WARPS = ("published", "grid_sample")
FEATURE_CHANNELS = (16, 32, 64, 96, 128, 192)
"""Of levels 1 to 6; level i has 1 / 2**i of the size."""
ESTIMATOR_CHANNELS = (128, 128, 96, 64, 32)
CONTEXT_CHANNELS = (128, 128, 128, 96, 64, 32)
CONTEXT_DILATIONS = (1, 2, 4, 8, 16, 1)
TOP, BOTTOM = 6, 2
"""Flow is estimated from level 6 down to level 2."""
RADIUS = 4
SPAN = 2 * RADIUS + 1
COSTS = SPAN**2
ROW_BLOCK = 16
"""Pixels of a row in one matrix product: 16 and 32 measured alike, whole rows and 8 slower."""


def check_size(size: tuple[int, int]) -> None:
    """Raise ExportError unless both sides of `size` (height, width) suit SelFlow."""
    if any(side < SIDE_MULTIPLE or side % SIDE_MULTIPLE for side in size):
        raise ExportError(
            f"SelFlow cannot take frames of {size[1]}x{size[0]} (width x height): it halves them six times. "
            f"Use multiples of {SIDE_MULTIPLE}, such as 256x256 or 320x256."
        )


def activated(x: Tensor) -> Tensor:
    """LeakyReLU with SelFlow's slope."""
    return functional.leaky_relu(x, SLOPE)


def conv3(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation)


class Features(nn.Module):  # type: ignore[misc, unused-ignore]
    """The pyramid of one image."""

    def __init__(self) -> None:
        """Two convolutions for each of six levels."""
        super().__init__()
        channels = (3, *FEATURE_CHANNELS)
        self.halve = nn.ModuleList(Conv2dSame(before, after, 3) for before, after in pairwise(channels))
        self.refine = nn.ModuleList(conv3(count, count) for count in FEATURE_CHANNELS)

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """image: (N, 3, H, W) RGB in [0, 1]. Returns the features of levels 2 to 6, by level."""
        levels: dict[int, Tensor] = {}
        x = image
        for level, (halve, refine) in enumerate(zip(self.halve, self.refine, strict=True), start=1):
            x = activated(refine(activated(halve(x))))
            levels[level] = x
        del levels[1]
        return levels


class Estimator(nn.Module):  # type: ignore[misc, unused-ignore]
    """Costs, features and flows of one level to features of 32 channels and a new flow."""

    def __init__(self, level: int) -> None:
        """level: 2 to 6."""
        super().__init__()
        channels = (2 * COSTS + FEATURE_CHANNELS[level - 1] + 4, *ESTIMATOR_CHANNELS)
        self.convs = nn.ModuleList(conv3(a, b) for a, b in pairwise(channels))
        self.flow = conv3(channels[-1], 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, 2 * 81 + C + 4, H, W). Returns features (N, 32, H, W) and flow (N, 2, H, W)."""
        return self._after_first(self.convs[0](x))

    def both_ways(self, now: Tensor, alike: Tensor, unlike: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` gives for the forward, then the backward inputs; the first layer does half the work.

        That layer is linear, and the directions only exchange roles. So it sees sum and difference once: the
        forward result is one plus the other, the backward result one minus the other.
        now: features of the current frame, (N or 1, C, H, W); alike, unlike: sum and difference of both
        directions' costs and flows, (N, 81 + 2, H, W). Returns (2 * N, ...) of what `forward` does.
        """
        first = self.convs[0]
        sizes = [COSTS, COSTS, first.in_channels - 2 * COSTS - 4, 2, 2]
        own, other, features, flow, opposite = first.weight.split(sizes, dim=1)
        even = torch.cat([own + other, flow - opposite], dim=1) / 2
        odd = torch.cat([own - other, flow + opposite], dim=1) / 2
        common = functional.conv2d(now, features, first.bias, padding=1)
        common = functional.conv2d(alike, even, padding=1) + common
        change = functional.conv2d(unlike, odd, padding=1)
        return self._after_first(torch.cat([common + change, common - change]))

    def _after_first(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = activated(x)
        for conv in self.convs[1:]:
            x = activated(conv(x))
        return x, self.flow(x)


class Context(nn.Module):  # type: ignore[misc, unused-ignore]
    """Dilated convolutions that turn the flow of level 2 into the final one."""

    def __init__(self) -> None:
        """Input: 32 channels of either direction and both flows."""
        super().__init__()
        channels = (2 * ESTIMATOR_CHANNELS[-1] + 4, *CONTEXT_CHANNELS)
        self.convs = nn.ModuleList(
            conv3(a, b, dilation)
            for a, b, dilation in zip(channels, channels[1:], CONTEXT_DILATIONS, strict=False)
        )
        self.flow = conv3(channels[-1], 2)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 68, H, W). Returns the flow (N, 2, H, W); it replaces the input's, it is not added to it."""
        for conv in self.convs:
            x = activated(conv(x))
        return self.flow(x)


class SelFlow(nn.Module):  # type: ignore[misc, unused-ignore]
    """Flow from the middle one of three frames to the later and to the earlier one."""

    def __init__(self, warp: str = "grid_sample") -> None:
        """warp: "published" reproduces the authors' code; "grid_sample" is one node in an engine, and differs
        from it only where the flow points outside the image.
        """
        super().__init__()
        if warp not in WARPS:
            raise ValueError(f"unknown warp '{warp}'; known: {', '.join(WARPS)}")
        self.warp = warp
        self.features = Features()
        self.estimators = nn.ModuleDict(
            {str(level): Estimator(level) for level in range(TOP, BOTTOM - 1, -1)}
        )
        self.context = Context()

    def forward(self, x0: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
        """x0, x1, x2: earlier, current and later frame, (N, 3, H, W) RGB in [0, 1].

        Returns the flows x1 -> x2 and x1 -> x0, (N, 2, H, W), x first, in pixels.
        Raises ExportError unless H and W are multiples of 64.
        """
        size = static_size(x1)
        check_size(size)
        before, here, after = self.features(x0), self.features(x1), self.features(x2)
        forward = backward = torch.zeros(static_shape(x1)[0], 2, *static_size(here[TOP]), device=x1.device)
        for level in range(TOP, BOTTOM - 1, -1):
            now = here[level]
            forward, backward = (resize_flow(flow, static_size(now)) for flow in (forward, backward))
            cost_fw = cost_volume(now, warp(after[level], forward, self.warp))
            cost_bw = cost_volume(now, warp(before[level], backward, self.warp))
            estimate = self.estimators[str(level)]
            input_fw = torch.cat([cost_fw, cost_bw, now, forward, -backward], dim=1)
            input_bw = torch.cat([cost_bw, cost_fw, now, backward, -forward], dim=1)
            (seen_fw, forward), (seen_bw, backward) = estimate(input_fw), estimate(input_bw)
        refined_fw = self.context(torch.cat([seen_fw, seen_bw, forward, -backward], dim=1))
        refined_bw = self.context(torch.cat([seen_bw, seen_fw, backward, -forward], dim=1))
        return resize_flow(refined_fw, size), resize_flow(refined_bw, size)


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """flow (N, 2, h, w) at another `size` (height, width): bilinear, corners aligned, values scaled."""
    height, width = static_size(flow)
    if (height, width) == size:
        return flow
    scale = _x_and_y(size[1] / width, size[0] / height)
    # Scaling the small map costs less, and is the same: the resize is linear.
    return functional.interpolate(flow * scale, size=size, mode="bilinear", align_corners=True)


def warp(features: Tensor, flow: Tensor, kind: str) -> Tensor:
    """features (N, C, H, W) read at each pixel plus `flow` (N, 2, H, W), in px. kind: one of `WARPS`."""
    return _published_warp(features, flow) if kind == "published" else _grid_sample_warp(features, flow)


def _x_and_y(x: float, y: float) -> Tensor:
    """(1, 2, 1, 1); torch.tensor would warn while it is traced."""
    return torch.stack([torch.full((1, 1, 1), x), torch.full((1, 1, 1), y)], dim=1)


def _pixel_grid(height: int, width: int) -> Tensor:
    """(1, 2, H, W) float32: x, then y, of each pixel."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y]).float()[None]


def _grid_sample_warp(features: Tensor, flow: Tensor) -> Tensor:
    height, width = static_size(features)
    grid = _pixel_grid(height, width)
    to_unit = _x_and_y(2 / max(width - 1, 1), 2 / max(height - 1, 1))
    # One multiplication and one addition with constants, in float32 whatever the features are.
    position = flow.float() * to_unit + (grid * to_unit - 1)
    return functional.grid_sample(
        features, position.permute(0, 2, 3, 1), mode="bilinear", padding_mode="border", align_corners=True
    )


def _published_warp(features: Tensor, flow: Tensor) -> Tensor:
    """The authors' warp: corners truncated toward zero, then clipped; weights from the clipped corners.

    Inside the image this is bilinear. Two clipped corners that coincide cancel each other: far outside, and
    on the last row and column at zero flow, the result is zero.
    """
    height, width = static_size(features)
    x, y = (flow + _pixel_grid(height, width)).unbind(1)  # (N, H, W) each
    left, top = x.int().float(), y.int().float()  # toward zero
    left, right = left.clamp(0, width - 1), (left + 1).clamp(0, width - 1)
    top, bottom = top.clamp(0, height - 1), (top + 1).clamp(0, height - 1)
    flat = features.flatten(2)  # (N, C, H * W)

    def read(row: Tensor, column: Tensor) -> Tensor:
        index = (row * width + column).long().flatten(1)[:, None].expand(-1, flat.shape[1], -1)
        return flat.gather(2, index).reshape(features.shape)

    # Across, then down: coinciding corners then cancel to exactly zero, which unit_length would magnify.
    to_right, to_left = (x - left)[:, None], (right - x)[:, None]
    above = to_left * read(top, left) + to_right * read(top, right)
    below = to_left * read(bottom, left) + to_right * read(bottom, right)
    return (bottom - y)[:, None] * above + (y - top)[:, None] * below


def unit_length(features: Tensor) -> Tensor:
    """features (N, C, H, W) divided by their length over C; zero stays zero (TensorFlow's epsilon)."""
    return features * torch.rsqrt((features * features).sum(dim=1, keepdim=True).clamp_min(1e-12))


def cost_volume(here: Tensor, there: Tensor) -> Tensor:
    """Cosine of each pixel of `here` with the 9x9 neighbours in `there`, both (N, C, H, W).

    Returns (N, 81, H, W), row-major in (dy, dx); outside the image is zero.
    """
    return correlate(unit_length(here), unit_length(there))


def correlate(here: Tensor, there: Tensor, radius: int = RADIUS) -> Tensor:
    """As `cost_volume`, of features taken as they are. `here` may be one sample for all of `there`.

    Slices, one product, one sum: no engine lacks a node of it.
    """
    span = 2 * radius + 1
    count, channels, height, width = static_shape(there)
    padded = functional.pad(there, (radius, radius, radius, radius))
    across = torch.cat([padded[..., x : x + width] for x in range(span)], dim=1)  # (N, 9 C, H + 8, W)
    shifted = torch.cat([across[:, :, y : y + height] for y in range(span)], dim=1)
    return (here[:, None] * shifted.reshape(count, span**2, channels, height, width)).sum(dim=2)


def correlate_by_rows(here: Tensor, there: Tensor, radius: int = RADIUS) -> Tensor:
    """Equal to `correlate`, by matrix products; on CPUs several times as fast.

    A row of `here` is cut into blocks. One product of a block of B pixels with the B + 8 pixels around it in
    a row of `there` holds the costs of nine neighbours on its diagonals. Padded to B + 9 by B + 8 and read as
    B + 8 by B + 9, the diagonals stand upright and are cut out.
    """
    span = 2 * radius + 1
    count, channels, height, width = static_shape(there)
    block = width if width <= ROW_BLOCK else math.gcd(width, ROW_BLOCK)
    blocks, around = width // block, block + 2 * radius
    left = here.permute(0, 2, 3, 1).reshape(-1, height, blocks, block, channels)
    left = functional.pad(left, (0, 0, 0, around + 1 - block))
    padded = functional.pad(there, (radius, radius, radius, radius))
    padded = padded.permute(0, 2, 1, 3)  # (N, H + 8, C, W + 8)
    right = torch.stack([padded[..., x : x + around] for x in range(0, width, block)], dim=2)
    costs = []
    for row in range(span):
        products = torch.matmul(left, right[:, row : row + height])  # (N, H, blocks, B + 9, B + 8)
        upright = products.reshape(count, height, blocks, around, around + 1)
        costs.append(upright[:, :, :, :block, :span].reshape(count, height, width, span))
    return torch.cat(costs, dim=3).permute(0, 3, 1, 2)
