"""Weights: deterministic, of useful scale, and refused with the name of what is wrong."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgebs.errors import WeightsError
from export.models.build import build_networks
from export.models.request import ModelRequest
from export.models.weights import (
    form_of_weights,
    init_weights,
    load_weights,
    save_weights,
    weights_description,
    weights_sha256,
)
from export.networks.crossnet import CrossNet


def seeded(width: int = 4, seed: int = 0) -> CrossNet:
    network = CrossNet(width).eval()
    init_weights(network, seed)
    return network


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_weights(seeded(), tmp_path / "weights.safetensors", {"network": "crossnet", "width": 4})
    return tmp_path / "weights.safetensors"


def test_a_seed_gives_the_same_weights_in_another_process() -> None:
    code = (
        "from export.networks.crossnet import CrossNet; from export.models.weights import *\n"
        "net = CrossNet(4); init_weights(net, 7); print(weights_sha256(net))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert other == weights_sha256(seeded(seed=7))
    assert other != weights_sha256(seeded(seed=8))


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("seed", [0, 1, 2])
@torch.no_grad()
def test_random_logits_are_around_zero_with_a_spread_of_order_one(norm: str, seed: int) -> None:
    network = CrossNet(8, norm).eval()
    init_weights(network, seed)
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.rand(2, 1, 3, 16, 16, generator=generator) * 2 - 1
    frame, cue = (torch.nn.functional.interpolate(image, scale_factor=16) for image in blocks)
    logit = network(frame, cue)
    assert 0.2 < logit.std() < 3
    assert logit.mean().abs() < logit.std()


@torch.no_grad()
def test_what_was_saved_is_loaded(file: Path) -> None:
    other = seeded(seed=5)
    load_weights(other, file)
    assert weights_sha256(other) == weights_sha256(seeded())
    assert weights_description(file) == {"network": "crossnet", "width": 4}


def test_no_temporary_file_is_left_behind(file: Path) -> None:
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "nowhere").touch()
    with pytest.raises(WeightsError, match="nowhere"):
        save_weights(seeded(), tmp_path / "nowhere" / "weights.safetensors")


def test_weights_of_another_width_are_refused_with_both_widths(file: Path) -> None:
    with pytest.raises(WeightsError, match="width 4, but this one has width 8"):
        load_weights(CrossNet(8), file)


def edited(file: Path, **changes: torch.Tensor | None) -> Path:
    tensors = load_file(file) | {name.replace("__", "."): tensor for name, tensor in changes.items()}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, file)
    return file


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name_and_nothing_is_loaded(
    file: Path, value: float
) -> None:
    network = seeded(seed=5)
    before = weights_sha256(network)
    bias = torch.zeros(1)
    bias[0] = value
    with pytest.raises(WeightsError, match=r"'head\.bias' holds NaN"):
        load_weights(network, edited(file, head__bias=bias))
    assert weights_sha256(network) == before


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"head__bias": None}, "missing, the first is 'head.bias'"),
        ({"tail__bias": torch.zeros(1)}, "unknown, the first is 'tail.bias'"),
        ({"head__bias": torch.zeros(2)}, r"'head.bias' has shape \(2,\) where \(1,\)"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    file: Path, changes: dict[str, torch.Tensor | None], complaint: str
) -> None:
    with pytest.raises(WeightsError, match=complaint):
        load_weights(seeded(), edited(file, **changes))


def test_a_missing_file_and_a_damaged_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights at"):
        load_weights(seeded(), tmp_path / "absent.safetensors")
    (tmp_path / "noise.safetensors").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        load_weights(seeded(), tmp_path / "noise.safetensors")


def with_header(tmp_path: Path, header: str) -> Path:
    save_file({"a": torch.zeros(1)}, tmp_path / "odd.safetensors", {"edgebs": header})
    return tmp_path / "odd.safetensors"


@pytest.mark.parametrize("header", ["{", "[1]", "3", "null"])
def test_a_header_that_is_no_json_object_names_the_file(tmp_path: Path, header: str) -> None:
    with pytest.raises(WeightsError, match=r"the header of .*odd\.safetensors is damaged \(no JSON"):
        weights_description(with_header(tmp_path, header))


def test_weights_of_another_network_are_said_before_their_widths_are_looked_at(tmp_path: Path) -> None:
    file = with_header(tmp_path, '{"network": "flow-net", "widths": "many"}')
    with pytest.raises(WeightsError, match=r"odd\.safetensors holds weights of flow-net, and edge is wanted"):
        form_of_weights(file, "edge")
    with pytest.raises(WeightsError, match="holds weights of flow-net, and crossnet is wanted"):
        ModelRequest(weights=str(file))
    with pytest.raises(WeightsError, match="holds weights of flow-net, and selflow is wanted"):
        build_networks(ModelRequest(width=1, flow="selflow", flow_weights=str(file)))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('{"widths": "many"}', "widths 'many'"),
        ('{"widths": [8, 8.5]}', "widths"),
        ('{"widths": [8, true]}', "widths"),
        ('{"widths": [0, 8]}', "widths"),
        ('{"folded": "yes"}', "folded 'yes'"),
        ('{"widths": [8]}', "cannot be built"),
        ('{"widths": []}', "cannot be built"),
    ],
)
@pytest.mark.parametrize("option", ["weights", "flow_weights"])
def test_a_form_that_no_network_has_names_the_file(
    tmp_path: Path, header: str, message: str, option: str
) -> None:
    other: dict[str, Any] = {"model": "edge"} if option == "weights" else {"width": 1, "flow": "net"}
    request = ModelRequest(**other, **{option: str(with_header(tmp_path, header))})
    with pytest.raises(WeightsError, match=rf"odd\.safetensors.*{message}"):
        build_networks(request)


@pytest.mark.parametrize(
    "header",
    [
        '{"cue": 3}',
        '{"cue": {}}',
        '{"max_magnitude": "far"}',
        '{"max_magnitude": NaN}',
        '{"max_magnitude": -1}',
        '{"max_magnitude": []}',
    ],
)
def test_a_cue_that_cannot_be_names_the_file(tmp_path: Path, header: str) -> None:
    with pytest.raises(WeightsError, match=r"odd\.safetensors is damaged \(impossible settings of the cue"):
        ModelRequest(model="edge", weights=str(with_header(tmp_path, header)))
