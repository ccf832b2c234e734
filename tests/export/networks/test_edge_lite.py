"""The network of the smaller models: what reaches it, its forms, and that INT8 may narrow its first layer."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch

from calib.graph import view
from calib.int8.float32_nodes import first_convolutions
from edgebs.errors import ExportError
from edgebs.tensors import TensorSpec
from export.convert import onnx_from_module
from export.convert.cost import gflop, parameters
from export.models.build import build_networks, description_of, module_from_description
from export.models.request import MODELS, ModelRequest
from export.models.weights import init_weights, load_weights, save_weights, weights_sha256
from export.networks.edge_lite import FORMS, LiteGraph, LiteNet
from export.networks.graphs import deployed

WIDTHS = (4, 6, 8)


def small(cell: int, folded: bool = False) -> LiteGraph:
    graph = LiteGraph("edge-nano", LiteNet(WIDTHS, cell, folded=folded), 20.0).eval()
    init_weights(graph.network, 3)
    return graph


def inputs(height: int = 32, width: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    frame = torch.randint(0, 256, (2, height, width, 3), generator=generator, dtype=torch.uint8)
    flow = torch.rand(2, 3, height, width, generator=generator) * 15
    # Near the frame: differences of more than 64 levels saturate.
    background = frame.permute(0, 3, 1, 2) + torch.rand(2, 3, height, width, generator=generator) * 20
    others = torch.rand(2, 2, height, width, generator=generator) * 60
    return frame, torch.cat([flow, background, others, background + 9], dim=1)


@pytest.mark.parametrize("cell", [2, 4])
def test_folding_changes_nothing_and_the_description_builds_the_same_again(cell: int) -> None:
    graph = small(cell)
    with torch.no_grad():
        expected = graph(*inputs())
        form = deployed(graph, (32, 48))
        assert (form(*inputs()) - expected).abs().max() < 1e-5
    assert expected.shape == (2, 32, 48)
    assert 0 <= expected.min() < expected.max() <= 1
    for made in (graph, form):
        again = module_from_description(description_of(made))
        assert description_of(again) == description_of(made)
        assert again.network.state_dict().keys() == made.network.state_dict().keys()


@pytest.mark.parametrize("cell", [2, 4])
def test_each_plane_reaches_the_network_and_none_beyond_its_range(cell: int) -> None:
    graph = small(cell)
    frame, cue = inputs()
    with torch.no_grad():
        base = graph(frame, cue)
        for channel in range(cue.shape[1]):
            changed = cue.clone()
            changed[:, channel] += 5
            assert (graph(frame, changed) - base).abs().max() > 1e-4, channel
        seen: list[torch.Tensor] = []
        hook = graph.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        graph(frame, cue * 3 - 100)
        hook.remove()
    assert seen[0].min() >= 0
    assert seen[0].max() <= 1


def test_edge_has_the_familys_form_where_a_description_says_so() -> None:
    """The shipped weights, and random ones, have the form of before."""
    new = module_from_description({"network": "edge", **FORMS["edge"], "intervals": [1, 5, 10]})
    assert isinstance(new, LiteGraph)
    assert description_of(new)["network"] == "edge"
    assert isinstance(module_from_description(description_of(new)), LiteGraph)
    # It may replace the other where it works less.
    frame, cue = torch.zeros(1, 256, 256, 3, dtype=torch.uint8), torch.zeros(1, 11, 256, 256)
    assert gflop(deployed(new), frame, cue) < 0.8 * MODELS["edge"].gflop
    old = build_networks(ModelRequest(model="edge", weights="random"))["segment"]
    assert not isinstance(old, LiteGraph)


@pytest.mark.parametrize("model", ["edge-nano", "edge-small"])
def test_the_facts_of_the_models_are_those_of_their_networks(model: str) -> None:
    graph = build_networks(ModelRequest(model=model, weights="random"))["segment"]
    # Norms are gone in what is deployed, and with them some of the parameters.
    form = deployed(graph)
    assert parameters(form) == MODELS[model].parameters
    frame, cue = torch.zeros(1, 256, 256, 3, dtype=torch.uint8), torch.zeros(1, 11, 256, 256)
    assert gflop(form, frame, cue) == pytest.approx(MODELS[model].gflop, abs=0.01)


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ExportError, match="halves them 3 times"):
        small(4)(*inputs(36, 48))
    with pytest.raises(ValueError, match="cells of 2 or 4"):
        LiteNet(WIDTHS, 3)
    with pytest.raises(ValueError, match="max_magnitude"):
        LiteGraph("edge-nano", LiteNet(WIDTHS, 2), 0.0)


def test_the_exported_file_holds_the_weights_and_lets_int8_have_the_first_layer(tmp_path: Path) -> None:
    graph = small(4, folded=True)
    frame = torch.zeros(1, 64, 64, 3, dtype=torch.uint8).numpy()
    cue = torch.zeros(1, 11, 64, 64).numpy()
    specs = {"frame": TensorSpec((1, 64, 64, 3), "uint8"), "cue": TensorSpec((1, 11, 64, 64), "float32")}
    file = tmp_path / "segment.onnx"
    onnx_from_module(deployed(graph), specs, ["probability"], [{"frame": frame, "cue": cue}], file)
    again = LiteNet(WIDTHS, 4, folded=True)
    load_weights(again, file)
    assert weights_sha256(again) == weights_sha256(graph.network)
    assert first_convolutions(view(onnx.load(file))) == set()


def test_weights_say_their_own_widths_and_cells(tmp_path: Path) -> None:
    graph = small(2)
    file = tmp_path / "small.safetensors"
    save_weights(graph.network, file, description_of(graph))
    built = build_networks(ModelRequest(model="edge-nano", weights=str(file), size=(64, 64)))["segment"]
    assert (built.network.widths, built.network.cell) == (WIDTHS, 2)
    assert weights_sha256(built.network) == weights_sha256(graph.network)
