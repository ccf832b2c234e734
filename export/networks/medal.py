"""MEDAL-net: a frame and its background to the foreground (docs/networks.md section 5; the paper's Table II).

2,806 parameters: convolutions without biases (2,710: 81.7 % fewer than the 14,832 of plain ones, the paper's
own figure, which no count with biases gives) and a gain and a bias for each of the three norms. Where the
table prints 6 input channels for the third block, the 16 of the block before it are meant.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks import planes
from export.networks.cdn_gm import CdnGm, hard_sigmoid

CHANNELS = 16

EPSILON = 1e-3
"""Of the norms, TensorFlow's: larger than PyTorch's, so that an empty scene's noise is not blown up to the
size of objects."""


class SeparableConv(nn.Sequential):  # type: ignore[misc, unused-ignore]
    """3x3 depthwise, then 1x1; no biases."""

    def __init__(self, before: int, after: int) -> None:
        """before, after: channels."""
        super().__init__(
            nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False),
            nn.Conv2d(before, after, 1, bias=False),
        )


class InstanceNorm(nn.InstanceNorm2d):  # type: ignore[misc, unused-ignore]
    """Without PyTorch's check of the channels, which it makes by a comparison that tracing warns of."""

    def __init__(self, channels: int) -> None:
        """A gain and a bias for each channel."""
        super().__init__(channels, eps=EPSILON, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W)."""
        return functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


class DeployedNorm(nn.Module):  # type: ignore[misc, unused-ignore]
    """Instance norm for engines: the means are taken over the columns first, then over the rows.

    Three norms of so small an epsilon multiply what rounding leaves by thousands. OpenVINO's own operator
    sums 76,800 pixels in a row: probabilities were off by 3e-4 on the rendered street, so by 3e-6.
    """

    def __init__(self, norm: InstanceNorm) -> None:
        """With the gains and biases of `norm`, in the shape in which they are used: the exporter loses equal
        constants that it has to reshape."""
        super().__init__()
        self.weight = nn.Parameter(norm.weight.detach().reshape(1, -1, 1, 1).clone())
        self.bias = nn.Parameter(norm.bias.detach().reshape(1, -1, 1, 1).clone())
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W)."""
        centred = x - _mean(x)
        return centred * (torch.rsqrt(_mean(centred * centred) + self.eps) * self.weight) + self.bias


def _mean(x: Tensor) -> Tensor:
    return x.mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)


class DecoderBlock(nn.Module):  # type: ignore[misc, unused-ignore]
    """Separable convolution, instance norm, ReLU."""

    def __init__(self, channels: int) -> None:
        """As many in as out."""
        super().__init__()
        self.conv = SeparableConv(channels, channels)
        self.norm = InstanceNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W)."""
        return functional.relu(self.norm(self.conv(x)))


class MedalNet(nn.Module):  # type: ignore[misc, unused-ignore]
    """The network of Table II."""

    def __init__(self, channels: int = CHANNELS) -> None:
        """channels: of every block."""
        super().__init__()
        self.encoder = nn.ModuleList(SeparableConv(before, channels) for before in (6, *[channels] * 3))
        self.decoder = nn.ModuleList(DecoderBlock(channels) for _ in range(3))
        self.head = SeparableConv(channels, 1)

    def forward(self, pair: Tensor) -> Tensor:
        """pair: (N, 6, H, W), frame and background in [0, 1].

        Returns (N, 1, H, W), of which the hard sigmoid is the probability.
        """
        x = pair
        for index, conv in enumerate(self.encoder):
            x = functional.relu(conv(x))
            if index % 2:
                x = functional.max_pool2d(x, 2)
        for block in self.decoder[:-1]:
            x = functional.interpolate(block(x), scale_factor=2.0, mode="nearest")
        return self.head(self.decoder[-1](x))


class MedalGraph(nn.Module):  # type: ignore[misc, unused-ignore]
    """MEDAL-net from a camera's frame and a background image to the probability."""

    def __init__(self, network: MedalNet) -> None:
        """Of these weights."""
        super().__init__()
        self.network = network

    def pair(self, frame: Tensor, cue: Tensor) -> Tensor:
        """The network's input, (N, 6, H, W) in [0, 1]."""
        return torch.cat([planes(frame), cue], dim=1) * (1 / 255)

    def logit(self, frame: Tensor, cue: Tensor) -> Tensor:
        """As `forward`; (N, 1, H, W), whose sigmoid has the hard sigmoid's slope at 0, and everywhere one."""
        return 2 * self.network(self.pair(frame, cue))

    def forward(self, frame: Tensor, cue: Tensor) -> Tensor:
        """frame: (N, H, W, 3) uint8 BGR; cue: (N, 3, H, W) float32 BGR, 0 to 255.

        Returns the probability (N, H, W) float32.
        """
        return hard_sigmoid(self.network(self.pair(frame, cue)))[:, 0]

    def description(self) -> dict[str, Any]:
        return {"network": "medal-net"}

    def deployed(self, size: tuple[int, int] | None, *, for_tensorrt: bool) -> MedalGraph:  # noqa: ARG002
        """Equal in value, its norms in the form for engines."""
        form = copy.deepcopy(self)
        for block in form.network.decoder:
            block.norm = DeployedNorm(block.norm) if isinstance(block.norm, InstanceNorm) else block.norm
        form.eval()
        return form


class CdnMedal(nn.Module):  # type: ignore[misc, unused-ignore]
    """MEDAL-net as `segment`, and as `cue` the CDN-GM whose backgrounds it learns from, frozen."""

    def __init__(self) -> None:
        """Weights still to come."""
        super().__init__()
        self.segment = MedalNet()
        self.cue = CdnGm().requires_grad_(False)


class CdnMedalGraph(nn.Module):  # type: ignore[misc, unused-ignore]
    """What the training loop sees: a segmenter whose weights also hold the network of its cue."""

    weights_in_onnx = False
    """The step's graph holds CDN-GM's kernels combined: its weights cannot be read from it."""

    def __init__(self, network: CdnMedal) -> None:
        """Of these weights."""
        super().__init__()
        self.network = network

    def logit(self, frame: Tensor, cue: Tensor) -> Tensor:
        return MedalGraph(self.network.segment).logit(frame, cue)

    def forward(self, frame: Tensor, cue: Tensor) -> Tensor:
        return MedalGraph(self.network.segment)(frame, cue)

    def description(self) -> dict[str, Any]:
        parts = {"segment": {"network": "medal-net"}, "cue": {"network": "cdn-gm"}}
        return {"network": "cdn-medal", "parts": parts}

    def deployed(self, size: tuple[int, int] | None, *, for_tensorrt: bool) -> CdnMedalGraph:  # noqa: ARG002
        """The graph itself: nothing folds."""
        return self
