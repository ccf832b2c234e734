"""A network in words: the part of a bundle's manifest from which its PyTorch reference is rebuilt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgebs.errors import ExportError, WeightsError, in_one_line
from export.networks.bmn_bsn import (
    COLOURS,
    DEPTH,
    MAPS,
    REFERENCES,
    WIDTH,
    BmnBsnGraph,
    MapsGraph,
    MapsSegmentGraph,
    UNet,
)
from export.networks.cdn_gm import CdnGm, StepGraph
from export.networks.crossnet import CrossNet
from export.networks.edge import WIDTHS, EdgeGraph, EdgeNet
from export.networks.flownet import WIDTHS as FLOW_WIDTHS
from export.networks.flownet import FlowGraph, FlowNet
from export.networks.graphs import Graph, HopGraph, SegmentGraph
from export.networks.medal import CdnMedal, CdnMedalGraph, MedalGraph, MedalNet
from export.networks.selflow import SelFlow

DEFAULT_INTERVALS = (1, 5, 10)
DEFAULT_MAX_MAGNITUDE = 20.0
Description = Mapping[str, Any]


def description_of(graph: Graph) -> dict[str, Any]:
    """What `module_from_description` needs to make `graph` again, without weights; plain JSON values."""
    return graph.description()


def module_for_weights(description: Description, file: Path) -> Any:
    """As `module_from_description`, of a description that is in part that of `file`, whose fault errors are.

    Raises WeightsError naming `file` where there is no such network.
    """
    try:
        return module_from_description(description)
    except (RuntimeError, TypeError, ValueError) as cause:
        raise WeightsError(
            f"{file} describes a network that cannot be built ({in_one_line(cause)}). Copy the file again, "
            "or train anew."
        ) from cause


def module_from_description(description: Description) -> Any:
    """The graph that `description` names, in evaluation mode, its weights still to be loaded into `.network`.

    A missing key takes its default. "intervals" of a segmenter may be a count or the list of intervals.
    Raises ExportError for an unknown network.
    """
    network = str(description.get("network"))
    if network not in NETWORKS:
        raise ExportError(f"unknown network '{network}'; known: {', '.join(NETWORKS)}")
    return NETWORKS[network](description).eval()


def _crossnet(description: Description) -> SegmentGraph:
    crossnet = CrossNet(
        description.get("width", 64),
        description.get("norm", "batch"),
        _count(description),
        cmdff=description.get("cmdff", True),
        hop=description.get("hop", True),
        activated_skips=description.get("activated_skips", False),
    )
    return SegmentGraph(crossnet, description.get("max_magnitude", DEFAULT_MAX_MAGNITUDE))


def _edge(description: Description) -> EdgeGraph:
    widths, folded = description.get("widths", WIDTHS), description.get("folded", False)
    network = EdgeNet(widths, _count(description), folded=folded)
    return EdgeGraph(network, description.get("max_magnitude", DEFAULT_MAX_MAGNITUDE))


def _flow_net(description: Description) -> FlowGraph:
    widths, folded = description.get("widths", FLOW_WIDTHS), description.get("folded", False)
    output = description.get("output", "magnitude")
    return FlowGraph(FlowNet(widths, folded=folded), _intervals(description), output=output)


def _selflow(description: Description) -> HopGraph:
    selflow = SelFlow(description.get("warp", "grid_sample"))
    return HopGraph(
        selflow,
        _intervals(description),
        look_ahead=description.get("look_ahead", False),
        standardise=description.get("standardise", False),
    )


def _bmn(description: Description) -> MapsGraph:
    references, maps = description.get("references", REFERENCES), description.get("maps", MAPS)
    network = _u_net(description, COLOURS * references, maps)
    return MapsGraph(network, references, maps, bounded=description.get("bounded", False))


def _bsn(description: Description) -> MapsSegmentGraph:
    maps = description.get("maps", MAPS)
    return MapsSegmentGraph(_u_net(description, COLOURS + maps, 2), maps)


def _u_net(description: Description, before: int, after: int) -> UNet:
    width, depth = description.get("width", WIDTH), description.get("depth", DEPTH)
    return UNet(before, after, width, depth, folded=description.get("folded", True))


def _bmn_bsn(description: Description) -> BmnBsnGraph:
    parts = description.get("parts", {})
    return BmnBsnGraph(_bmn(parts.get("cue", {})), _bsn(parts.get("segment", {})))


def _intervals(description: Description) -> Any:
    return description.get("intervals", DEFAULT_INTERVALS)


def _count(description: Description) -> int:
    intervals = _intervals(description)
    return intervals if isinstance(intervals, int) else len(intervals)


NETWORKS: Mapping[str, Callable[[Description], Any]] = {
    "bmn": _bmn,
    "bmn-bsn": _bmn_bsn,
    "bsn": _bsn,
    "cdn-gm": lambda _: StepGraph(CdnGm()),
    "cdn-medal": lambda _: CdnMedalGraph(CdnMedal()),
    "crossnet": _crossnet,
    "edge": _edge,
    "flow-net": _flow_net,
    "medal-net": lambda _: MedalGraph(MedalNet()),
    "selflow": _selflow,
}
