"""CDN-GM and MEDAL-net as what is trained: one file of weights, both parts named in its header."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from export.networks.cdn_gm import CdnGm
from export.networks.medal import MedalGraph, MedalNet


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
        """See `MedalGraph.logit`."""
        return MedalGraph(self.network.segment).logit(frame, cue)

    def forward(self, frame: Tensor, cue: Tensor) -> Tensor:
        """See `MedalGraph.forward`."""
        return MedalGraph(self.network.segment)(frame, cue)

    def description(self) -> dict[str, Any]:
        """See `export.models.description.description_of`."""
        parts = {"segment": {"network": "medal-net"}, "cue": {"network": "cdn-gm"}}
        return {"network": "cdn-medal", "parts": parts}

    def deployed(self, size: tuple[int, int] | None, *, for_tensorrt: bool) -> CdnMedalGraph:  # noqa: ARG002
        """The graph itself: nothing folds."""
        return self
