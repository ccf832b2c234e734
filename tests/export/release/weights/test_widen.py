"""A larger network begins where a smaller one ended."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from export.models.build import module_from_description
from export.models.request import ModelRequest
from export.models.weights import init_weights, load_weights, save_weights
from export.networks import fold
from export.networks.edge_lite import LiteGraph, LiteNet
from export.release import weights as widening
from export.release.weights import main, units_of, widen
from export.training.corpus import render as corpus_render
from export.training.corpus import samples as corpus_samples
from export.training.corpus.clip import ClipOptions
from export.training.corpus.render import CorpusOptions, render_corpus

SIZE = 64


def seen(count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    frame = torch.randint(0, 256, (count, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)
    return frame, torch.rand((count, 11, SIZE, SIZE), generator=generator) * 20


def trained(widths: tuple[int, ...], cell: int) -> LiteGraph:
    graph = LiteGraph("edge-nano", LiteNet(widths, cell), 20.0).eval()
    init_weights(graph.network, 3)
    return LiteGraph("edge-nano", fold(graph.network), 20.0)


def unit_outputs(graph: LiteGraph) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    hooks = [
        unit.register_forward_hook(lambda _m, _i, out, name=name: found.update({name: out.detach().clone()}))
        for name, unit in units_of(graph).items()
    ]
    graph.eval().logit(*seen())
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("cell", [2, 4])
def test_of_the_same_form_the_network_computes_what_it_did_and_has_norms_again(cell: int) -> None:
    small = trained((4, 6, 8), cell)
    large = LiteGraph("edge-nano", LiteNet((4, 6, 8), cell), 20.0)
    widen(small, large, *seen())
    assert not large.network.folded
    torch.testing.assert_close(large.eval().logit(*seen()), small.logit(*seen()), atol=1e-4, rtol=1e-4)


def test_channels_of_the_small_network_go_on_in_the_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without what new channels feed them, old ones are as they were, whatever cells the two heads have.
    monkeypatch.setattr(widening, "NEW_TO_OLD", 0.0)
    small, large = trained((4, 6, 8), 4), LiteGraph("edge-small", LiteNet((4, 8, 12), 2), 20.0)
    widen(small, large, *seen())
    before, after = unit_outputs(small), unit_outputs(large)
    assert before.keys() - after.keys() == {"detail"}
    for name in before.keys() & after.keys():
        kept = before[name].shape[1]
        torch.testing.assert_close(after[name][:, :kept], before[name], atol=1e-4, rtol=1e-4)
        assert after[name][:, kept:].isfinite().all()


def test_the_command_writes_weights_that_a_training_begins_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, request = tmp_path / "corpus", ModelRequest(model="edge-nano")
    for module in (corpus_render, corpus_samples):
        monkeypatch.setattr(module, "SHARD_CLIPS", 1)
    clips = ClipOptions(cue=request.cue, size=request.size)
    render_corpus(
        CorpusOptions(out=folder, clips=clips, count=1, seed=5, workers=0), lambda _done, _total: None
    )
    monkeypatch.setattr(widening, "CLIPS", 1)
    out = tmp_path / "w.safetensors"
    main(["widen", "edge-nano", "edge-small", "--corpus", str(folder), "--out", str(out)])
    graph = module_from_description({"network": "edge-small"})
    load_weights(graph.network, out)
    again = tmp_path / "again.safetensors"
    save_weights(graph.network, again, graph.description())
    assert again.read_bytes() == out.read_bytes()
