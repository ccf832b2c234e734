"""Weights from before the older background."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgebs.errors import WeightsError
from export.models.description import description_of, module_from_description
from export.models.weights import init_weights, load_weights, save_weights
from export.networks.edge import CUE_EXTRAS, EdgeGraph, EdgeNet
from export.release.grow_cue import OLDER, grow_cue

SIZE = (8, 8)


def old_network() -> EdgeNet:
    network = EdgeNet((4, 6))
    unit = network.cue_encoder.stages[0][0]
    unit[0] = nn.Conv2d(3 + CUE_EXTRAS - OLDER, 4, 3, 2, 1, bias=False)
    init_weights(network, 5)
    return network.eval()


def test_grown_weights_answer_as_before_whatever_the_new_inputs_say(tmp_path: Path) -> None:
    old, file = old_network(), tmp_path / "old.safetensors"
    description = description_of(EdgeGraph(EdgeNet((4, 6)), 20.0))
    save_weights(old, file, description)
    grow_cue(file, tmp_path / "new.safetensors")
    new = module_from_description(description).network.eval()
    load_weights(new, tmp_path / "new.safetensors")
    frame, cue = torch.rand(1, 3, *SIZE), torch.rand(1, 3 + CUE_EXTRAS, *SIZE)
    assert torch.allclose(new(frame, cue), old(frame, cue[:, :-OLDER]), atol=1e-6)


def test_weights_that_have_grown_already_are_refused(tmp_path: Path) -> None:
    graph = EdgeGraph(EdgeNet((4, 6)), 20.0)
    save_weights(graph.network, tmp_path / "new.safetensors", description_of(graph))
    with pytest.raises(WeightsError, match="cue_encoder"):
        grow_cue(tmp_path / "new.safetensors", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
