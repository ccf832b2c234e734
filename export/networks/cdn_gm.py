"""CDN-GM: each pixel's last 245 values to a mixture of three Gaussians, and its background colour.

Networks.md section 5; the paper's Table I and Eq. 5 to 12. 704 parameters. Where the table leaves a choice:
ReLU follows the two 1x1 convolutions, as it does in the paper's Table II (without any the means could be
nothing but clipped averages), and every convolution has a bias.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgebs.cues.background_image import band_rows
from edgebs.tensors import TensorSpec
from export.networks import planes

COLOURS, FEATURES, COMPONENTS = 3, 7, 3
BLOCK = 7
"""Frames that the first convolution over time takes at once, and its results that the second takes."""
GROUPS = 5
"""Results of the second convolution over time."""
FRAMES = BLOCK * BLOCK * GROUPS
"""Of the series: 245."""
SIGMA_MIN, SIGMA_MAX = 16 / 255, 32 / 255
LARGEST_FLOAT32 = 320 * 240
"""Pixels up to which what is kept of the past is float32; above, it is float16: half the memory."""


@dataclass(frozen=True, slots=True)
class PixelMixture:
    """Gaussians of every pixel; P counts pixels, K components. Colours are in [0, 1]."""

    weight: Tensor
    """(N, K, P), sums to 1."""
    mean: Tensor
    """(N, K, 3, P)."""
    sigma: Tensor
    """(N, K, P): standard deviation of each colour, 16 / 255 to 32 / 255 (Eq. 6)."""

    def background(self) -> Tensor:
        """(N, 3, P): the mean of the component of the largest weight / sigma (Eq. 9, 10)."""
        rank = self.weight / self.sigma
        chosen = (rank >= rank.amax(dim=1, keepdim=True)).float()[:, :, None]
        return (self.mean * chosen).amax(dim=1)

    def negative_log_likelihood(self, series: Tensor) -> Tensor:
        """Mean over all values of `series` (N, 3, T, P), Eq. 11 to 14.

        Sigma is a standard deviation, as in Eq. 12, of each of three colours, as in Eq. 2.
        """
        distance = (series[:, None] - self.mean[:, :, :, None]).square().sum(dim=2)  # (N, K, T, P)
        sigma = self.sigma[:, :, None]
        density = -0.5 * distance / sigma.square() - COLOURS * torch.log(math.sqrt(2 * math.pi) * sigma)
        weighted = density + torch.log(self.weight[:, :, None].clamp(min=1e-6))
        return -torch.logsumexp(weighted, dim=1).mean()


class CdnGm(nn.Module):  # type: ignore[misc, unused-ignore]
    """The network of Table I, for any number of pixels at once: convolutions over time alone."""

    def __init__(self) -> None:
        """K = 3, T = 245, three colours: the paper's."""
        super().__init__()
        over_time = {"kernel_size": (BLOCK, 1), "stride": (BLOCK, 1)}
        self.time1 = nn.Conv2d(COLOURS, COLOURS, groups=COLOURS, **over_time)
        self.mix1 = nn.Conv2d(COLOURS, FEATURES, 1)
        self.time2 = nn.Conv2d(FEATURES, FEATURES, groups=FEATURES, **over_time)
        self.mix2 = nn.Conv2d(FEATURES, FEATURES, 1)
        self.mean = nn.Conv2d(FEATURES, COMPONENTS * COLOURS, (GROUPS, 1))
        self.weight = nn.Conv2d(FEATURES, COMPONENTS, (GROUPS, 1))
        self.sigma = nn.Conv2d(FEATURES, COMPONENTS, (GROUPS, 1))

    def forward(self, series: Tensor) -> PixelMixture:
        """series: (N, 3, 245, P), colours in [0, 1], oldest first."""
        short = functional.relu(self.mix1(self.time1(series)))  # (N, 7, 35, P)
        groups = functional.relu(self.mix2(self.time2(short)))  # (N, 7, 5, P)
        return mixture_from(self.mean(groups), self.weight(groups), self.sigma(groups))


def mixture_from(mean: Tensor, weight: Tensor, sigma: Tensor) -> PixelMixture:
    """What the dense layers give, (N, channels, 1, P), as a mixture: Eq. 5 to 8."""
    count, _, _, pixels = mean.shape
    means = hard_sigmoid(mean).reshape(count, COMPONENTS, COLOURS, pixels)
    share = hard_sigmoid(sigma)[:, :, 0]
    return PixelMixture(
        torch.softmax(weight[:, :, 0], dim=1), means, SIGMA_MIN * (1 - share) + SIGMA_MAX * share
    )


def hard_sigmoid(x: Tensor) -> Tensor:
    """max(0, min(1, (x + 1) / 2)), Eq. 7."""
    return (x * 0.5 + 0.5).clamp(0.0, 1.0)


class SeriesGraph(nn.Module):  # type: ignore[misc, unused-ignore]
    """The whole series to the background, all pixels at once: the definition."""

    def __init__(self, network: CdnGm) -> None:
        """Of these weights."""
        super().__init__()
        self.network = network

    def forward(self, series: Tensor) -> Tensor:
        """series: (1, 245, H, W, 3) uint8 BGR, oldest first. Returns (1, 3, H, W) float32, 0 to 255."""
        _, frames, height, width, _ = series.shape
        pixels = series.float().permute(0, 4, 1, 2, 3).reshape(1, COLOURS, frames, height * width)
        mixture = self.network(pixels * (1 / 255))
        return mixture.background().reshape(1, COLOURS, height, width) * 255


class StepGraph(nn.Module):  # type: ignore[misc, unused-ignore]
    """The newest block of seven frames, and what is kept of the blocks before it, to the background.

    Equal to `SeriesGraph`: strided convolutions meet each block once, so that of 238 frames 18 + 28 numbers
    a pixel are enough. Time stands in the channels, and all is 1x1 convolutions.
    """

    input_names = ("frames", "sums", "features")
    output_names = ("cue", "sum", "feature")

    def __init__(self, network: CdnGm) -> None:
        """Of these weights."""
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, sums: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Everything oldest first.

        frames: (1, 7, h, w, 3) uint8 BGR; sums: (1, 18, h, w), `sum` of the six blocks before; features:
        (1, 28, h, w), `feature` of 28, 21, 14 and 7 blocks ago. Returns the background (1, 3, h, w) BGR, 0 to
        255, and `sum` (1, 3, h, w) and `feature` (1, 7, h, w) of this block.
        """
        net = self.network
        sums, features = sums.float(), features.float()
        images = torch.cat([planes(frames[:, t]) for t in range(BLOCK)], dim=1) * (1 / 255)
        newest = functional.conv2d(images, _time_kernel(net.time1.weight), net.time1.bias)
        short = functional.relu(functional.conv2d(newest, net.mix1.weight, net.mix1.bias))
        kernel, bias = _repeated(net.mix1, BLOCK - 1)
        shorts = functional.relu(functional.conv2d(sums, kernel, bias))
        old, new, bias = _joined(net.time2, net.mix2)
        feature = functional.relu(functional.conv2d(shorts, old, bias) + functional.conv2d(short, new))
        return self._background(features, feature), newest, feature

    def inputs(self, size: tuple[int, int]) -> dict[str, TensorSpec]:
        """What it is fed at (height, width): a band of rows at a time."""
        rows, width = band_rows(size[0]), size[1]
        past = "float32" if size[0] * width <= LARGEST_FLOAT32 else "float16"
        return {
            "frames": TensorSpec((1, BLOCK, rows, width, 3), "uint8"),
            "sums": TensorSpec((1, (BLOCK - 1) * COLOURS, rows, width), past),
            "features": TensorSpec((1, (GROUPS - 1) * FEATURES, rows, width), past),
        }

    def outputs(self, size: tuple[int, int]) -> dict[str, TensorSpec]:
        """What it returns at (height, width)."""
        rows, width = band_rows(size[0]), size[1]
        channels = zip(self.output_names, (COLOURS, COLOURS, FEATURES), strict=True)
        return {name: TensorSpec((1, count, rows, width), "float32") for name, count in channels}

    def description(self) -> dict[str, Any]:
        return {"network": "cdn-gm"}

    def deployed(self, size: tuple[int, int] | None, *, for_tensorrt: bool) -> StepGraph:  # noqa: ARG002
        """The graph itself: there is no norm and no matrix product."""
        return self

    def _background(self, features: Tensor, feature: Tensor) -> Tensor:
        net, (height, width) = self.network, feature.shape[2:]
        kernel = torch.cat([net.mean.weight, net.weight.weight, net.sigma.weight])[..., 0]  # (15, 7, 5)
        bias = torch.cat([net.mean.bias, net.weight.bias, net.sigma.bias])
        old = kernel[:, :, :-1].transpose(1, 2).reshape(bias.shape[0], -1, 1, 1)
        dense = functional.conv2d(features, old, bias) + functional.conv2d(feature, kernel[:, :, -1:, None])
        heads = dense.reshape(1, bias.shape[0], 1, height * width)
        mean, weight, sigma = heads.split([COMPONENTS * COLOURS, COMPONENTS, COMPONENTS], dim=1)
        # Scaled first: OpenVINO would give the output another name, of what stands before the scaling.
        return (mixture_from(mean, weight, sigma).background() * 255).reshape(1, COLOURS, height, width)


def _time_kernel(weight: Tensor) -> Tensor:
    """Depthwise over time (C, 1, T, 1) -> 1x1 over channels that are (time, colour), (C, T * C, 1, 1)."""
    channels, _, taps, _ = weight.shape
    spread = weight[:, 0] * torch.eye(channels)[:, None]  # (C, T, C)
    return spread.reshape(channels, taps * channels, 1, 1)


def _repeated(mix: nn.Conv2d, times: int) -> tuple[Tensor, Tensor]:
    """The 1x1 convolution of each of `times` blocks, whose channels stand side by side."""
    after, before = mix.weight.shape[:2]
    same_block = torch.eye(times)[:, None, :, None]
    kernel = (same_block * mix.weight[None, :, None, :, 0, 0]).reshape(times * after, times * before, 1, 1)
    return kernel, mix.bias.repeat(times)


def _joined(time: nn.Conv2d, mix: nn.Conv2d) -> tuple[Tensor, Tensor, Tensor]:
    """A convolution over time and the 1x1 one behind it: kernels for old and new blocks, and the bias."""
    kernel = mix.weight[:, :, 0, 0][:, None] * time.weight[:, 0, :, 0].t()[None]  # (7, T, 7)
    old = kernel[:, :-1].reshape(kernel.shape[0], -1, 1, 1)
    bias = mix.bias + (mix.weight[:, :, 0, 0] * time.bias).sum(dim=1)
    return old, kernel[:, -1, :, None, None], bias
