"""Networks of a few layers, with each kind of node that the exporters must treat with care."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgebs.tensors import Array, TensorSpec

SIDE = 16


class Segmenter(nn.Module):
    """Two encoders, a concatenation, a decoder with a weight between 0 and 1: CrossNet in small.

    The ReLU, which CrossNet has not, gives NNCF a tensor without negative values.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frame, self.cue = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(2, 8, 3, 2, 1)
        self.fuse, self.attend = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 1, 4, 2, 1)

    def forward(self, frame: Tensor, cue: Tensor) -> Tensor:
        image = frame.permute(0, 3, 1, 2).float() * (2 / 255) - 1
        a, b = self.frame(image), self.cue(cue.clamp(max=4) / 2 - 1)
        fused = self.fuse(torch.cat([a, b], dim=1))
        weight = torch.sigmoid(self.attend(functional.relu(a)))
        return torch.sigmoid(self.up(functional.leaky_relu(weight * fused, 0.2)))[:, 0]


class Flow(nn.Module):
    """Features, a warp by a flow, unit length, costs, and a magnitude: SelFlow in small."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.flow = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(16, 2, 3, padding=1)
        self.refine = nn.Conv2d(9, 2, 3, padding=1)

    def forward(self, frame: Tensor, past_1: Tensor) -> Tensor:
        images = torch.cat([frame, past_1]).permute(0, 3, 1, 2).float()[:, [2, 1, 0]] * (1 / 255)
        now, before = functional.leaky_relu(self.features(images), 0.2).split(1)
        flow = self.flow(torch.cat([now, before], dim=1))
        steps = torch.linspace(-1, 1, SIDE)
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        grid = torch.stack([x, y])[None] + flow * (2 / (SIDE - 1))
        warped = functional.grid_sample(
            before, grid.permute(0, 2, 3, 1), mode="bilinear", padding_mode="border", align_corners=True
        )
        length = (warped * warped).sum(dim=1, keepdim=True).clamp_min(1e-12)
        refined = self.refine(torch.cat([now, (now * (warped * torch.rsqrt(length))).sum(1, True)], dim=1))
        return (refined * refined).sum(dim=1, keepdim=True).sqrt()


class Normed(nn.Module):
    """A layer norm between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(1, 4, eps=1e-12)
        self.second = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, frame: Tensor) -> Tensor:
        image = frame.permute(0, 3, 1, 2).float() * (1 / 255)
        return self.second(functional.leaky_relu(self.norm(self.first(image)), 0.2))


IMAGE = TensorSpec((1, SIDE, SIDE, 3), "uint8")
TOYS: dict[str, tuple[type[nn.Module], dict[str, TensorSpec], str]] = {
    "segmenter": (
        Segmenter,
        {"frame": IMAGE, "cue": TensorSpec((1, 2, SIDE, SIDE), "float32")},
        "probability",
    ),
    "flow": (Flow, {"frame": IMAGE, "past_1": IMAGE}, "cue"),
    "normed": (Normed, {"frame": IMAGE}, "logit"),
}


def toy(name: str) -> nn.Module:
    """The network called `name`, with the same random weights every time."""
    torch.manual_seed(0)
    return TOYS[name][0]().eval()


def feeds(name: str, count: int = 2) -> list[dict[str, Array]]:
    """Smooth inputs for it, which are more like frames than noise is."""
    generator = np.random.default_rng(1)
    return [{key: _smooth(generator, spec) for key, spec in TOYS[name][1].items()} for _ in range(count)]


def _smooth(generator: np.random.Generator, spec: TensorSpec) -> Array:
    coarse = generator.uniform(0, 1, [max(1, size // 4) if size >= SIDE else size for size in spec.shape])
    for axis, size in enumerate(spec.shape):
        coarse = np.repeat(coarse, size // coarse.shape[axis], axis=axis)
    return (coarse * (255 if spec.dtype == "uint8" else 5)).astype(spec.dtype)


def export(name: str, file: Path) -> Path:
    """Its FP32 ONNX file."""
    from export.convert import onnx_from_module

    _, inputs, output = TOYS[name]
    onnx_from_module(toy(name), inputs, [output], feeds(name), file)
    return file


def run(file: Path, feed: dict[str, Array]) -> Array:
    """The first output in ONNX Runtime."""
    from export.convert import open_session

    result: Any = open_session(file).run(None, feed)[0]
    return np.asarray(result)


def sm75_plan(file: Path) -> int:
    """Bytes of the TensorRT-RTX plan for Turing; fails with the parser's words."""
    import tensorrt_rtx as trt

    log = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(log)
    network, config = builder.create_network(0), builder.create_builder_config()
    parser = trt.OnnxParser(network, log)
    assert parser.parse_from_file(str(file)), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM75, 0)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None, "the parser takes the file, the builder does not"
    return int(plan.nbytes)
