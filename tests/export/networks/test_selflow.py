"""SelFlow: size, both warps, and the cost volume against a direct loop."""

import pytest
import torch

from edgebs.errors import ExportError
from export.convert.cost import gflop, parameters
from export.models.weights import init_weights
from export.networks.selflow import (
    SelFlow,
    check_size,
    correlate,
    correlate_by_rows,
    cost_volume,
    resize_flow,
    warp,
)


def test_has_the_parameters_of_the_checkpoint_without_the_step_counter() -> None:
    assert parameters(SelFlow()) == 4_790_876


def test_gflop_of_one_triple_at_256() -> None:
    image = torch.zeros(1, 3, 256, 256)
    assert gflop(SelFlow(), image, image, image) == pytest.approx(23.0, abs=0.05)


@pytest.mark.parametrize("kind", ["published", "grid_sample"])
@torch.no_grad()
def test_flows_are_finite_and_of_the_size_of_the_frames(kind: str) -> None:
    network = SelFlow(kind).eval()
    init_weights(network, seed=0)
    frames = torch.rand(3, 1, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    forward, backward = network(*frames)
    assert forward.shape == backward.shape == (1, 2, 64, 128)
    assert torch.isfinite(forward).all()
    assert 0.05 < backward.abs().mean() < 50


@torch.no_grad()
def test_directions_exchange_with_the_outer_frames() -> None:
    network = SelFlow().eval()
    init_weights(network, seed=0)
    x0, x1, x2 = torch.rand(3, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    forward, backward = network(x0, x1, x2)
    swapped_forward, swapped_backward = network(x2, x1, x0)
    torch.testing.assert_close(swapped_forward, backward)
    torch.testing.assert_close(swapped_backward, forward)


def test_sizes_that_cannot_be_halved_six_times_are_refused() -> None:
    with pytest.raises(ExportError, match="multiples of 64"):
        check_size((240, 320))


def test_unknown_warp_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="published, grid_sample"):
        SelFlow("nearest")


RAMP = torch.arange(16.0).reshape(1, 1, 4, 4)  # value = 4 y + x


def flow_of(x: float, y: float) -> torch.Tensor:
    return torch.tensor([x, y]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4)


@pytest.mark.parametrize("kind", ["published", "grid_sample"])
def test_inside_the_image_both_warps_are_bilinear(kind: str) -> None:
    moved = warp(RAMP, flow_of(0.5, 0.25), kind)
    torch.testing.assert_close(moved[0, 0, 1, 1], torch.tensor(5 + 0.5 + 4 * 0.25))


def test_outside_the_image_grid_sample_repeats_the_border_and_the_published_warp_gives_zero() -> None:
    torch.testing.assert_close(warp(RAMP, flow_of(10, 0), "grid_sample")[0, 0, :, 0], RAMP[0, 0, :, 3])
    assert warp(RAMP, flow_of(10, 0), "published").abs().max() == 0
    assert warp(RAMP, flow_of(-10, 0), "published").abs().max() == 0


def test_the_published_warp_truncates_toward_zero() -> None:
    # x = -0.5 at the left edge: corners 0 and 1 with weights 1.5 and -0.5, not -1 and 0.
    moved = warp(RAMP, flow_of(-0.5, 0), "published")
    torch.testing.assert_close(moved[0, 0, 0, 0], torch.tensor(1.5 * 0 - 0.5 * 1))


def test_the_published_warp_loses_the_last_row_and_column_even_at_zero_flow() -> None:
    still = warp(RAMP, flow_of(0, 0), "published")[0, 0]
    torch.testing.assert_close(still[:3, :3], RAMP[0, 0, :3, :3])
    assert still[3].abs().max() == still[:, 3].abs().max() == 0


def test_cost_volume_is_the_cosine_with_each_of_81_neighbours() -> None:
    generator = torch.Generator().manual_seed(0)
    here, there = torch.randn(2, 1, 5, 6, 7, generator=generator)
    costs = cost_volume(here, there)
    assert costs.shape == (1, 81, 6, 7)
    y, x = 2, 3
    for dy, dx in ((-4, 0), (-1, 2), (0, 0), (3, 3), (1, 4)):
        got = costs[0, (dy + 4) * 9 + dx + 4, y, x]
        row, column = y + dy, x + dx
        inside = 0 <= row < 6 and 0 <= column < 7
        expected = (
            torch.cosine_similarity(here[0, :, y, x], there[0, :, row, column], dim=0)
            if inside
            else torch.zeros(())
        )
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("width", [1, 4, 16, 24, 32])
def test_both_ways_to_correlate_are_equal_at_widths_that_blocks_do_not_divide(width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    here, there = (
        torch.randn(1, 5, 6, width, generator=generator),
        torch.randn(2, 5, 6, width, generator=generator),
    )
    torch.testing.assert_close(correlate_by_rows(here, there), correlate(here, there), rtol=0, atol=1e-5)


@pytest.mark.parametrize("search", [correlate, correlate_by_rows])
def test_a_smaller_radius_gives_the_middle_of_the_larger_search(search) -> None:
    here, there = torch.randn(2, 1, 5, 6, 16, generator=torch.Generator().manual_seed(0))
    middle = search(here, there).reshape(9, 9, 6, 16)[1:8, 1:8].reshape(1, 49, 6, 16)
    torch.testing.assert_close(search(here, there, 3), middle, rtol=0, atol=1e-5)


def test_cost_of_empty_features_is_zero_and_not_nan() -> None:
    assert cost_volume(torch.zeros(1, 4, 3, 3), torch.zeros(1, 4, 3, 3)).abs().max() == 0


def test_resizing_a_flow_scales_its_values_by_each_side() -> None:
    flow = torch.tensor([1.0, 1.0]).reshape(1, 2, 1, 1).expand(1, 2, 2, 4)
    larger = resize_flow(flow, (8, 8))
    assert larger.shape == (1, 2, 8, 8)
    assert larger[0, :, 3, 3].tolist() == [2.0, 4.0]
