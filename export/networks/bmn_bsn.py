"""BMN-BSN: two U-Nets, from reference frames to background maps, from those and a frame to foreground.

docs/networks.md, 4. The published form has no norms and 64 channels in its first block; the one that is
trained here has a batch norm behind each convolution, folded away at export, bounded maps, which share INT8's
levels better with the frame beside them, and as few channels as the options set.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from edgebs.errors import ExportError
from edgebs.tensors import TensorSpec
from export.networks import ConvUnit, FoldableNet, fold, planes, static_shape

WIDTH, DEPTH = 64, 4
REFERENCES, MAPS = 16, 12
COLOURS = 3


class UNetBlock(nn.Sequential):  # type: ignore[misc, unused-ignore]
    """Two convolutions."""

    def __init__(self, before: int, after: int) -> None:
        """before, after: channels."""
        super().__init__(ConvUnit(before, after), ConvUnit(after, after))


class UNet(FoldableNet):  # type: ignore[misc, unused-ignore]
    """Encoder and decoder of `depth` poolings, each map of the encoder beside its equal in the decoder."""

    def __init__(
        self, before: int, after: int, width: int = WIDTH, depth: int = DEPTH, *, folded: bool = True
    ) -> None:
        """before, after: channels in and out; width: of the first block, doubled at each pooling.

        folded: without batch norms: as published, or as `fold` leaves it.
        """
        super().__init__()
        if min(before, after, width, depth) < 1:
            raise ValueError(
                f"channels, width and depth must be at least 1: {before}, {after}, {width}, {depth}"
            )
        self.width, self.depth = width, depth
        widths = [width << level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(UNetBlock(*pair) for pair in pairwise((before, *widths)))
        self.pool = nn.MaxPool2d(2)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(below, here, 2, stride=2) for here, below in pairwise(widths)
        )
        self.decoder = nn.ModuleList(UNetBlock(2 * here, here) for here in widths[:-1])
        self.head = nn.Conv2d(width, after, 1)
        if folded:
            self.drop_norms()

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) -> (N, after, H, W). Raises ExportError unless both sides halve `depth` times."""
        if not torch.jit.is_tracing():
            _require_halves((x.shape[2], x.shape[3]), self.depth)
        maps = [self.encoder[0](x)]
        for block in self.encoder[1:]:
            maps.append(block(self.pool(maps[-1])))
        x = maps.pop()
        for level in reversed(range(self.depth)):
            x = self.decoder[level](torch.cat([maps[level], self.ups[level](x)], dim=1))
        result: Tensor = self.head(x)
        return result


class MapsGraph(nn.Module):  # type: ignore[misc, unused-ignore]
    """BMN: reference frames to background maps, the `cue` of a bundle."""

    def __init__(self, network: UNet, references: int, maps: int, *, bounded: bool = False) -> None:
        """network: of 3 * references channels to `maps`. bounded: the maps stay within [-1, 1]."""
        super().__init__()
        self.network = network
        self.references, self.maps, self.bounded = references, maps, bounded

    def of_planes(self, planes: Tensor) -> Tensor:
        """As `forward`, of (N, 3 * references, H, W), 0 to 255."""
        maps = self.network(planes.float() * (2 / 255) - 1)
        return torch.tanh(maps) if self.bounded else maps

    def forward(self, references: Tensor) -> Tensor:
        """references: (N, R, H, W, 3) uint8 BGR, in any order. Returns (N, maps, H, W) float32."""
        count, frames, height, width, colours = static_shape(references)
        stacked = references.float().permute(0, 1, 4, 2, 3)
        return self.of_planes(stacked.reshape(count, frames * colours, height, width))

    def inputs(self, size: tuple[int, int]) -> dict[str, TensorSpec]:
        return {"references": TensorSpec((1, self.references, *size, COLOURS), "uint8")}

    def description(self) -> dict[str, Any]:
        network = self.network
        return {
            "network": "bmn",
            "width": network.width,
            "depth": network.depth,
            "references": self.references,
            "maps": self.maps,
            "bounded": self.bounded,
            "folded": network.folded,
        }

    def deployed(self, size: tuple[int, int] | None, *, for_tensorrt: bool) -> MapsGraph:  # noqa: ARG002
        return MapsGraph(fold(self.network), self.references, self.maps, bounded=self.bounded)


class MapsSegmentGraph(nn.Module):  # type: ignore[misc, unused-ignore]
    """BSN: a frame and background maps to the probability of foreground."""

    def __init__(self, network: UNet, maps: int) -> None:
        """network: of 3 + maps channels to 2, background and foreground."""
        super().__init__()
        self.network = network
        self.maps = maps

    def logit(self, frame: Tensor, cue: Tensor) -> Tensor:
        """frame: (N, H, W, 3) uint8 BGR; cue: (N, maps, H, W) float32. Returns the logit (N, 1, H, W).

        A softmax over two channels is the sigmoid of their difference.
        """
        background, foreground = self.network(torch.cat([planes(frame) * (2 / 255) - 1, cue], dim=1)).chunk(
            2, dim=1
        )
        difference: Tensor = foreground - background
        return difference

    def forward(self, frame: Tensor, cue: Tensor) -> Tensor:
        """As `logit`; returns the probability (N, H, W) float32."""
        return torch.sigmoid(self.logit(frame, cue))[:, 0]

    def description(self) -> dict[str, Any]:
        network = self.network
        return {
            "network": "bsn",
            "width": network.width,
            "depth": network.depth,
            "maps": self.maps,
            "folded": network.folded,
        }

    def deployed(self, size: tuple[int, int] | None, *, for_tensorrt: bool) -> MapsSegmentGraph:  # noqa: ARG002
        return MapsSegmentGraph(fold(self.network), self.maps)


class BmnBsnGraph(nn.Module):  # type: ignore[misc, unused-ignore]
    """Both networks as one, as they are trained; their weights begin with `cue.` and `segment.`."""

    def __init__(self, cue: MapsGraph, segment: MapsSegmentGraph) -> None:
        """The graphs whose networks are trained."""
        super().__init__()
        self.graphs: dict[str, Any] = {"cue": cue, "segment": segment}
        self.network = nn.ModuleDict({name: graph.network for name, graph in self.graphs.items()})

    def logit(self, frame: Tensor, cue: Tensor) -> Tensor:
        """frame: (N, H, W, 3) uint8 BGR; cue: (N, 3 * references, H, W), the references' planes, 0 to 255."""
        return self.graphs["segment"].logit(frame, self.graphs["cue"].of_planes(cue))

    def forward(self, frame: Tensor, cue: Tensor) -> Tensor:
        """As `logit`; returns the probability (N, H, W) float32."""
        return torch.sigmoid(self.logit(frame, cue))[:, 0]

    def description(self) -> dict[str, Any]:
        parts = {name: graph.description() for name, graph in self.graphs.items()}
        return {"network": "bmn-bsn", "parts": parts}

    def deployed(self, size: tuple[int, int] | None, *, for_tensorrt: bool) -> BmnBsnGraph:
        cue = self.graphs["cue"].deployed(size, for_tensorrt=for_tensorrt)
        return BmnBsnGraph(cue, self.graphs["segment"].deployed(size, for_tensorrt=for_tensorrt))


def _require_halves(size: tuple[int, int], times: int) -> None:
    multiple = 1 << times
    if any(side < multiple or side % multiple for side in size):
        raise ExportError(
            f"a U-Net of depth {times} cannot take frames of {size[1]}x{size[0]} (width x height): "
            f"both sides must be multiples of {multiple}, such as 320x240 at depth 4."
        )
