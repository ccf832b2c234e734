"""What an engine is made of, layer by layer, as its own runtime says it."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgebs.bundle.manifest import NetworkFacts
from edgebs.errors import BackendError
from edgebs.nvidia.options import DeviceOptions
from edgebs.tensors import Array, TensorSpec

RUNS = 10
"""Timed calls of a network; the median of each layer counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFacts:
    """One layer that the runtime executes, after it fused what it could."""

    name: str
    kind: str
    """The runtime's word for it: Convolution, Conv, kgen."""
    precision: str
    """Of its result: fp32, fp16, bf16, int8, ...; "" where the runtime does not say."""
    kernel: str = ""
    """What computes it."""
    ms: float | None = None
    """Wall time of one call; None where the runtime times no layers."""

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


def layers_of_network(
    file: Path, facts: NetworkFacts, threads: int = 0, device: DeviceOptions | None = None
) -> list[LayerFacts]:
    """The layers of one network of a bundle, in the order of execution, timed where its runtime can.

    threads: CPU threads; 0 uses every core. device: what loads a plan, and on which GPU. Raises BackendError
    where the engine cannot be loaded here.
    """
    if facts.backend == "openvino":
        from engines.openvino_layers import openvino_layers

        return openvino_layers(file, facts.inputs, facts.compute, threads)
    if facts.backend == "onnxruntime":
        from engines.onnxruntime_layers import onnxruntime_layers

        return onnxruntime_layers(file, facts.inputs, threads)
    if facts.backend in ("tensorrt", "tensorrt_rtx"):
        from engines.plan_layers import plan_layers

        return plan_layers(file, facts.backend, device)
    raise BackendError(f"engines of '{facts.backend}' cannot be looked into")


def blank_feed(inputs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    """Zeros: a layer takes as long for any picture."""
    return {name: np.zeros(spec.shape, spec.dtype) for name, spec in inputs.items()}


def median_ms(runs: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Median over the runs of each layer's milliseconds."""
    taken: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for name, ms in run.items():
            taken[name].append(ms)
    return {name: statistics.median(times) for name, times in taken.items()}


def share_by(layers: Iterable[LayerFacts], what: str) -> dict[str, dict[str, float]]:
    """Layers and milliseconds by `precision` or `kind`, the most time or the most layers first."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: {"layers": 0.0, "ms": 0.0})
    for layer in layers:
        entry = sums[str(getattr(layer, what)) or "not said"]
        entry["layers"] += 1
        entry["ms"] += layer.ms or 0.0
    return dict(sorted(sums.items(), key=lambda item: (-item[1]["ms"], -item[1]["layers"])))
