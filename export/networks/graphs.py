"""What is exported: the networks with their pre- and post-processing: uint8 BGR frames in.

The graphs are also the PyTorch reference of parity and benchmark. `deployed` gives the form that is
exported: equal in value, with everything gone that inference does not need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from edgebs.tensors import TensorSpec
from export.networks import planes, static_shape, static_size
from export.networks.crossnet import SIDE_MULTIPLE, CrossNet, fit_kernels, fold_norms, shuffle_head
from export.networks.selflow import BOTTOM, TOP, SelFlow, correlate_by_rows, resize_flow, unit_length, warp
from export.networks.selflow import correlate as correlate_by_slices

BGR_TO_RGB = (2, 1, 0)


class Graph(Protocol):
    """A module from frames to a probability (`segment`) or a cue (`cue`).

    A segmenter also has `logit(frame, cue)`, (N, 1, H, W), the probability before the sigmoid, and a cue
    network `inputs(size)`, the tensors that it is fed at (height, width).
    """

    network: Any
    """What holds the weights, in float32."""

    def description(self) -> dict[str, Any]: ...

    def deployed(self, size: tuple[int, int] | None, *, for_tensorrt: bool) -> Any: ...


class SegmentGraph(nn.Module):  # type: ignore[misc, unused-ignore]
    """CrossNet from a camera's frame and a flow magnitude to the probability of foreground."""

    def __init__(self, crossnet: CrossNet, max_magnitude: float) -> None:
        """max_magnitude: pixels of flow that map to the largest cue value; larger ones are clipped."""
        super().__init__()
        if not max_magnitude > 0:
            raise ValueError(f"max_magnitude must be above 0 px, got {max_magnitude}")
        self.network = crossnet
        self.max_magnitude = float(max_magnitude)
        self.reads_bgr = False

    def logit(self, frame: Tensor, cue: Tensor | None = None) -> Tensor:
        """frame: (N, H, W, 3) uint8 BGR; cue: (N, K, H, W) float32, |flow| in px, absent without HOP.

        Returns the logit (N, 1, H, W).
        """
        image = planes(frame) * (2 / 255) - 1
        image = image if self.reads_bgr else image[:, BGR_TO_RGB]
        motion = None if cue is None else (cue * (2 / self.max_magnitude)).clamp(max=2.0) - 1
        logit: Tensor = self.network(image, motion)
        return logit

    def forward(self, frame: Tensor, cue: Tensor | None = None) -> Tensor:
        """As `logit`; returns the probability (N, H, W) float32."""
        return torch.sigmoid(self.logit(frame, cue))[:, 0]

    def description(self) -> dict[str, Any]:
        """See `Graph`. "intervals" is a count here: which frames they are belongs to the cue."""
        net = self.network
        return {
            "network": "crossnet",
            "width": net.width,
            "norm": net.norm,
            "intervals": net.intervals,
            "max_magnitude": self.max_magnitude,
            "cmdff": net.cmdff,
            "hop": net.hop,
            "activated_skips": net.activated_skips,
        }

    def deployed(self, size: tuple[int, int] | None, *, for_tensorrt: bool) -> SegmentGraph:  # noqa: ARG002
        """See `deployed`. At 256x256 CrossNet loses the weights that meet only padding."""
        network = shuffle_head(fold_norms(self.network))
        if size == (SIDE_MULTIPLE, SIDE_MULTIPLE):
            network = fit_kernels(network)
        first = network.frame_encoder.convs[0]
        first.weight = nn.Parameter(first.weight.flip(1))
        segment = SegmentGraph(network, self.max_magnitude)
        segment.reads_bgr = True
        return segment


def standardised(images: Tensor) -> Tensor:
    """images (N, C, H, W), every channel of each with mean 0 and deviation 1; a channel of one value is 0."""
    centred = images - images.mean(dim=(2, 3), keepdim=True)
    return centred / ((centred * centred).mean(dim=(2, 3), keepdim=True) + 1e-12).sqrt()


class HopGraph(nn.Module):  # type: ignore[misc, unused-ignore]
    """Hierarchical optical flow: the magnitude of the flow from a frame back to several past ones.

    Equal to one SelFlow pass per interval, backward flow taken, with the work shared: each frame's pyramid is
    computed once, all intervals and both directions go through the estimators as one batch whose first layer
    is computed once for both directions, and the context network refines the backward flow alone.
    """

    def __init__(
        self,
        selflow: SelFlow,
        intervals: Sequence[int] = (1, 5, 10),
        *,
        look_ahead: bool = False,
        by_rows: bool = True,
        standardise: bool = False,
    ) -> None:
        """look_ahead: False feeds (T - tau, T, T); True feeds (T - tau, T, T + tau), for files.

        by_rows: how the costs are computed, not what they are: matrix products, or slices and one sum.
        standardise: images as SelFlow's supervised weights want them, see `standardised`.
        """
        super().__init__()
        if not intervals or any(tau < 1 for tau in intervals):
            raise ValueError(f"intervals must be frame counts of at least 1, got {list(intervals)}")
        self.network = selflow
        self.intervals = tuple(intervals)
        self.look_ahead = look_ahead
        self.by_rows = by_rows
        self.standardise = standardise

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the arguments of `forward`, in order."""
        kinds = ("past", "future") if self.look_ahead else ("past",)
        return ("frame", *(f"{kind}_{tau}" for kind in kinds for tau in self.intervals))

    def inputs(self, size: tuple[int, int]) -> dict[str, TensorSpec]:
        return dict.fromkeys(self.input_names, TensorSpec((1, *size, 3), "uint8"))

    def description(self) -> dict[str, Any]:
        return {
            "network": "selflow",
            "warp": self.network.warp,
            "intervals": list(self.intervals),
            "look_ahead": self.look_ahead,
            "standardise": self.standardise,
        }

    def deployed(self, size: tuple[int, int] | None, *, for_tensorrt: bool) -> HopGraph:  # noqa: ARG002
        """See `deployed`. TensorRT-RTX refuses matrix products in float32 for compute capability 7.5."""
        return HopGraph(
            self.network,
            self.intervals,
            look_ahead=self.look_ahead,
            by_rows=not for_tensorrt,
            standardise=self.standardise,
        )

    def forward(self, *frames: Tensor) -> Tensor:
        """frames: as `input_names`, each (N, H, W, 3) uint8 BGR.

        Returns |flow| in px over each interval, (N, intervals, H, W) float32.
        """
        if len(frames) != len(self.input_names):
            raise ValueError(
                f"expected {len(self.input_names)} frames, {self.input_names}, got {len(frames)}"
            )
        count, gaps = static_shape(frames[0])[0], len(self.intervals)
        images = torch.cat([planes(frame) for frame in frames])[:, BGR_TO_RGB] * (1 / 255)
        images = standardised(images) if self.standardise else images
        flow = resize_flow(self._backward_flow(images, count), static_size(images))
        magnitude = (flow * flow).sum(dim=1).sqrt()  # (gaps * N, H, W)
        return magnitude.reshape(gaps, count, *static_size(images)).transpose(0, 1)

    def _backward_flow(self, images: Tensor, count: int) -> Tensor:
        """Refined flow of level 2 to each past frame, (gaps * N, 2, H / 4, W / 4)."""
        pyramid = self.network.features(images)
        # One batch: all forward flows, then all backward ones.
        flow = torch.zeros(2 * len(self.intervals) * count, 2, *static_size(pyramid[TOP]))
        for level in range(TOP, BOTTOM - 1, -1):
            flow = resize_flow(flow, static_size(pyramid[level]))
            seen, flow = self._estimate(level, pyramid[level], flow, count)
        (seen_fw, seen_bw), (forward, backward) = seen.chunk(2), flow.chunk(2)
        return self.network.context(torch.cat([seen_bw, seen_fw, backward, -forward], dim=1))

    def _estimate(self, level: int, features: Tensor, flow: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """One level for all intervals and both directions; features: of all frames, (frames * N, C, H, W)."""
        gaps = len(self.intervals)
        now, past = features[:count], features[count : count * (1 + gaps)]
        repeated = now.repeat(gaps, 1, 1, 1)
        later = features[count * (1 + gaps) :] if self.look_ahead else repeated
        warped = unit_length(warp(torch.cat([later, past]), flow, self.network.warp))
        (warped_fw, warped_bw), (forward, backward) = warped.chunk(2), flow.chunk(2)
        # Costs are linear in what was warped: their sum and difference come from its sum and difference.
        mixed = torch.cat([warped_fw + warped_bw, warped_fw - warped_bw])
        correlate = correlate_by_rows if self.by_rows else correlate_by_slices
        here = now if count == 1 else repeated  # one sample serves all intervals
        alike, unlike = correlate(unit_length(here if count == 1 else here.repeat(2, 1, 1, 1)), mixed).chunk(
            2
        )
        alike = torch.cat([alike, forward + backward], dim=1)
        unlike = torch.cat([unlike, forward - backward], dim=1)
        estimate: tuple[Tensor, Tensor] = self.network.estimators[str(level)].both_ways(here, alike, unlike)
        return estimate


@torch.no_grad()
def deployed(graph: Graph, size: tuple[int, int] | None = None, *, for_tensorrt: bool = False) -> Any:
    """The form to export: equal to `graph` in value, batch norms folded, in evaluation mode.

    size: (height, width) to export for. for_tensorrt: without what TensorRT cannot build, such as matrix
    products. Shares unchanged tensors with `graph`, which stays as it is.
    """
    return graph.deployed(size, for_tensorrt=for_tensorrt).eval()
