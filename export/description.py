"""A network in words: the part of a bundle's manifest from which its PyTorch reference is rebuilt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebs.errors import ExportError, WeightsError
from export.crossnet import CrossNet
from export.edgenet import WIDTHS, EdgeGraph, EdgeNet
from export.flownet import WIDTHS as FLOW_WIDTHS
from export.flownet import FlowGraph, FlowNet
from export.graphs import Graph, HopGraph, SegmentGraph
from export.selflow import SelFlow

NETWORKS = ("crossnet", "edge", "flow-net", "selflow")
DEFAULT_INTERVALS = (1, 5, 10)
DEFAULT_MAX_MAGNITUDE = 20.0


def description_of(graph: Graph) -> dict[str, Any]:
    """What `module_from_description` needs to make `graph` again, without weights; plain JSON values.

    CrossNet's "intervals" is a count here: which frames they are belongs to the cue.
    """
    if isinstance(graph, HopGraph):
        return {
            "network": "selflow",
            "warp": graph.network.warp,
            "intervals": list(graph.intervals),
            "look_ahead": graph.look_ahead,
        }
    if isinstance(graph, FlowGraph):
        return {
            "network": "flow-net",
            "widths": list(graph.network.widths),
            "intervals": list(graph.intervals),
            "output": graph.output,
            "folded": graph.network.folded,
        }
    if isinstance(graph, EdgeGraph):
        return {
            "network": "edge",
            "widths": list(graph.network.widths),
            "intervals": graph.network.intervals,
            "max_magnitude": graph.max_magnitude,
            "folded": graph.network.folded,
        }
    net = graph.network
    return {
        "network": "crossnet",
        "width": net.width,
        "norm": net.norm,
        "intervals": net.intervals,
        "max_magnitude": graph.max_magnitude,
        "cmdff": net.cmdff,
        "hop": net.hop,
    }


def module_for_weights(description: Mapping[str, Any], file: Path) -> Graph:
    """As `module_from_description`, of a description that is in part that of `file`, whose fault errors are.

    Raises WeightsError naming `file` where there is no such network.
    """
    try:
        return module_from_description(description)
    except (RuntimeError, TypeError, ValueError) as cause:
        raise WeightsError(
            f"{file} describes a network that cannot be built ({cause}). Copy the file again, or train anew."
        ) from cause


def module_from_description(description: Mapping[str, Any]) -> Graph:
    """The graph that `description` names, in evaluation mode, its weights still to be loaded into `.network`.

    A missing key takes its default. "intervals" of a segmenter may be a count or the list of intervals.
    Raises ExportError for an unknown network.
    """
    network = description.get("network")
    intervals = description.get("intervals", DEFAULT_INTERVALS)
    count = intervals if isinstance(intervals, int) else len(intervals)
    max_magnitude = description.get("max_magnitude", DEFAULT_MAX_MAGNITUDE)
    if network == "edge":
        widths, folded = description.get("widths", WIDTHS), description.get("folded", False)
        edge = EdgeGraph(EdgeNet(widths, count, folded=folded), max_magnitude)
        edge.eval()
        return edge
    if network == "flow-net":
        widths, folded = description.get("widths", FLOW_WIDTHS), description.get("folded", False)
        output = description.get("output", "magnitude")
        flow = FlowGraph(FlowNet(widths, folded=folded), intervals, output=output)
        flow.eval()
        return flow
    if network == "crossnet":
        crossnet = CrossNet(
            description.get("width", 64),
            description.get("norm", "batch"),
            count,
            cmdff=description.get("cmdff", True),
            hop=description.get("hop", True),
        )
        graph = SegmentGraph(crossnet, max_magnitude)
        graph.eval()
        return graph
    if network == "selflow":
        selflow = SelFlow(description.get("warp", "grid_sample"))
        hop = HopGraph(selflow, intervals, look_ahead=description.get("look_ahead", False))
        hop.eval()
        return hop
    raise ExportError(f"unknown network '{network}'; known: {', '.join(NETWORKS)}")
