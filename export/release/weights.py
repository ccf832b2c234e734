"""Weights made from weights: the mean of checkpoints; a larger network that begins where a smaller one ended.

`python -m export.release.weights average A B C --out FILE`: checkpoints late on one path of training lie
round a minimum whose middle does at least as well as its edge (Izmailov et al., "Averaging Weights Leads to
Wider Optima and Better Generalization", UAI 2018). Statistics of batch norms are averaged with the rest:
checkpoints are moving averages already, and near each other.

`python -m export.release.weights widen edge-nano edge-small --corpus CORPUS --out FILE`: the small network's
channels become the first of the large one's, and the new ones feed them little, so that training begins with
what was learnt (after "Net2Net", Chen, Goodfellow and Shlens, ICLR 2016; copies of channels, as there, would
stay near each other). Shipped weights have no batch norms: each norm gets the mean and spread that it sees on
samples of the corpus, and the scale and shift that undo them. With the same model twice, shipped weights get
their norms again, and train as well as new ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgebs.errors import WeightsError
from edgebs.machine.console import errors_in_one_line
from export.models.build import build_networks, module_from_description
from export.models.request import ModelRequest
from export.models.weights import init_weights, load_weights, save_weights, weights_description, weights_of
from export.networks import ConvUnit, fold
from export.networks.edge_lite import FORMS
from export.training.corpus.samples import corpus_clips
from export.training.stream import in_batches
from export.training.task import tensors_from

CLIPS = 24
"""Of the corpus, for the norms' statistics."""
NEW_TO_OLD = 0.1
"""The weights by which old channels see new ones, as a share of random ones."""
OUTPUT = "head"
"""Of the last layer, which is copied where both have cells of one size."""


@torch.no_grad()
def average(files: Sequence[Path], out: Path) -> None:
    """Write the mean of safetensors `files` to `out`, described as the last one is.

    Raises WeightsError where they are not of one network, or cannot be read or written.
    """
    descriptions = [weights_description(file) for file in files]
    networks = [{**description, "training": None, "cue": None} for description in descriptions]
    for file, network in zip(files, networks, strict=True):
        if network != networks[0]:
            raise WeightsError(f"{file} holds another network than {files[0]}: {network} and {networks[0]}.")
    graph = module_from_description(descriptions[-1])
    total: dict[str, torch.Tensor] = {}
    for file in files:
        load_weights(graph.network, file)
        for name, tensor in weights_of(graph.network).items():
            total[name] = total.get(name, 0) + tensor.double()
    for name, tensor in weights_of(graph.network).items():
        tensor.copy_(total[name] / len(files))
    training = {"average": [description.get("training", {}) for description in descriptions]}
    save_weights(graph.network, out, {**descriptions[-1], "training": training})


@torch.no_grad()
def widen(small: Any, large: Any, frame: Tensor, cue: Tensor) -> None:
    """Fill `large`, a graph with norms, with the weights of `small`, a graph without, and random ones beside.

    Layers are matched by name. A layer that only `large` has, with as many inputs as outputs, passes its
    input on. frame (N, H, W, 3) uint8 and cue (N, K, H, W) float32: samples for the norms.
    """
    init_weights(large.network, seed=0)
    old, new = units_of(small), units_of(large)
    hooks = []
    for name, (conv, norm, _) in new.items():
        nn.init.ones_(norm.weight)
        nn.init.zeros_(norm.bias)
        kept = 0
        if name in old:
            known = old[name][0]
            kept, before = known.weight.shape[:2]
            conv.weight[:kept, before:] *= NEW_TO_OLD
            conv.weight[:kept, :before] = known.weight
            norm.bias[:kept] = known.bias
        elif conv.in_channels == conv.out_channels:
            kept = conv.out_channels
            nn.init.dirac_(conv.weight)
        hooks.append(norm.register_forward_pre_hook(partial(_settle, kept=kept)))
    if small.network.cell == large.network.cell:
        head, known = large.network.get_submodule(OUTPUT), small.network.get_submodule(OUTPUT)
        head.weight[:, : known.in_channels] = known.weight
        head.weight[:, known.in_channels :] *= NEW_TO_OLD
        head.bias.copy_(known.bias)
    large.eval().logit(frame, cue)
    for hook in hooks:
        hook.remove()


def units_of(graph: Any) -> dict[str, ConvUnit]:
    """The convolutions with norms, by name."""
    return {name: unit for name, unit in graph.network.named_modules() if isinstance(unit, ConvUnit)}


def _settle(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...], *, kept: int) -> None:
    """Take the statistics of the inputs (N, C, H, W); the first `kept` channels pass as they come."""
    mean, variance = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight[:kept] = (variance[:kept] + norm.eps).sqrt()
    norm.bias[:kept] += mean[:kept]


def begin(small: str, large: str, corpus: Path, out: Path, weights: str) -> None:
    """Write to `out` the weights that training of `large` begins with.

    small, large: models. weights: of the small one, safetensors or "shipped". Raises EdgebsError where
    weights or corpus cannot be read, or `out` not be written.
    """
    request = ModelRequest(model=small, weights=weights)
    trained = build_networks(request)["segment"]
    trained.network = fold(trained.network)
    form = {"intervals": list(request.cue.intervals), "max_magnitude": request.cue.max_magnitude}
    new = module_from_description({"network": large, **FORMS[large], **form})
    clips = corpus_clips((corpus,), request.cue, request.size)
    samples = [sample for index in range(CLIPS) for sample in clips(0, index)]
    batch = tensors_from(in_batches(samples, len(samples))[0], torch.device("cpu"))
    widen(trained, new, batch["frame"], batch["cue"])
    save_weights(new.network, out, new.description())


def main(words: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m export.release.weights", description=__doc__.splitlines()[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    mean = commands.add_parser("average", help="the mean of checkpoints")
    mean.add_argument("files", type=Path, nargs="+", help="safetensors of one network")
    wider = commands.add_parser("widen", help="begin a larger network of the family")
    wider.add_argument("small", choices=FORMS, help="the model that has been trained")
    wider.add_argument("large", choices=FORMS, help="the model to train")
    wider.add_argument("--weights", default="shipped", help="of the small one: safetensors; default shipped")
    wider.add_argument("--corpus", type=Path, required=True, help="of python -m export.training.corpus")
    for command in (mean, wider):
        command.add_argument("--out", type=Path, required=True, help="safetensors to write")
    given = parser.parse_args(words)
    with errors_in_one_line():
        if given.command == "average":
            average(given.files, given.out)
        else:
            begin(given.small, given.large, given.corpus, given.out, given.weights)


if __name__ == "__main__":
    main()
