"""CrossNet: sizes that the papers imply, switches, and exactness of the deployed form."""

import pytest
import torch

from edgebs.errors import ExportError
from export.convert.cost import gflop, parameters
from export.models.weights import init_weights
from export.networks.crossnet import CrossNet, check_size, fit_kernels, fold_norms, shuffle_head


def inputs(height: int = 256, width: int = 256, intervals: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.rand(1, 3, height, width, generator=generator) * 2 - 1,
        torch.rand(1, intervals, height, width, generator=generator) * 2 - 1,
    )


def seeded(width: int = 4, norm: str = "batch", **switches: bool) -> CrossNet:
    network = CrossNet(width, norm, **switches).eval()
    init_weights(network, seed=3)
    return network


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_full_width_has_the_parameters_of_the_paper(norm: str) -> None:
    with torch.device("meta"):
        assert parameters(CrossNet(64, norm)) == 173_173_697


@pytest.mark.parametrize(("width", "expected"), [(64, 84.5), (32, 21.3), (16, 5.4), (8, 1.4)])
def test_gflop_at_256(width: int, expected: float) -> None:
    with torch.device("meta"):
        network = CrossNet(width).eval()
        frame, cue = torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 256, 256)
        assert gflop(network, frame, cue) == pytest.approx(expected, abs=0.05)


@torch.no_grad()
def test_logit_has_the_size_of_the_frame_also_where_that_is_not_square() -> None:
    network = seeded()
    for height, width in ((256, 256), (256, 512)):
        assert network(*inputs(height, width)).shape == (1, 1, height, width)


@pytest.mark.parametrize("size", [(240, 320), (0, 256), (128, 256)])
def test_other_sizes_are_refused_with_the_allowed_multiple(size: tuple[int, int]) -> None:
    with pytest.raises(ExportError, match="multiples of 256"):
        check_size(size)
    with pytest.raises(ExportError, match=f"{size[1]}x{size[0]}"), torch.no_grad():
        seeded()(torch.zeros(1, 3, *size), torch.zeros(1, 3, *size))


def test_layer_norm_is_over_all_of_a_sample_with_gains_per_channel() -> None:
    norm = CrossNet(4, "layer").frame_encoder.norms[1]
    x = torch.randn(2, 8, 6, 6) * 3 + 1
    torch.nn.init.constant_(norm.weight, 2.0)
    torch.nn.init.constant_(norm.bias, 0.5)
    spread, mean = torch.var_mean(x, dim=(1, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(norm(x), (x - mean) / spread.sqrt() * 2 + 0.5)


@torch.no_grad()
def test_without_hop_there_is_one_encoder_and_no_cue() -> None:
    frame, cue = inputs()
    network = seeded(hop=False)
    assert network(frame).shape == (1, 1, 256, 256)
    assert not any(name.startswith("cue_encoder") for name in network.state_dict())
    with pytest.raises(ValueError, match="takes no cue"):
        network(frame, cue)
    with pytest.raises(ValueError, match="a frame and a cue"):
        seeded()(frame)


@torch.no_grad()
def test_without_cmdff_nothing_weighs_the_skip_features() -> None:
    network = seeded(cmdff=False)
    assert network(*inputs()).shape == (1, 1, 256, 256)
    assert not any("attend" in name for name in network.state_dict())


@torch.no_grad()
def test_intervals_are_the_channels_of_the_cue() -> None:
    network = CrossNet(4, intervals=2).eval()
    assert network(*inputs(intervals=2)).shape == (1, 1, 256, 256)


def test_unknown_norm_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="batch, layer"):
        CrossNet(4, "instance")


def test_dropout_acts_in_training_only_in_the_first_three_blocks() -> None:
    drops = [isinstance(block.drop, torch.nn.Dropout) for block in CrossNet(4).blocks]
    assert drops == [True, True, True, False, False, False, False]


@pytest.mark.parametrize("norm", ["batch", "layer"])
@torch.no_grad()
def test_folding_norms_changes_nothing(norm: str) -> None:
    network = seeded(norm=norm)
    before = network(*inputs())
    folded = fold_norms(network)
    torch.testing.assert_close(folded(*inputs()), before, rtol=0, atol=1e-5)
    torch.testing.assert_close(network(*inputs()), before, rtol=0, atol=0)  # the original stays as it was
    assert before.std() > 0.1
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in folded.modules())


@pytest.mark.parametrize("hop", [True, False])
@torch.no_grad()
def test_weights_that_meet_only_padding_go_without_a_change(hop: bool) -> None:
    network = seeded(hop=hop)
    fed = inputs() if hop else inputs()[:1]
    fitted = fit_kernels(network)
    torch.testing.assert_close(fitted(*fed), network(*fed), rtol=0, atol=1e-5)
    assert parameters(fitted) < 0.9 * parameters(network)


def test_a_seventh_of_the_full_network_meets_only_padding() -> None:
    with torch.device("meta"):
        network = CrossNet(64)
        assert parameters(network) - parameters(fit_kernels(network)) == 24_641_536


@torch.no_grad()
def test_the_shuffled_head_is_equal() -> None:
    network = seeded()
    shuffled = shuffle_head(network)
    assert not isinstance(shuffled.head, type(network.head))
    torch.testing.assert_close(shuffled(*inputs()), network(*inputs()), rtol=0, atol=1e-5)


@torch.no_grad()
def test_activated_skips_are_skips_through_leaky_relu_and_survive_every_rewriting():
    plain, active = seeded(norm="layer"), seeded(norm="layer", activated_skips=True)
    active.load_state_dict(plain.state_dict())
    fed = inputs()
    expected = active(*fed)
    assert (expected - plain(*fed)).abs().max() > 0.1
    deployed = fit_kernels(shuffle_head(fold_norms(active)))
    torch.testing.assert_close(deployed(*fed), expected, rtol=0, atol=1e-5)
    for block in active.blocks:  # by hand: the same block without the switch, fed with what the switch makes
        block.activated_skips = False
        block.register_forward_pre_hook(
            lambda _, given: (given[0], torch.where(given[1] > 0, 1.0, 0.2) * given[1])
        )
    torch.testing.assert_close(active(*fed), expected, rtol=0, atol=1e-5)
