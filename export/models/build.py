"""PyTorch networks of a request or of a description, with their weights, and their facts for the manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgebs.bundle import WEIGHTS_PREFIX, weights_file
from edgebs.bundle.manifest import NetworkFacts
from edgebs.errors import ExportError, WeightsError, in_one_line
from edgebs.tensors import TensorSpec
from export.convert.cost import gflop, parameters
from export.models import FLOWS
from export.models.request import RANDOM, ModelRequest
from export.models.weights import FORM, form_of_weights, init_weights, load_weights, weights_sha256
from export.networks import bmn_bsn
from export.networks.cdn_gm import CdnGm, StepGraph
from export.networks.crossnet import CrossNet
from export.networks.edge import WIDTHS, EdgeGraph, EdgeNet
from export.networks.edge_lite import FORMS, LiteGraph, LiteNet
from export.networks.flownet import WIDTHS as FLOW_WIDTHS
from export.networks.flownet import FlowGraph, FlowNet
from export.networks.graphs import Graph, HopGraph, SegmentGraph
from export.networks.medal import CdnMedal, CdnMedalGraph, MedalGraph, MedalNet
from export.networks.selflow import SelFlow


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOrigin:
    """Facts of a network that do not depend on its file."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    description: Mapping[str, Any]
    origin: Mapping[str, Any]
    """Where the weights come from: file or seed, sha256, trained."""
    parameters: int
    gflop: float

    def facts(
        self, file: str, backend: str, precision: str, compute: str, weight_bits: int | None = None
    ) -> NetworkFacts:
        """The manifest's entry for this network in one file."""
        return NetworkFacts(
            file=file,
            backend=backend,
            precision=precision,
            compute=compute,
            inputs=self.inputs,
            outputs=self.outputs,
            description=self.description,
            weights_sha256=str(self.origin["sha256"]),
            parameters=self.parameters,
            gflop=self.gflop,
            weight_bits=weight_bits,
        )


def build_networks(request: ModelRequest) -> dict[str, Graph]:
    """The request's networks in PyTorch, weights loaded: `segment`, then `cue` where a network computes it.

    An external flow network is an ExternalFlow, and stays ONNX. Raises ExportError for a size or
    setting that a network cannot have, WeightsError for unfit weights.
    """
    graphs: dict[str, Any] = {}
    for name in request.network_names:
        if request.has_external_flow and name not in request.facts.networks:
            from export.external_flow import ExternalFlow

            output = "flow" if request.facts.takes_vectors else "cue"
            graphs[name] = ExternalFlow(
                Path(request.flow), request.sidecar, request.size, request.cue.intervals, output
            )
            continue
        graphs[name] = built(network_form(request, name), request.origin_of(name))
        load_or_seed(graphs[name], request.origin_of(name), request.seed, part=name)
    return graphs


def built(form: Mapping[str, Any], origin: str) -> Any:
    """The graph of a description, before its weights are loaded from `origin`."""
    if origin == RANDOM:
        return module_from_description(form)
    return module_for_weights(form, weights_file(origin))


def network_origins(request: ModelRequest, graphs: Mapping[str, Graph]) -> dict[str, NetworkOrigin]:
    """Facts of the networks of `build_networks`."""
    external = {"cue"} if request.has_external_flow else set()
    return {
        name: _external_origin(graph) if name in external else _origin(request, name, graph)
        for name, graph in graphs.items()
    }


def _external_origin(flow: Any) -> NetworkOrigin:
    inputs, outputs = flow.specs
    return NetworkOrigin(
        inputs=inputs,
        outputs=outputs,
        description=flow.description,
        origin=flow.origin,
        parameters=flow.parameters,
        gflop=flow.gflop,
    )


def _origin(request: ModelRequest, name: str, graph: Graph) -> NetworkOrigin:
    inputs, outputs = _tensors(name, graph, request)
    weights = request.origin_of(name)
    is_random = weights == RANDOM
    is_shipped = weights.startswith(WEIGHTS_PREFIX)
    note = {"note": request.untrained_flow_note} if name == "segment" and request.untrained_flow_note else {}
    return NetworkOrigin(
        inputs=inputs,
        outputs=outputs,
        description=description_of(graph),
        origin={
            "file": None if is_random else weights if is_shipped else str(Path(weights).resolve()),
            "seed": request.seed if is_random else None,
            "trained": not is_random,
            "sha256": weights_sha256(graph.network),
            **note,
        },
        parameters=parameters(graph),
        gflop=gflop(graph, *_examples(inputs)),
    )


def network_form(request: ModelRequest, name: str) -> dict[str, Any]:
    """The description of a network: of the cue, then its weights, then the options; later ones win."""
    own = request.facts.networks.get(name)
    if own is not None:
        form: dict[str, Any] = {"network": own.network}
        of_cue, of_request = own.of_cue, own.of_request
    else:
        flow = FLOWS[request.flow]
        vectors = {"output": "flow"} if request.facts.takes_vectors else {}
        form = {"network": flow.network, **flow.form, **vectors}
        of_cue, of_request = ("intervals",), flow.options
    cue = {key: getattr(request.cue, key) for key in of_cue}
    given = {key: value for key in of_request if (value := getattr(request, key)) not in (None, "")}
    return {**form, **cue, **_form_of_weights(request, name, form["network"]), **given}


def _form_of_weights(request: ModelRequest, name: str, network: str) -> dict[str, Any]:
    """Widths, folded norms and the like, as far as the weights state them."""
    origin = request.origin_of(name)
    if origin == RANDOM:
        return {}
    if request.shipped is None or name not in request.facts.networks:
        own = request.model if name in request.facts.networks else network
        return form_of_weights(weights_file(origin), own, part=name)
    stored = request.shipped.networks[name].description
    return {key: stored[key] for key in FORM if key in stored}


def load_or_seed(graph: Graph, origin: str, seed: int, part: str = "segment") -> None:
    """Fill a graph's network with the weights of `origin`, or random ones. part: see `load_weights`."""
    if origin == RANDOM:
        init_weights(graph.network, seed)
    else:
        load_weights(graph.network, weights_file(origin, part), part)


def _tensors(
    name: str, graph: Any, request: ModelRequest
) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
    size = request.size
    cue = TensorSpec((1, request.cue.channels, *size), "float32")
    if name == "segment":
        frame = TensorSpec((1, *size, 3), "uint8")
        return {"frame": frame, "cue": cue}, {"probability": TensorSpec((1, *size), "float32")}
    if request.facts.takes_vectors:
        return graph.inputs(size), {"flow": TensorSpec((1, 2 * len(request.cue.intervals), *size), "float32")}
    return graph.inputs(size), graph.outputs(size) if hasattr(graph, "outputs") else {"cue": cue}


def _examples(inputs: Mapping[str, TensorSpec]) -> list[Any]:
    # Counting needs shapes only; "meta" tensors would leave the graphs that mix in real constants behind.
    return [torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in inputs.values()]


DEFAULT_INTERVALS, DEFAULT_MAX_MAGNITUDE = (1, 5, 10), 20.0
Description = Mapping[str, Any]


def description_of(graph: Graph) -> dict[str, Any]:
    """What `module_from_description` needs to make `graph` again, without weights; plain JSON values."""
    return graph.description()


def module_for_weights(description: Description, file: Path) -> Any:
    """As `module_from_description`, of a description that is in part that of `file`.

    Raises WeightsError naming `file` if there is no such network.
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


def _edge(description: Description) -> EdgeGraph | LiteGraph:
    if "cell" in description:
        return _lite(description)
    widths, folded = description.get("widths", WIDTHS), description.get("folded", False)
    network = EdgeNet(widths, _count(description), folded=folded)
    return EdgeGraph(network, description.get("max_magnitude", DEFAULT_MAX_MAGNITUDE))


def _lite(description: Description) -> LiteGraph:
    name = str(description["network"])
    form = {**FORMS[name], **description}
    network = LiteNet(form["widths"], form["cell"], _count(form), folded=form.get("folded", False))
    return LiteGraph(name, network, form.get("max_magnitude", DEFAULT_MAX_MAGNITUDE))


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


def _bmn(description: Description) -> bmn_bsn.MapsGraph:
    references, maps = (
        description.get("references", bmn_bsn.REFERENCES),
        description.get("maps", bmn_bsn.MAPS),
    )
    network = _u_net(description, bmn_bsn.COLOURS * references, maps)
    return bmn_bsn.MapsGraph(network, references, maps, bounded=description.get("bounded", False))


def _bsn(description: Description) -> bmn_bsn.MapsSegmentGraph:
    maps = description.get("maps", bmn_bsn.MAPS)
    return bmn_bsn.MapsSegmentGraph(_u_net(description, bmn_bsn.COLOURS + maps, 2), maps)


def _u_net(description: Description, before: int, after: int) -> bmn_bsn.UNet:
    width, depth = description.get("width", bmn_bsn.WIDTH), description.get("depth", bmn_bsn.DEPTH)
    return bmn_bsn.UNet(before, after, width, depth, folded=description.get("folded", True))


def _bmn_bsn(description: Description) -> bmn_bsn.BmnBsnGraph:
    parts = description.get("parts", {})
    return bmn_bsn.BmnBsnGraph(_bmn(parts.get("cue", {})), _bsn(parts.get("segment", {})))


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
    **dict.fromkeys(FORMS, _lite),
    "edge": _edge,
    "flow-net": _flow_net,
    "medal-net": lambda _: MedalGraph(MedalNet()),
    "selflow": _selflow,
}
