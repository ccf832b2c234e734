"""Weights of `edge` from before its cue had an older background, as weights of today's that ignore it.

python -m export.release.grow_cue OLD.safetensors --out FILE
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

from edgebs.machine.console import errors_in_one_line
from export.models.description import module_from_description
from export.models.weights import description_for, load_weights, save_weights, weights_of

OLDER = 3
"""Inputs of the cue encoder that are new, the last ones."""
FIRST = "cue_encoder.stages.0.0.0.weight"


@torch.no_grad()
def grow_cue(old: Path, out: Path) -> None:
    """Write the weights in `old` to `out` with the new inputs' weights at 0. Raises WeightsError."""
    description = description_for(old, "edge")
    before, after = module_from_description(description), module_from_description(description)
    unit = before.network.cue_encoder.stages[0][0]
    conv = unit[0]
    unit[0] = nn.Conv2d(conv.in_channels - OLDER, conv.out_channels, 3, 2, 1, bias=conv.bias is not None)
    load_weights(before.network, old)
    known = weights_of(before.network)
    for name, tensor in weights_of(after.network).items():
        if name == FIRST:
            tensor.zero_()
            tensor[:, :-OLDER] = known[name]
        else:
            tensor.copy_(known[name])
    save_weights(after.network, out, description)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, help="safetensors of edge")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with errors_in_one_line():
        grow_cue(options.old, options.out)


if __name__ == "__main__":
    main()
