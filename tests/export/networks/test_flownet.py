"""Our flow network: what its graph returns, folding, and the same values whichever way it is computed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from edgebs.bundle import weights_file
from edgebs.errors import ExportError
from export.convert.cost import gflop, parameters
from export.models import FLOW_NET
from export.models.build import build_networks, description_of, module_from_description, network_origins
from export.models.request import FLOWS, ModelRequest
from export.models.weights import init_weights, save_weights
from export.networks import fold
from export.networks.flownet import FlowGraph, FlowNet, check_flow_size, match
from export.networks.graphs import deployed

WIDTHS = (4, 6, 8, 8)


def small(intervals: tuple[int, ...] = (1, 5, 10), output: str = "magnitude") -> FlowGraph:
    graph = FlowGraph(FlowNet(WIDTHS), intervals, output=output).eval()
    init_weights(graph.network, 3)
    return graph


def frames(count: int, height: int = 32, width: int = 48) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 256, (2, height, width, 3), generator=generator, dtype=torch.uint8)
        for _ in range(count)
    ]


@torch.no_grad()
def test_one_magnitude_for_each_interval_at_the_size_of_the_frame() -> None:
    magnitude = small()(*frames(4))
    assert magnitude.shape == (2, 3, 32, 48)
    assert 0 <= magnitude.min() < magnitude.max()


@torch.no_grad()
def test_the_magnitude_is_the_length_of_the_flow() -> None:
    flow = small(output="flow")(*frames(4))
    assert flow.shape == (2, 6, 32, 48)
    length = flow.reshape(2, 3, 2, 32, 48).norm(dim=2)
    torch.testing.assert_close(small()(*frames(4)), length)


@torch.no_grad()
def test_each_interval_is_what_it_would_be_alone() -> None:
    frame, *pasts = frames(4)
    together = small()(frame, *pasts)
    for index, past in enumerate(pasts):
        torch.testing.assert_close(together[:, index : index + 1], small((5,))(frame, past))


@pytest.mark.parametrize("for_tensorrt", [False, True])
@torch.no_grad()
def test_the_deployed_form_computes_the_same_without_norms(for_tensorrt: bool) -> None:
    graph = small()
    expected = graph(*frames(4))
    form = deployed(graph, (32, 48), for_tensorrt=for_tensorrt)
    assert form.by_rows is not for_tensorrt
    torch.testing.assert_close(form(*frames(4)), expected, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in form.modules())
    again = FlowNet(WIDTHS, folded=True)
    again.load_state_dict(fold(graph.network).state_dict())


@torch.no_grad()
def test_levels_come_coarse_to_fine_in_pixels_of_the_frame() -> None:
    graph = small((1,), "flow")
    levels = graph.levels(*frames(2))
    assert [level.shape for level in levels] == [(2, 2, 32, 48)] * 3
    torch.testing.assert_close(levels[-1], graph(*frames(2)))


@torch.no_grad()
def test_matches_that_are_not_trusted_and_no_correction_are_no_flow() -> None:
    graph = small((1,), "flow")
    for estimator in graph.network.estimators:
        estimator.flow.weight.zero_()
        estimator.flow.bias.copy_(torch.tensor([-100.0, 0, 0]))
    assert graph(*frames(2)).abs().max() < 1e-6


def test_a_match_is_the_mean_shift_under_the_softmax_of_its_scores() -> None:
    scores = torch.zeros(1, 9, 1, 2)
    scores[0, 5, 0, 0] = 100.0  # dy 0, dx 1
    scores[0, [0, 1], 0, 1] = 100.0  # dy -1, dx -1 and 0
    assert match(scores, 1)[0, :, 0].T.tolist() == [[1.0, 0.0], [-0.5, -1.0]]
    assert match(torch.ones(1, 49, 1, 1), 3).abs().max() < 1e-6


def test_the_description_builds_the_same_network_again() -> None:
    for graph in (small(), small((2,), "flow"), deployed(small())):
        description = description_of(graph)
        again = module_from_description(description)
        assert description_of(again) == description
        assert again.network.state_dict().keys() == graph.network.state_dict().keys()


def test_the_facts_of_the_flow_are_those_of_the_network() -> None:
    graph = build_networks(ModelRequest(width=4, flow="net", flow_weights="random"))["cue"]
    assert parameters(graph) == FLOWS["net"].parameters
    frame = torch.zeros(1, 256, 256, 3, dtype=torch.uint8)
    assert gflop(graph, *[frame] * 4) == pytest.approx(FLOWS["net"].gflop, abs=0.01)


def test_weights_of_other_widths_build_the_network_that_they_fit(tmp_path) -> None:
    trained = FlowGraph(FlowNet(WIDTHS), (1,), output="flow")
    init_weights(trained.network, 1)
    file = tmp_path / "flow.safetensors"
    save_weights(trained.network, file, description_of(trained))
    request = ModelRequest(width=4, flow="net", flow_weights=str(file), intervals=(1, 4))
    graphs = build_networks(request)
    assert graphs["cue"].network.widths == WIDTHS
    assert graphs["cue"].input_names == ("frame", "past_1", "past_4")
    origin = network_origins(request, graphs)["cue"].origin
    assert origin["trained"]
    assert origin["file"] == str(file.resolve())


def test_net_takes_the_weights_that_are_shipped_unless_others_are_named() -> None:
    request = ModelRequest(width=4, flow="net")
    assert request.flow_weights_origin == FLOW_NET
    assert weights_file(FLOW_NET).stat().st_size <= 2_500_000
    graphs = build_networks(request)
    origin = network_origins(request, graphs)["cue"].origin
    assert origin["trained"]
    assert origin["file"] == FLOW_NET
    assert ModelRequest(width=4, flow="net", flow_weights="random").flow_weights_origin == "random"


def test_the_shipped_network_sees_a_pattern_move() -> None:
    noise = np.random.default_rng(0).uniform(0, 255, (20, 20, 3)).astype(np.float32)
    picture = cv2.resize(noise, (160, 160), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    frame, past = (
        torch.from_numpy(picture[None, 16:144, 16 + shift : 144 + shift].copy()) for shift in (0, 6)
    )
    magnitude = build_networks(ModelRequest(width=4, flow="net", intervals=(5,)))["cue"]
    with torch.no_grad():
        moving, still = magnitude(frame, past), magnitude(frame, frame)
    inner = np.s_[..., 32:96, 32:96]
    assert moving[inner].median() == pytest.approx(6, abs=2)
    assert still[inner].median() < 0.5


def test_sizes_and_settings_that_cannot_be_are_named() -> None:
    with pytest.raises(ExportError, match=r"100x64.*multiples of 16"):
        check_flow_size((64, 100))
    with pytest.raises(ExportError, match="halves them four times"):
        small((1,))(*frames(2, 36, 48))
    with pytest.raises(ValueError, match="expected 4 frames"):
        small()(*frames(2))
    with pytest.raises(ValueError, match="intervals must be"):
        FlowGraph(FlowNet(WIDTHS), ())
    with pytest.raises(ValueError, match="output must be one of"):
        FlowGraph(FlowNet(WIDTHS), output="speed")
    with pytest.raises(ValueError, match="4 widths"):
        FlowNet((4, 8))
    with pytest.raises(ExportError, match="no weights are shipped for flow 'selflow'"):
        ModelRequest(flow="selflow", flow_weights="shipped")
