"""MEDAL-net: the paper's size, its norms, its hard sigmoid, and its engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgebs.tensors import TensorSpec
from export.convert import onnx_from_module, open_session
from export.convert.cost import parameters
from export.models.weights import init_weights
from export.networks.medal import MedalGraph, MedalNet

SIZE = (24, 32)


def graph() -> MedalGraph:
    made = MedalGraph(MedalNet()).eval()
    init_weights(made.network, 3)
    return made


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    frame = torch.randint(0, 256, (1, *SIZE, 3), generator=generator, dtype=torch.uint8)
    return frame, torch.rand(1, 3, *SIZE, generator=generator) * 255


def test_its_size_is_the_papers_2800_and_its_convolutions_save_the_papers_81_7_percent() -> None:
    net = MedalNet()
    assert parameters(net) == 2806
    separable = sum(parameters(m) for m in net.modules() if isinstance(m, nn.Conv2d))
    plain = 9 * (6 * 16 + 6 * 16 * 16 + 16)
    assert f"{1 - separable / plain:.3f}" == "0.817"


def test_the_probability_is_a_hard_sigmoid_at_the_frames_size() -> None:
    with torch.no_grad():
        made = graph()
        probability = made(*inputs())
        caught: list[torch.Tensor] = []
        made.network.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
        made(*inputs())
    assert probability.shape == (1, *SIZE)
    torch.testing.assert_close(probability, ((caught[0][:, 0] + 1) / 2).clamp(0, 1))
    assert probability.std() > 0


def test_depthwise_filters_are_not_initialised_to_nothing() -> None:
    convolutions = [layer for layer in graph().modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 16
    assert all(layer.weight.std() > 0.01 for layer in convolutions)


@torch.no_grad()
def test_the_logit_for_training_has_the_hard_sigmoids_value_and_slope_in_the_middle() -> None:
    made = graph()
    smooth = torch.sigmoid(made.logit(*inputs()))[:, 0]
    hard = made(*inputs())
    middle = (hard - 0.5).abs() < 0.05
    assert middle.any()
    assert (smooth - hard)[middle].abs().max() < 5e-4
    assert ((smooth > 0.5) == (hard > 0.5)).all()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_norms_survive_every_precision_and_turings_plans(precision: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    from engines.build import build_engine
    from export.convert.fp16 import fp16_from_fp32
    from export.convert.lint import require_clean

    frame, cue = inputs()
    feed = {"frame": frame.numpy(), "cue": cue.numpy()}
    specs = {"frame": TensorSpec((1, *SIZE, 3), "uint8"), "cue": TensorSpec((1, 3, *SIZE), "float32")}
    file = fp32 = tmp_path / "fp32.onnx"
    onnx_from_module(graph(), specs, ["probability"], [feed], fp32)
    if precision != "fp32":
        file = tmp_path / f"{precision}.onnx"
        fp16_from_fp32(fp32, file, [feed])
    require_clean(file, for_tensorrt=True)
    build_engine(file, "sm75", tmp_path / "network.plan")
    (expected,), (found,) = (open_session(path).run(None, feed) for path in (fp32, file))
    assert np.abs(found - expected).mean() < {"fp32": 1e-7, "fp16": 2e-3}[precision]
    assert sum(node.op_type == "InstanceNormalization" for node in _nodes(file)) == 3


def _nodes(file: Path) -> list[Any]:
    import onnx

    return list(onnx.load(str(file)).graph.node)


@torch.no_grad()
def test_the_deployed_norms_are_equal_in_value_and_exact_in_openvino(tmp_path: Path) -> None:
    """A flat scene: what little varies is raised by each of three norms."""
    openvino = pytest.importorskip("openvino")
    made = graph()
    generator = torch.Generator().manual_seed(4)
    frame = 120 + torch.randint(0, 3, (1, 240, 320, 3), generator=generator, dtype=torch.uint8)
    cue = torch.full((1, 3, 240, 320), 121.0)
    exact = ((made.network.double()(made.pair(frame, cue).double()) + 1) / 2).clamp(0, 1)[:, 0]
    form = made.deployed((240, 320), for_tensorrt=False).float()
    assert not any(isinstance(module, torch.nn.InstanceNorm2d) for module in form.modules())
    assert (form(frame, cue) - exact).abs().max() < 2e-5
    file = tmp_path / "medal.onnx"
    specs = {"frame": TensorSpec((1, 240, 320, 3), "uint8"), "cue": TensorSpec((1, 3, 240, 320), "float32")}
    feed = {"frame": frame.numpy(), "cue": cue.numpy()}
    onnx_from_module(form, specs, ["probability"], [feed], file)
    engine = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert abs(engine([feed["frame"], feed["cue"]])[0] - exact.numpy()).max() < 2e-5
