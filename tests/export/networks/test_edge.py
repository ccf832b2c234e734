"""The network of the shipped model: shapes, folding, and what its graph makes of the cue."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgebs.errors import ExportError, WeightsError
from edgebs.tensors import TensorSpec
from export.convert import onnx_from_module
from export.convert.cost import gflop, parameters
from export.models.build import build_networks, description_of, module_from_description
from export.models.request import MODELS, ModelRequest
from export.models.weights import init_weights, load_weights, save_weights, weights_sha256
from export.networks import fold
from export.networks.edge import EdgeGraph, EdgeNet, check_edge_size
from export.networks.graphs import deployed

WIDTHS = (4, 6, 8)


def small(folded: bool = False) -> EdgeGraph:
    graph = EdgeGraph(EdgeNet(WIDTHS, folded=folded), 20.0).eval()
    init_weights(graph.network, 3)
    return graph


def inputs(height: int = 32, width: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    frame = torch.randint(0, 256, (2, height, width, 3), generator=generator, dtype=torch.uint8)
    flow = torch.rand(2, 3, height, width, generator=generator) * 30
    grey = torch.rand(2, 8, height, width, generator=generator) * 255
    return frame, torch.cat([flow, grey], dim=1)


def test_the_probability_has_the_frames_size() -> None:
    probability = small()(*inputs())
    assert probability.shape == (2, 32, 48)
    assert 0 <= probability.min() < probability.max() <= 1


def test_folding_changes_nothing() -> None:
    graph = small()
    with torch.no_grad():
        expected = graph(*inputs())
        form = deployed(graph, (32, 48))
        assert (form(*inputs()) - expected).abs().max() < 1e-5
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in form.modules())
    assert fold(form.network).folded
    again = EdgeNet(WIDTHS, folded=True)
    again.load_state_dict(form.network.state_dict())


def test_the_description_builds_the_same_network_again() -> None:
    for graph in (small(), small(folded=True)):
        description = description_of(graph)
        again = module_from_description(description)
        assert description_of(again) == description
        assert again.network.state_dict().keys() == graph.network.state_dict().keys()


def test_each_part_of_the_cue_reaches_the_network() -> None:
    graph = small()
    frame, cue = inputs()
    with torch.no_grad():
        base = graph(frame, cue)
        for channel in range(cue.shape[1]):
            changed = cue.clone()
            changed[:, channel] = 255 - changed[:, channel] if channel > 2 else 20 - changed[:, channel]
            assert (graph(frame, changed) - base).abs().max() > 1e-4, channel


def test_flow_beyond_the_largest_magnitude_is_clipped() -> None:
    graph = small()
    frame, cue = inputs()
    far = cue.clone()
    far[:, :3] = 20.0
    farther = far.clone()
    farther[:, :3] = 90.0
    with torch.no_grad():
        assert torch.equal(graph(frame, far), graph(frame, farther))


def test_the_facts_of_the_model_are_those_of_the_network() -> None:
    request = ModelRequest(model="edge", weights="random")
    graph = build_networks(request)["segment"]
    assert parameters(graph) == MODELS["edge"].parameters
    frame, cue = torch.zeros(1, 256, 256, 3, dtype=torch.uint8), torch.zeros(1, 11, 256, 256)
    assert gflop(graph, frame, cue) == pytest.approx(MODELS["edge"].gflop, abs=0.01)
    assert request.cue.kind == "hop-background"
    assert request.cue.channels == 11


def test_sizes_flows_and_widths_that_cannot_be_are_named() -> None:
    with pytest.raises(ExportError, match=r"100x64.*multiples of 64"):
        check_edge_size((64, 100))
    with pytest.raises(ExportError, match="halves them 3 times"):
        small()(*inputs(36, 48))
    with pytest.raises(ExportError, match=r"takes the flow of dis, net or of an \.onnx file, not.*'selflow'"):
        ModelRequest(model="edge", flow="selflow")
    with pytest.raises(ValueError, match="two widths"):
        EdgeNet((8,))
    with pytest.raises(ValueError, match="max_magnitude"):
        EdgeGraph(EdgeNet(WIDTHS), 0.0)


def test_weights_come_back_from_the_exported_onnx_file(tmp_path: Path) -> None:
    graph = EdgeGraph(EdgeNet(folded=True), 20.0).eval()
    init_weights(graph.network, 1)
    frame = torch.zeros(1, 64, 64, 3, dtype=torch.uint8).numpy()
    cue = torch.zeros(1, 11, 64, 64).numpy()
    inputs = {"frame": TensorSpec((1, 64, 64, 3), "uint8"), "cue": TensorSpec((1, 11, 64, 64), "float32")}
    file = tmp_path / "segment.onnx"
    onnx_from_module(deployed(graph), inputs, ["probability"], [{"frame": frame, "cue": cue}], file)
    again = EdgeNet(folded=True)
    load_weights(again, file)
    assert weights_sha256(again) == weights_sha256(graph.network)
    with pytest.raises(WeightsError, match="does not fit"):
        load_weights(EdgeNet(), file)
    file.write_bytes(b"\xff" * 50)
    with pytest.raises(WeightsError, match="not a readable ONNX"):
        load_weights(again, file)


def test_weights_say_their_own_widths(tmp_path: Path) -> None:
    graph = small()
    file = tmp_path / "small.safetensors"
    save_weights(graph.network, file, description_of(graph))
    built = build_networks(ModelRequest(model="edge", weights=str(file), size=(64, 64)))["segment"]
    assert built.network.widths == WIDTHS
    assert weights_sha256(built.network) == weights_sha256(graph.network)
