"""The exported graphs against the plain composition of their networks."""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from export.models.build import description_of, module_from_description
from export.models.weights import init_weights
from export.networks.crossnet import CrossNet
from export.networks.graphs import HopGraph, SegmentGraph, deployed, standardised
from export.networks.selflow import SelFlow

EXPORTER_CHATTER = "Constant folding - Only steps=1"


def frame(seed: int, height: int = 64, width: int = 128) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, height, width, 3), dtype=torch.uint8, generator=generator)


def selflow(warp: str) -> SelFlow:
    network = SelFlow(warp).eval()
    init_weights(network, seed=0)
    return network


def segment_graph(norm: str = "batch") -> SegmentGraph:
    network = CrossNet(4, norm).eval()
    init_weights(network, seed=0)
    return SegmentGraph(network, max_magnitude=20.0).eval()


def network_image(image: torch.Tensor) -> torch.Tensor:
    """RGB in [0, 1], the slow and plain way."""
    return torch.stack([image[..., 2], image[..., 1], image[..., 0]], dim=1).float() / 255


def composed(network: SelFlow, now: torch.Tensor, past: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
    """The magnitude that one ordinary SelFlow pass gives."""
    _, backward = network(network_image(past), network_image(now), network_image(later))
    return torch.linalg.vector_norm(backward, dim=1)


@pytest.mark.parametrize("warp", ["published", "grid_sample"])
@torch.no_grad()
def test_causal_hop_equals_one_selflow_pass_per_interval(warp: str) -> None:
    network = selflow(warp)
    now, *pasts = (frame(seed) for seed in range(4))
    cue = HopGraph(network, (1, 5, 10)).eval()(now, *pasts)
    expected = torch.stack([composed(network, now, past, now) for past in pasts], dim=1)
    assert cue.shape == (1, 3, 64, 128)
    assert expected.mean() > 0.1
    torch.testing.assert_close(cue, expected, rtol=0, atol=1e-4)


@torch.no_grad()
def test_look_ahead_hop_uses_the_future_frame_of_each_interval() -> None:
    network = selflow("grid_sample")
    now, past_2, past_7, future_2, future_7 = (frame(seed) for seed in range(5))
    hop = HopGraph(network, (2, 7), look_ahead=True).eval()
    assert hop.input_names == ("frame", "past_2", "past_7", "future_2", "future_7")
    expected = [composed(network, now, past_2, future_2), composed(network, now, past_7, future_7)]
    torch.testing.assert_close(
        hop(now, past_2, past_7, future_2, future_7), torch.stack(expected, dim=1), rtol=0, atol=1e-4
    )


@torch.no_grad()
def test_hop_takes_a_batch() -> None:
    hop = HopGraph(selflow("grid_sample"), (1, 2)).eval()
    frames = [frame(seed) for seed in range(6)]
    together = hop(*(torch.cat(pair) for pair in (frames[0:2], frames[2:4], frames[4:6])))
    alone = torch.cat([hop(frames[0], frames[2], frames[4]), hop(frames[1], frames[3], frames[5])])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


@torch.no_grad()
def test_segment_graph_scales_frame_and_cue_and_returns_a_probability() -> None:
    graph = segment_graph()
    image = frame(0, 256, 256)
    cue = torch.rand(1, 3, 256, 256) * 40
    expected = torch.sigmoid(graph.network(network_image(image) * 2 - 1, (cue / 20).clamp(max=1) * 2 - 1))[
        :, 0
    ]
    probability = graph(image, cue)
    assert probability.shape == (1, 256, 256)
    torch.testing.assert_close(probability, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "layer"])
@torch.no_grad()
def test_the_deployed_form_is_equal_and_leaves_the_graph_alone(norm: str) -> None:
    graph = segment_graph(norm)
    image, cue = frame(0, 256, 256), torch.rand(1, 3, 256, 256) * 40
    before = graph(image, cue)
    for size in (None, (256, 256)):
        torch.testing.assert_close(deployed(graph, size)(image, cue), before, rtol=0, atol=1e-5)
    torch.testing.assert_close(graph(image, cue), before, rtol=0, atol=0)


def onnx_outputs(module: torch.nn.Module, file: Path, feed: dict[str, torch.Tensor]) -> np.ndarray:
    """Export as to_onnx.py does; any warning that is not the exporter's own chatter fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the exporter's own, about itself
        warnings.filterwarnings("ignore", EXPORTER_CHATTER)
        torch.onnx.export(
            module, tuple(feed.values()), file, opset_version=17, dynamo=False, input_names=list(feed)
        )
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {name: tensor.numpy() for name, tensor in feed.items()})[0]


@pytest.mark.parametrize("norm", ["batch", "layer"])
@torch.no_grad()
def test_segment_graph_exports_without_warnings_or_padding_nodes(norm: str, tmp_path: Path) -> None:
    import onnx

    graph = segment_graph(norm)
    feed = {"frame": frame(0, 256, 256), "cue": torch.rand(1, 3, 256, 256) * 40}
    found = onnx_outputs(deployed(graph, (256, 256)), tmp_path / "segment.onnx", feed)
    np.testing.assert_allclose(found, graph(*feed.values()).numpy(), rtol=0, atol=1e-4)
    kinds = [node.op_type for node in onnx.load(tmp_path / "segment.onnx").graph.node]
    assert "Pad" not in kinds
    assert kinds.count("ConvTranspose") == 7


@pytest.mark.parametrize(
    ("warp", "for_tensorrt"), [("published", False), ("grid_sample", False), ("grid_sample", True)]
)
@torch.no_grad()
def test_hop_graph_exports_without_warnings(warp: str, for_tensorrt: bool, tmp_path: Path) -> None:
    import onnx

    graph = HopGraph(selflow(warp), (1, 5)).eval()
    feed = {name: frame(seed) for seed, name in enumerate(graph.input_names)}
    found = onnx_outputs(deployed(graph, for_tensorrt=for_tensorrt), tmp_path / "hop.onnx", feed)
    np.testing.assert_allclose(found, graph(*feed.values()).numpy(), rtol=0, atol=1e-3)
    nodes = onnx.load(tmp_path / "hop.onnx").graph.node
    samplers = [node for node in nodes if node.op_type == "GridSample"]
    assert {attribute.s for node in samplers for attribute in node.attribute if attribute.name == "mode"} <= {
        b"bilinear"
    }
    assert any(node.op_type == "MatMul" for node in nodes) is not for_tensorrt


@pytest.mark.parametrize(
    "graph",
    [
        SegmentGraph(CrossNet(4, "layer", 2, cmdff=False), 12.5),
        SegmentGraph(CrossNet(4, hop=False), 20.0),
        HopGraph(SelFlow("published"), (1, 3), look_ahead=True),
    ],
)
def test_a_description_rebuilds_the_same_graph(graph: SegmentGraph | HopGraph) -> None:
    import json

    description = json.loads(json.dumps(description_of(graph)))
    rebuilt = module_from_description(description)
    assert description_of(rebuilt) == description
    rebuilt.network.load_state_dict(graph.network.state_dict())


def test_unknown_network_is_refused_with_the_known_ones() -> None:
    from edgebs.errors import ExportError

    with pytest.raises(
        ExportError,
        match=r"known: bmn, bmn-bsn, .*crossnet, edge, edge-small, edge-nano, flow-net, .*selflow",
    ):
        module_from_description({"network": "unet"})


def test_standardised_channels_have_mean_0_and_deviation_1_each_and_a_flat_one_is_0():
    images = torch.tensor([[1.0, 3.0], [2.0, 2.0], [0.0, 10.0]]).reshape(1, 3, 1, 2)
    torch.testing.assert_close(
        standardised(images).reshape(3, 2), torch.tensor([[-1.0, 1.0], [0.0, 0.0], [-1.0, 1.0]])
    )


@torch.no_grad()
def test_a_deployed_graph_still_standardises_its_frames():
    frames = [frame(1), frame(2)]
    plain = HopGraph(selflow("published"), (1,)).eval()
    graph = HopGraph(plain.network, (1,), standardise=True).eval()
    torch.testing.assert_close(deployed(graph)(*frames), graph(*frames), rtol=0, atol=1e-3)
    assert (graph(*frames) - plain(*frames)).abs().mean() > 0.1
