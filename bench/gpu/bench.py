"""What `edgebs bench` adds where a GPU is measured: who watches it, its baselines, and NVIDIA's own tool."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.gpu.nvml import NvmlReader
from bench.gpu.pytorch import WAYS, CudaTorchBackend
from bench.gpu.sample import GpuMonitor, GpuReader
from bench.gpu.tegra import JtopReader, TegrastatsReader
from bench.gpu.trtexec import run_trtexec
from edgebs.backends import Backend
from edgebs.bundle.folder import Bundle
from edgebs.bundle.manifest import Manifest
from edgebs.cues import open_cue
from edgebs.errors import EdgebsError, MissingDependency
from edgebs.nvidia import cuda
from edgebs.pipeline import Pipeline
from engines.memory import is_jetson
from export.models.reference import BROUGHT, torch_modules

logger = logging.getLogger(__name__)

PLANS = ("tensorrt", "tensorrt_rtx")
TIMED = {
    "fps, latency_ms, stages_ms": "wall time by perf_counter, from the source's read to the finished mask",
    "device_ms": "device time between CUDA events; stages overlap, so that their sum is no latency",
    "trtexec": "device time of the engine alone, by NVIDIA's tool, without copies",
}
"""What each figure of a record is."""


def runs_on_gpu(manifest: Manifest) -> bool:
    """Whether a network of the bundle is a TensorRT plan."""
    return any(facts.backend in PLANS for facts in manifest.networks.values())


@contextmanager
def watched_gpu(manifests: Sequence[Manifest], device: int = 0) -> Iterator[GpuMonitor | None]:
    """Watch a GPU while the block measures; None where no plan is measured, or nothing can watch it."""
    reader = open_reader(device=device) if any(map(runs_on_gpu, manifests)) else None
    if reader is None:
        yield None
        return
    with GpuMonitor(reader) as monitor:
        yield monitor


def open_reader(root: Path = Path("/"), device: int = 0) -> GpuReader | None:
    """What tells of GPU number `device` of this machine: jtop or tegrastats on a Jetson, NVML elsewhere.

    None, and a warning that says why, where there is none: a figure without clocks is still a figure.
    """
    ways: tuple[Callable[[], GpuReader], ...] = (partial(NvmlReader, device, _bus_id(device)),)
    if is_jetson(root):
        ways = (JtopReader, TegrastatsReader)
    reasons = []
    for way in ways:
        try:
            return way()
        except EdgebsError as error:
            reasons.append(str(error))
    logger.warning("the GPU's clocks, power and temperature are not recorded: %s", "; ".join(reasons))
    return None


def _bus_id(device: int) -> str:
    """Where CUDA's GPU number `device` sits; empty where CUDA cannot tell."""
    try:
        return cuda.device_facts(device).pci_bus_id
    except EdgebsError:
        return ""


def trtexec_times(bundles: Sequence[Bundle], device: int = 0) -> dict[str, dict[str, Any]]:
    """By bundle and network what trtexec says of the same plan; without those that cannot be asked."""
    times: dict[str, dict[str, Any]] = {}
    for bundle in bundles:
        for name, facts in bundle.manifest.networks.items():
            if facts.backend not in PLANS:
                continue
            try:
                said = run_trtexec(bundle.file(name), facts.backend, device=device)
            except EdgebsError as error:
                said = {"failure": str(error)}
            if said is not None:
                times.setdefault(bundle.path.name, {})[name] = said
    return times


def cuda_baselines(manifest: Manifest, device: int = 0) -> dict[str, Pipeline]:
    """The bundle's pipeline in PyTorch on GPU number `device`, by way: eager, graphs, compile.

    A way that PyTorch cannot go is left out with a warning. Empty where PyTorch has no CUDA device.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependency("the PyTorch baseline needs torch: pip install 'edgebs[export]'") from error
    if not torch.cuda.is_available():
        return {}
    if any(facts.description["network"] == BROUGHT for facts in manifest.networks.values()):
        logger.warning("no PyTorch beside %s: its flow network came as ONNX", manifest.name)
        return {}
    modules = torch_modules(manifest)  # of their own: they move to the device
    pipelines = {}
    for way in WAYS:
        try:
            pipelines[way] = _pipeline(manifest, modules, way, f"cuda:{device}")
        except EdgebsError as error:
            logger.warning("left out: %s", error)
    return pipelines


def _pipeline(manifest: Manifest, modules: Mapping[str, Any], way: str, device: str) -> Pipeline:
    engines: dict[str, Backend] = {
        name: CudaTorchBackend(modules[name], facts, way, device) for name, facts in manifest.networks.items()
    }
    return Pipeline(manifest, engines["segment"], open_cue(manifest.cue, manifest.size, engines.get("cue")))
