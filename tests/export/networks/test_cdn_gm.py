"""CDN-GM: the paper's sizes and equations, and the step that equals the whole series."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from edgebs.tensors import TensorSpec
from export.convert import onnx_from_module, open_session
from export.convert.cost import parameters
from export.models.weights import init_weights
from export.networks.cdn_gm import (
    BLOCK,
    FRAMES,
    SIGMA_MAX,
    SIGMA_MIN,
    CdnGm,
    PixelMixture,
    SeriesGraph,
    StepGraph,
    hard_sigmoid,
    mixture_from,
)
from export.networks.medal import MedalNet

HEIGHT, WIDTH = 3, 4


def network() -> CdnGm:
    made = CdnGm().eval()
    init_weights(made, 1)
    return made


def series(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, FRAMES, HEIGHT, WIDTH, 3), generator=generator, dtype=torch.uint8)


def test_both_networks_have_the_papers_3500_parameters() -> None:
    assert FRAMES == 245
    assert parameters(CdnGm()) == 704
    assert parameters(CdnGm()) + parameters(MedalNet()) == 3510


def test_the_hard_sigmoid_is_that_of_equation_7() -> None:
    found = hard_sigmoid(torch.tensor([-3.0, -1.0, 0.0, 0.5, 1.0, 3.0]))
    assert found.tolist() == [0.0, 0.0, 0.5, 0.75, 1.0, 1.0]


def test_sigma_stays_between_16_and_32_grey_levels() -> None:
    mixture = mixture_from(
        torch.zeros(1, 9, 1, 1), torch.zeros(1, 3, 1, 1), torch.tensor([-9.0, 0, 9]).reshape(1, 3, 1, 1)
    )
    expected = torch.tensor([SIGMA_MIN, (SIGMA_MIN + SIGMA_MAX) / 2, SIGMA_MAX])
    torch.testing.assert_close(mixture.sigma[0, :, 0], expected)


def test_the_background_is_the_mean_of_the_heaviest_narrowest_component() -> None:
    mixture = PixelMixture(
        torch.tensor([[[0.5], [0.3], [0.2]]]),
        torch.tensor([[[[0.1], [0.2], [0.3]], [[0.4], [0.5], [0.6]], [[0.7], [0.8], [0.9]]]]),
        torch.tensor([[[0.12], [0.063], [0.12]]]),
    )
    # 0.5 / 0.12 = 4.2 against 0.3 / 0.063 = 4.8.
    torch.testing.assert_close(mixture.background()[0, :, 0], torch.tensor([0.4, 0.5, 0.6]))


def test_the_likelihood_is_that_of_pytorchs_own_mixture() -> None:
    with torch.no_grad():
        values = torch.rand(1, 3, FRAMES, 2, generator=torch.Generator().manual_seed(2))
        mixture = network()(values)
        expected = 0.0
        for pixel in range(2):
            parts = torch.distributions.Normal(
                mixture.mean[0, :, :, pixel], mixture.sigma[0, :, pixel, None].expand(3, 3)
            )
            made = torch.distributions.MixtureSameFamily(
                torch.distributions.Categorical(mixture.weight[0, :, pixel]),
                torch.distributions.Independent(parts, 1),
            )
            expected -= float(made.log_prob(values[0, :, :, pixel].t()).mean()) / 2
        assert math.isclose(float(mixture.negative_log_likelihood(values)), expected, rel_tol=1e-4)


def test_a_step_takes_a_seventh_of_the_rows_and_halves_what_it_keeps_of_large_frames() -> None:
    step = StepGraph(network())
    small, large = step.inputs((240, 320)), step.inputs((480, 640))
    assert small["frames"].shape == (1, 7, 35, 320, 3)
    assert [small[name].dtype for name in ("sums", "features")] == ["float32"] * 2
    assert [large[name].dtype for name in ("sums", "features")] == ["float16"] * 2
    assert step.outputs((240, 320))["feature"].shape == (1, 7, 35, 320)


@torch.no_grad()
def test_pixels_do_not_know_of_each_other() -> None:
    graph, values = SeriesGraph(network()), series()
    changed = values.clone()
    changed[:, :, 1, 2] = 255 - changed[:, :, 1, 2]
    difference = (graph(changed) - graph(values))[0].abs().amax(dim=0)
    assert difference[1, 2] > 0
    assert difference.sum() == difference[1, 2]


@torch.no_grad()
def test_steps_over_blocks_give_what_the_whole_series_gives() -> None:
    net, values = network(), series()
    step = StepGraph(net).eval()
    sums, features, background = [], [], torch.zeros(0)
    for block in range(FRAMES // BLOCK):
        earlier = [
            sums[block - age] if block >= age else torch.zeros(1, 3, HEIGHT, WIDTH) for age in range(6, 0, -1)
        ]
        groups = [
            features[block - age] if block >= age else torch.zeros(1, 7, HEIGHT, WIDTH)
            for age in (28, 21, 14, 7)
        ]
        frames = values[:, BLOCK * block : BLOCK * (block + 1)]
        background, newest, feature = step(frames, torch.cat(earlier, 1), torch.cat(groups, 1))
        sums.append(newest)
        features.append(feature)
    expected = SeriesGraph(net)(values)
    assert expected.std() > 1
    torch.testing.assert_close(background / 255, expected / 255, rtol=0, atol=1e-5)


def test_the_series_exports_as_one_graph_of_all_pixels(tmp_path: Path) -> None:
    shape = (1, FRAMES, HEIGHT, WIDTH, 3)
    feed = {"series": series(1).numpy()}
    file = tmp_path / "series.onnx"
    onnx_from_module(
        SeriesGraph(network()), {"series": TensorSpec(shape, "uint8")}, ["background"], [feed], file
    )
    (found,) = open_session(file).run(None, {"series": series(2).numpy()})
    with torch.no_grad():
        expected = SeriesGraph(network())(series(2)).numpy()
    np.testing.assert_allclose(found / 255, expected / 255, atol=1e-5)


@pytest.mark.parametrize("step", [False, True])
def test_turings_plan_builds_from_series_and_from_steps(step: bool, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    from engines.build import build_engine
    from export.convert.lint import require_clean

    inputs = StepGraph(network()).inputs((HEIGHT * BLOCK, WIDTH))
    if not step:
        inputs = {"series": TensorSpec((1, FRAMES, HEIGHT, WIDTH, 3), "uint8")}
    rng = np.random.default_rng(0)
    feed = {name: rng.uniform(0, 1, spec.shape).astype(spec.dtype) for name, spec in inputs.items()}
    file = tmp_path / "network.onnx"
    graph = StepGraph(network()) if step else SeriesGraph(network())
    outputs = StepGraph.output_names if step else ("background",)
    onnx_from_module(graph, inputs, list(outputs), [feed], file)
    require_clean(file, for_tensorrt=True)
    assert build_engine(file, "sm75", tmp_path / "network.plan").nbytes > 1000
