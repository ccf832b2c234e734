"""Where BMN-BSN's training starts: three maps are the mean of the references, and are compared.

A background model has to be found before anything can be learnt from it; this is one to begin with. All other
channels start at random.
"""

from __future__ import annotations

from typing import Any

import torch

from export.networks.blocks import ConvUnit
from export.networks.bmn_bsn import COLOURS, MapsGraph, MapsSegmentGraph, UNet

LIFT = 2.0
"""Deviations by which a normed channel is raised, so that the ReLU behind it cuts little off."""
DEVIATION = 0.5
"""Of a picture's values in [-1, 1], about."""


@torch.no_grad()
def start_from_mean(maps: MapsGraph, segment: MapsSegmentGraph) -> None:
    """Change the first channels of both networks, whose batch norms must be there and do nothing yet."""
    count = min(COLOURS, maps.maps, maps.network.width)
    first, *others = _path(maps.network)
    for colour in range(count):
        places = range(colour, COLOURS * maps.references, COLOURS)
        _pass_on(first, colour, dict.fromkeys(places, 1 / maps.references))
        for unit in others:
            _pass_on(unit, colour, {colour: 1.0})
        head = maps.network.head
        head.weight[colour] = 0
        head.weight[colour, colour] = DEVIATION
        head.bias[colour] = -DEVIATION * LIFT
    unit = segment.network.encoder[0][0]
    for channel in range(min(2 * count, segment.network.width)):
        colour, sign = channel % count, 1.0 if channel < count else -1.0
        _weigh(unit, channel, {colour: sign, COLOURS + colour: -sign})


def _path(network: UNet) -> list[ConvUnit]:
    """What a pixel goes through at full size, on the way that skips all poolings."""
    return [*network.encoder[0], *network.decoder[0]]


def _pass_on(unit: ConvUnit, channel: int, weights: dict[int, float]) -> None:
    _weigh(unit, channel, weights)
    unit[1].weight[channel], unit[1].bias[channel] = 1.0, LIFT


def _weigh(unit: ConvUnit, channel: int, weights: dict[int, float]) -> None:
    """Make one filter look at its own pixel alone, with these weights of its inputs."""
    filters: Any = unit[0].weight
    filters[channel] = 0
    for place, weight in weights.items():
        filters[channel, place, 1, 1] = weight
