"""BMN-BSN: the two U-Nets, their deployed forms, and one file of weights for both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgebs.errors import ExportError, WeightsError
from export.convert import onnx_from_module
from export.convert.cost import gflop, parameters
from export.feeds import Sample, cue_feeds
from export.models import MODELS
from export.models.build import build_networks, description_of, module_from_description, network_origins
from export.models.request import ModelRequest
from export.models.weights import init_weights, save_weights, weights_sha256
from export.networks import fold
from export.networks.bmn_bsn import MapsGraph, MapsSegmentGraph, UNet
from export.networks.graphs import deployed
from export.training.samples.scenes import frames_of, planes_of
from export.training.tasks.segmentation import joint_graph

SIZE = (32, 48)
SMALL = {"width": 2, "references": 3, "maps": 4}


def request(**changes: object) -> ModelRequest:
    return ModelRequest(model="bmn-bsn", **{**SMALL, "weights": "random", "size": SIZE, **changes})  # type: ignore[arg-type]


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(7).integers(0, 256, shape).astype(np.uint8))


def joint() -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """As trained: with norms that are not the identity, a frame, and three references."""
    graph = joint_graph(request()).eval()
    return graph, noise(2, *SIZE, 3), noise(2, 3, *SIZE, 3)


def test_the_published_networks_have_the_parameters_and_operations_that_the_table_says() -> None:
    with torch.device("meta"):
        parts = {name: module_from_description({"network": name}) for name in ("bsn", "bmn")}
        frame, cue = torch.zeros(1, 240, 320, 3, dtype=torch.uint8), torch.zeros(1, 12, 240, 320)
    facts = MODELS["bmn-bsn"]
    assert sum(parameters(graph) for graph in parts.values()) == facts.parameters
    assert gflop(parts["bsn"], frame, cue) == pytest.approx(facts.gflop, abs=0.01)
    assert facts.history_frames == 16


def test_a_block_has_two_convolutions_and_channels_double_at_each_pooling() -> None:
    network = UNet(15, 2, 4, 4)
    widths = [[conv.out_channels for conv in block.modules() if isinstance(conv, torch.nn.Conv2d)]
              for block in network.encoder]  # fmt: skip
    assert widths == [[4, 4], [8, 8], [16, 16], [32, 32], [64, 64]]
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules())
    assert network(torch.zeros(1, 15, 32, 16)).shape == (1, 2, 32, 16)


def test_the_probability_is_the_softmax_of_foreground() -> None:
    graph = MapsSegmentGraph(UNet(7, 2, 2, 2), 4).eval()
    init_weights(graph.network, 1)
    frame, maps = noise(1, *SIZE, 3), torch.rand(1, 4, *SIZE)
    image = frame.float().permute(0, 3, 1, 2) * (2 / 255) - 1
    expected = torch.softmax(graph.network(torch.cat([image, maps], dim=1)), dim=1)[:, 1]
    torch.testing.assert_close(graph(frame, maps), expected)


def test_both_networks_alone_say_what_they_say_as_one() -> None:
    graph, frame, references = joint()
    maps, segment = graph.graphs["cue"], graph.graphs["segment"]  # type: ignore[index]
    planes = torch.stack([torch.from_numpy(planes_of(each.numpy())) for each in references])
    with torch.no_grad():
        torch.testing.assert_close(segment(frame, maps(references)), graph(frame, planes))
    assert np.array_equal(frames_of(planes[0].numpy()), references[0].numpy())


def test_the_deployed_forms_are_equal_and_have_no_norms() -> None:
    graph, _, references = joint()
    maps = graph.graphs["cue"]  # type: ignore[index]
    form = deployed(maps, SIZE)
    with torch.no_grad():
        torch.testing.assert_close(form(references), maps(references), rtol=0, atol=1e-4)
        assert float(maps(references).abs().max()) < 1  # bounded
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in form.modules())


@pytest.mark.parametrize("network", ["bmn", "bsn", "bmn-bsn"])
def test_a_description_builds_the_same_network_again(network: str) -> None:
    description = description_of(module_from_description({"network": network, "width": 2, "depth": 2}))
    assert description_of(module_from_description(description)) == description


@pytest.mark.parametrize("folded", [False, True])
def test_one_file_of_weights_holds_both_networks(tmp_path: Path, folded: bool) -> None:
    graph, _, _ = joint()
    if folded:
        for name, part in graph.graphs.items():  # type: ignore[union-attr]
            part.network = graph.network[name] = fold(part.network)  # type: ignore[index,operator,union-attr]
    file = tmp_path / "best.safetensors"
    cue = request().cue.to_json()
    save_weights(graph.network, file, {**description_of(graph), "cue": cue})  # type: ignore[arg-type]
    again = ModelRequest(model="bmn-bsn", weights=str(file), size=SIZE)
    assert (again.cue.references, again.cue.maps) == (3, 4)
    built = build_networks(again)
    for name, part in graph.graphs.items():  # type: ignore[union-attr]
        assert weights_sha256(built[name].network) == weights_sha256(part.network)
        assert description_of(built[name]) == description_of(part)
    origins = network_origins(again, built)
    assert {name: origin.origin["trained"] for name, origin in origins.items()} == {
        "segment": True,
        "cue": True,
    }
    assert weights_sha256(joint_graph(again).network) == weights_sha256(graph.network)
    with pytest.raises(ExportError, match=r"--references 5 contradicts .*trained with 3"):
        ModelRequest(model="bmn-bsn", weights=str(file), size=SIZE, references=5).require_trained_cue()


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    graph, _, _ = joint()
    save_weights(graph.network, tmp_path / "best.safetensors", description_of(graph))  # type: ignore[arg-type]
    wider = ModelRequest(model="bmn-bsn", weights=str(tmp_path / "best.safetensors"), width=4, size=SIZE)
    with pytest.raises(WeightsError, match="does not fit this network"):
        build_networks(wider)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": (240, 328)}, r"328x240 .*multiples of 16, such as 32\dx240"),
        ({"flow": "selflow"}, "bmn-bsn has no flow: leave --flow selflow out"),
        ({"intervals": (1, 5)}, "no intervals in its cue: leave --intervals out"),
        ({"dis_preset": "fine"}, "no preset in its cue: leave --dis-preset out"),
    ],
)
def test_what_bmn_bsn_has_not_got_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ExportError, match=said):
        request(**changes)


def test_a_size_that_a_depth_cannot_halve_is_named() -> None:
    with pytest.raises(ExportError, match=r"48x32.*multiples of 64"):
        UNet(3, 2, 1, 6)(torch.zeros(1, 3, 32, 48))
    with pytest.raises(ValueError, match="at least 1"):
        UNet(3, 2, 0)


def test_the_cue_network_is_fed_the_frames_of_its_scene_and_exports(tmp_path: Path) -> None:
    graph = MapsGraph(UNet(9, 4, 2, 2, folded=False), 3, 4).eval()
    init_weights(graph.network, 2)
    frames = tuple(noise(*SIZE, 3).numpy() for _ in range(3))
    feeds = cue_feeds([Sample(frames[0], {}, scene=frames)], graph.inputs(SIZE))
    assert {name: array.shape for name, array in feeds[0].items()} == {"references": (1, 3, *SIZE, 3)}
    # Checks opset, names and that ONNX Runtime agrees; raises otherwise.
    onnx_from_module(deployed(graph, SIZE), graph.inputs(SIZE), ["cue"], feeds, tmp_path / "cue.onnx")
    assert (tmp_path / "cue.onnx").stat().st_size > 1000
