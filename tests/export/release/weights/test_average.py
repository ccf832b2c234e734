"""The mean of checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgebs.errors import WeightsError
from export.models.build import description_of, module_from_description
from export.models.weights import init_weights, load_weights, save_weights, weights_description, weights_of
from export.networks.edge import EdgeGraph, EdgeNet
from export.release.weights import average


def checkpoint(file: Path, seed: int, widths: tuple[int, ...] = (4, 6)) -> Path:
    graph = EdgeGraph(EdgeNet(widths), 20.0)
    init_weights(graph.network, seed)
    save_weights(graph.network, file, {**description_of(graph), "training": {"step": seed}})
    return file


def test_each_tensor_is_the_mean_and_the_origin_is_kept(tmp_path: Path) -> None:
    files = [checkpoint(tmp_path / f"{seed}.safetensors", seed) for seed in (1, 2, 3)]
    average(files, tmp_path / "mean.safetensors")
    description = weights_description(tmp_path / "mean.safetensors")
    assert description["training"] == {"average": [{"step": 1}, {"step": 2}, {"step": 3}]}
    loaded = []
    for file in (*files, tmp_path / "mean.safetensors"):
        network = module_from_description(description).network
        load_weights(network, file)
        loaded.append(weights_of(network))
    *parts, mean = loaded
    for name, tensor in mean.items():
        assert torch.allclose(tensor, sum(part[name] for part in parts) / 3, atol=1e-6), name


def test_weights_of_different_networks_have_no_mean(tmp_path: Path) -> None:
    files = [checkpoint(tmp_path / "a.safetensors", 1), checkpoint(tmp_path / "b.safetensors", 1, (4, 8))]
    with pytest.raises(WeightsError, match=r"b\.safetensors holds another network"):
        average(files, tmp_path / "mean.safetensors")
    assert not (tmp_path / "mean.safetensors").exists()
