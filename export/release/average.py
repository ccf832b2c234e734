"""Average the weights of checkpoints of one network: `python -m export.release.average A B C --out FILE`.

Checkpoints late on one path of training lie round a minimum whose middle does at least as well as its edge
(Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018). Statistics
of batch norms are averaged with the rest: checkpoints are moving averages already, and near each other.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from edgebs.errors import WeightsError
from edgebs.machine.console import errors_in_one_line
from export.models.build import module_from_description
from export.models.weights import load_weights, save_weights, weights_description, weights_of


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


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help="safetensors of one network")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with errors_in_one_line():
        average(options.files, options.out)


if __name__ == "__main__":
    main()
