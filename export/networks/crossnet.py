"""CrossNet, the segmentation network of HOFAM: two encoders joined by CmDFF decoder blocks.

Equations and padding: IEEE TMM 2023, doi 10.1109/TMM.2023.3266608, and the authors' code, as written down
in docs/networks.md section 1. 84.5 GFLOP at 256x256 and width 64.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgebs.errors import ExportError
from export.networks import Conv2dSame, ConvTranspose2dSame

SIDE_MULTIPLE = 256
"""Eight halvings, and decoder maps that must meet the encoder's at every size in between."""
SLOPE = 0.2
NORMS = ("batch", "layer")
ENCODER_CHANNELS = (1, 2, 4, 8, 8, 8, 8, 16)  # in units of the width
ENCODER_KERNELS = (7, 7, 5, 5, 5, 5, 3, 3)
DECODER_CHANNELS = (8, 8, 8, 8, 4, 2, 1)
DECODER_KERNELS = (3, 3, 5, 5, 5, 5, 7)
DROPOUT_BLOCKS = 3


def check_size(size: tuple[int, int]) -> None:
    """Raise ExportError unless both sides of `size` (height, width) suit CrossNet."""
    if any(side < SIDE_MULTIPLE or side % SIDE_MULTIPLE for side in size):
        raise ExportError(
            f"CrossNet cannot take frames of {size[1]}x{size[0]} (width x height): it halves them eight "
            f"times. Use multiples of {SIDE_MULTIPLE}, such as 256x256 or 512x256."
        )


class SampleNorm(nn.GroupNorm):  # type: ignore[misc, unused-ignore]
    """GroupNorm without PyTorch's check of the batch size, which warns while it is traced."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


def norm_layer(norm: str, channels: int) -> nn.Module:
    """Batch norm as the paper writes it, or layer norm over C, H, W with gains per channel, as coded."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "layer":
        return SampleNorm(1, channels, eps=1e-12)
    raise ValueError(f"unknown norm '{norm}'; known: {', '.join(NORMS)}")


def activated(x: Tensor) -> Tensor:
    """LeakyReLU with CrossNet's slope."""
    return functional.leaky_relu(x, SLOPE)


class Encoder(nn.Module):  # type: ignore[misc, unused-ignore]
    """Eight halvings of a frame or of a cue; returns all eight maps, largest first."""

    def __init__(self, in_channels: int, width: int, norm: str) -> None:
        """in_channels: 3 for a frame, the number of intervals for a cue."""
        super().__init__()
        channels = [in_channels, *(width * units for units in ENCODER_CHANNELS)]
        self.convs = nn.ModuleList(
            Conv2dSame(before, after, kernel)
            for before, after, kernel in zip(channels, channels[1:], ENCODER_KERNELS, strict=False)
        )
        self.norms = nn.ModuleList([nn.Identity(), *(norm_layer(norm, count) for count in channels[2:])])

    def forward(self, x: Tensor) -> list[Tensor]:
        """x: (N, C, H, W) in [-1, 1]."""
        maps: list[Tensor] = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            maps.append(norm(conv(activated(maps[-1]) if maps else x)))
        return maps


class CmDFF(nn.Module):  # type: ignore[misc, unused-ignore]
    """One decoder block: doubles the size, and adds the encoders' features weighted by the decoder's."""

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        channels: int,
        kernel: int,
        norm: str,
        *,
        weighted: bool,
        activated_skips: bool,
        drop: bool,
    ) -> None:
        """weighted: False is the ablation "without CmDFF": the fused features enter with weight 1.

        The paper does not say what replaces the block; removing B_w is the smallest change that removes it.
        activated_skips: whether the encoders' features pass LeakyReLU before they are fused.
        """
        super().__init__()
        self.activated_skips = activated_skips
        self.up = ConvTranspose2dSame(in_channels, channels, kernel)
        self.up_norm = norm_layer(norm, channels)
        self.drop = nn.Dropout(0.5) if drop else nn.Identity()
        self.fuse = nn.Conv2d(skip_channels, channels, kernel, padding=kernel // 2)
        self.attend = nn.Conv2d(channels, channels, kernel, padding=kernel // 2) if weighted else None
        self.attend_norm = norm_layer(norm, channels) if weighted else None

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """x: (N, C, H, W) of the block before; skip: (N, S, 2H, 2W). Returns (N, 2 * channels, 2H, 2W)."""
        up = self.up(activated(x))
        fused = self.fuse(activated(skip) if self.activated_skips else skip)
        if self.attend is not None and self.attend_norm is not None:
            fused = torch.sigmoid(self.attend_norm(self.attend(activated(up)))) * fused
        return torch.cat([self.drop(self.up_norm(up)), fused], dim=1)


class CrossNet(nn.Module):  # type: ignore[misc, unused-ignore]
    """Frame and HOP cue to the logit of foreground."""

    def __init__(
        self,
        width: int = 64,
        norm: str = "batch",
        intervals: int = 3,
        *,
        cmdff: bool = True,
        hop: bool = True,
        activated_skips: bool = False,
    ) -> None:
        """intervals: channels of the cue. cmdff, hop: False for the ablations of the paper's Table I.

        activated_skips: LeakyReLU between encoders and fusing convolutions; see docs/authors-weights.md.
        """
        super().__init__()
        if width < 1 or intervals < 1:
            raise ValueError(f"width and intervals must be at least 1, got {width} and {intervals}")
        self.width, self.norm, self.intervals, self.cmdff, self.hop = width, norm, intervals, cmdff, hop
        self.activated_skips = activated_skips
        streams = 2 if hop else 1
        self.frame_encoder = Encoder(3, width, norm)
        self.cue_encoder = Encoder(intervals, width, norm) if hop else None
        encoded = [width * units for units in ENCODER_CHANNELS]
        self.bottleneck = nn.Conv2d(streams * encoded[-1], encoded[-1], 3, padding=1)
        decoded = [width * units for units in DECODER_CHANNELS]
        inputs = [encoded[-1], *(2 * count for count in decoded)]
        self.blocks = nn.ModuleList(
            CmDFF(
                inputs[i], streams * encoded[-2 - i], decoded[i], DECODER_KERNELS[i], norm,
                weighted=cmdff, activated_skips=activated_skips, drop=i < DROPOUT_BLOCKS,
            )
            for i in range(len(decoded))
        )  # fmt: skip
        self.head = ConvTranspose2dSame(inputs[-1], 1, 7)

    def forward(self, frame: Tensor, cue: Tensor | None = None) -> Tensor:
        """frame: (N, 3, H, W) RGB; cue: (N, intervals, H, W), absent without HOP; both in [-1, 1].

        Returns the logit (N, 1, H, W). Raises ExportError unless H and W are multiples of 256.
        """
        if not torch.jit.is_tracing():
            check_size((frame.shape[2], frame.shape[3]))
        if (cue is None) == self.hop:
            raise ValueError(
                "this CrossNet takes a frame and a cue" if self.hop else "this CrossNet takes no cue"
            )
        skips = self.frame_encoder(frame)
        if self.cue_encoder is not None:
            motion = self.cue_encoder(cue)
            skips = [torch.cat(pair, dim=1) for pair in zip(skips, motion, strict=True)]
        x = self.bottleneck(activated(skips[-1]))
        for block, skip in zip(self.blocks, reversed(skips[:-1]), strict=True):
            x = block(x, skip)
        return self.head(activated(x))


class ChannelAffine(nn.Module):  # type: ignore[misc, unused-ignore]
    """What is left of a batch norm that has no convolution of its own: one gain and one shift per channel."""

    def __init__(self, gain: Tensor, shift: Tensor) -> None:
        """gain, shift: (C,)."""
        super().__init__()
        self.gain = nn.Parameter(gain.reshape(1, -1, 1, 1))
        self.shift = nn.Parameter(shift.reshape(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return x * self.gain + self.shift


def shared_copy(module: nn.Module) -> nn.Module:
    """A copy whose layers can be replaced while all tensors stay those of `module`: no memory is spent."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


@torch.no_grad()
def fold_norms(crossnet: CrossNet) -> CrossNet:
    """An equal network for inference, its batch norms gone into the convolutions in front of them.

    The norm after `up` stays as a per-channel affine: `up` is also read before its norm, by the weights B_w.
    Layer norms depend on the data and stay. Tensors that do not change are shared with `crossnet`.
    """
    folded: CrossNet = shared_copy(crossnet).eval()
    for encoder in filter(None, (folded.frame_encoder, folded.cue_encoder)):
        for index, norm in enumerate(encoder.norms):
            if isinstance(norm, nn.BatchNorm2d):
                _fold(encoder.convs[index], norm)
                encoder.norms[index] = nn.Identity()
    for block in folded.blocks:
        if isinstance(block.attend_norm, nn.BatchNorm2d):
            _fold(block.attend, block.attend_norm)
            block.attend_norm = nn.Identity()
        if isinstance(block.up_norm, nn.BatchNorm2d):
            block.up_norm = ChannelAffine(*_gain_and_shift(block.up_norm))
    return folded


@torch.no_grad()
def fit_kernels(crossnet: CrossNet) -> CrossNet:
    """An equal network for frames of 256x256 alone, without the weights that only ever meet padding.

    Around its 1x1 bottleneck most do: 24.6 of 173 million at width 64, which an engine would store, and read
    for every frame. Other tensors are shared with `crossnet`.
    """
    fitted: CrossNet = shared_copy(crossnet).eval()
    for encoder in filter(None, (fitted.frame_encoder, fitted.cue_encoder)):
        encoder.convs[-1] = _cut(encoder.convs[-1], nn.Conv2d, slice(0, 2), stride=2)  # 2x2 -> 1x1
    fitted.bottleneck = _cut(fitted.bottleneck, nn.Conv2d, slice(1, 2), stride=1)  # 1x1 -> 1x1
    fitted.blocks[0].up = _cut(fitted.blocks[0].up, nn.ConvTranspose2d, slice(0, 2), stride=2)  # 1x1 -> 2x2
    return fitted


def _cut(layer: nn.Module, kind: type[nn.Module], taps: slice, stride: int) -> nn.Module:
    """A layer of `kind` with the `taps` of `layer` and no padding."""
    weight = layer.weight[:, :, taps, taps].contiguous()
    with torch.device("meta"):
        cut = kind(layer.in_channels, layer.out_channels, weight.shape[-1], stride=stride)
    cut.weight, cut.bias = nn.Parameter(weight), layer.bias
    return cut


@torch.no_grad()
def shuffle_head(crossnet: CrossNet) -> CrossNet:
    """An equal network whose head computes the four pixels of each 2x2 cell as channels, then shuffles them.

    Engines run a transposed convolution with one output channel badly: in OpenVINO INT8 the head takes 6.9 ms
    of CPU time that way and 2.0 ms this way (width 64, 256x256). Other tensors are shared with `crossnet`.
    """
    shuffled: CrossNet = shared_copy(crossnet).eval()
    head = shuffled.head
    # Output pixel 2q + r meets input pixel q - 2 + j through tap 6 + r - 2j.
    phases = ((slice(0, 4), slice(0, None, 2)), (slice(1, 4), slice(1, None, 2)))
    weight = head.weight.new_zeros(4, head.in_channels, 5, 5)
    for y, (rows, row_taps) in enumerate(phases):
        for x, (columns, column_taps) in enumerate(phases):
            taps = head.weight[:, 0, row_taps, column_taps]
            weight[2 * y + x, :, rows, columns] = taps.flip(1, 2)
    with torch.device("meta"):
        conv = nn.Conv2d(head.in_channels, 4, 5, padding=2)
    conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(head.bias.repeat(4))
    shuffled.head = nn.Sequential(conv, nn.PixelShuffle(2))
    return shuffled


def _gain_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return gain, norm.bias - norm.running_mean * gain


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Give `conv` new tensors that include `norm`."""
    gain, shift = _gain_and_shift(norm)
    conv.weight = nn.Parameter(conv.weight * gain.reshape(-1, 1, 1, 1))
    conv.bias = nn.Parameter(conv.bias * gain + shift)
