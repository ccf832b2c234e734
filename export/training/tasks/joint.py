"""Networks of a bundle that are trained as one."""

from __future__ import annotations

from typing import Any

from edgebs.bundle.shipped import weights_file
from export.models.build import built, network_form
from export.models.request import RANDOM, ModelRequest
from export.models.weights import init_weights, load_weights

UNTRAINED = {"folded": False, "bounded": True}
"""How a network begins: with norms, which the published form lacks, and maps that suit INT8."""


def joint_graph(request: ModelRequest) -> Any:
    """All networks of `request` in one graph, weights loaded or random. Raises WeightsError."""
    origin = request.weights_origin
    is_random = origin == RANDOM
    parts = {
        name: {**network_form(request, name), **(UNTRAINED if is_random else {})}
        for name in request.facts.networks
    }
    graph = built({"network": request.facts.trained_as, "parts": parts}, origin)
    if is_random:
        init_weights(graph.network, request.seed)
    else:
        load_weights(graph.network, weights_file(origin))
    return graph
