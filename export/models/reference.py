"""The same networks in PyTorch FP32 eager: the reference of parity and the baseline of speed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebs.backends import Backend
from edgebs.bundle import weights_file
from edgebs.bundle.manifest import Manifest, NetworkFacts
from edgebs.cues import open_cue
from edgebs.errors import BackendError, EdgebsError, ExportError, MissingDependency
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array, TensorSpec
from edgebs.text import path_from_text

if TYPE_CHECKING:
    import torch


logger = logging.getLogger(__name__)


class TorchBackend:
    """A PyTorch module as a `Backend`, so that the pipeline of the engines runs it too."""

    def __init__(self, module: torch.nn.Module, facts: NetworkFacts) -> None:
        """`module` takes the network's inputs, and returns its outputs, in the manifest's order."""
        import torch

        self._module = module.eval()
        self.inputs: Mapping[str, TensorSpec] = facts.inputs
        self.outputs: Mapping[str, TensorSpec] = facts.outputs
        self.description = f"PyTorch {torch.__version__} CPU FP32 eager, {torch.get_num_threads()} threads"

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        """The returned arrays are fresh."""
        import torch

        with torch.inference_mode():
            found = self._module(*(torch.from_numpy(feed[name]) for name in self.inputs))
        tensors = found if isinstance(found, tuple) else (found,)
        return {name: tensor.numpy() for name, tensor in zip(self.outputs, tensors, strict=True)}

    def close(self) -> None:
        """Do nothing: the module is all there is."""


def torch_modules(manifest: Manifest) -> dict[str, Any]:
    """Every network of a manifest built again in PyTorch with its weights, verified by their hash.

    An external flow network is read again from its file, and stays ONNX.
    Raises ExportError where the weights found are not those that the bundle was made from.
    """
    try:
        from export.models.build import module_from_description
        from export.models.weights import init_weights, load_weights, weights_sha256
    except ImportError as cause:
        raise MissingDependency(
            "the PyTorch reference needs torch: pip install 'edgebs[export]' (or bench with --baseline none)"
        ) from cause

    modules: dict[str, Any] = {}
    for name, facts in manifest.networks.items():
        if _is_external(facts):
            from export.external_flow import external_flow_from_description

            file = path_from_text(manifest.weights[name]["file"])
            modules[name] = external_flow_from_description(facts.description, file, facts.weights_sha256)
            continue
        module = module_from_description(facts.description)
        origin = manifest.weights[name]
        file = origin.get("file")
        if file is None:
            init_weights(module.network, int(origin["seed"]))
        else:
            load_weights(module.network, weights_file(file, name), part=name)
        found = weights_sha256(module.network)
        if found != facts.weights_sha256:
            raise ExportError(
                f"the weights of network '{name}' rebuilt from {file or 'seed ' + str(origin['seed'])} are "
                f"not those of bundle {manifest.name}: SHA-256 {found[:16]}…, expected "
                f"{facts.weights_sha256[:16]}…. Put the original weights back, or export again."
            )
        modules[name] = module.eval()
    return modules


def _is_external(facts: NetworkFacts) -> bool:
    """Whether the network is an ONNX file with a sidecar, without a form in PyTorch."""
    return "sidecar" in facts.description


class TorchReference:
    """Implements bench.parity.Reference."""

    def on_cpu(self, manifest: Manifest, threads: int = 0) -> Pipeline:
        return torch_pipeline(manifest, torch_modules(manifest), threads)

    def on_gpu(self, manifest: Manifest, device: int = 0) -> Mapping[str, Pipeline]:
        return cuda_baselines(manifest, device)


def torch_pipeline(manifest: Manifest, modules: Mapping[str, Any], threads: int = 0) -> Pipeline:
    """The bundle's pipeline with PyTorch in place of its engines.

    threads: of PyTorch in this whole process, so that it gets as many as the engines; 0 leaves them.
    """
    if threads:
        import torch

        torch.set_num_threads(threads)
    return _pipeline(
        manifest,
        {
            name: modules[name].reference() if _is_external(facts) else TorchBackend(modules[name], facts)
            for name, facts in manifest.networks.items()
        },
    )


def _pipeline(manifest: Manifest, engines: Mapping[str, Backend]) -> Pipeline:
    return Pipeline(manifest, engines["segment"], open_cue(manifest.cue, manifest.size, engines.get("cue")))


Tensors = Any
"""What a module returns: a torch.Tensor, or a tuple of them."""
WAYS = ("eager", "graphs", "compile")
"""Eager is the paper's way: one Python call per layer."""
WARM_UP = 3
"""Calls before a graph is captured: cuDNN chooses its kernels in the first ones."""


class CudaTorchBackend:
    """A PyTorch module on a CUDA device as a `Backend`; it measures its device time."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    description: str

    def __init__(
        self, module: torch.nn.Module, facts: NetworkFacts, way: str = "eager", device: str = "cuda"
    ) -> None:
        """way: one of WAYS. Raises BackendError without a CUDA device, or if PyTorch cannot run `way`."""
        import torch

        if way not in WAYS:
            raise BackendError(f"unknown way '{way}' to run PyTorch; known: {', '.join(WAYS)}")
        self._device = torch.device(device)
        place, count = self._device.index or 0, torch.cuda.device_count()
        if self._device.type == "cuda" and place >= count:
            raise BackendError(
                f"PyTorch sees no CUDA device {place} ({count} in all): its build may be for the CPU. "
                "See: edgebs doctor"
            )
        self.inputs, self.outputs = facts.inputs, facts.outputs
        self._module = module.eval().to(self._device)
        self._static = {
            name: torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype), device=self._device)
            for name, spec in facts.inputs.items()
        }
        self.device_ms: list[float] = []
        """Device time of every call between events, without copies; empty off a GPU."""
        try:
            with self._current():
                self._run = self._prepared(way)
        except RuntimeError as error:
            raise BackendError(f"PyTorch cannot run this network with {way}: {error}") from error
        self.description = f"PyTorch {torch.__version__} {_describe(self._device)} {way}"

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        """Copy in, run, copy out. The returned arrays are fresh."""
        import torch

        with torch.inference_mode(), self._current():
            for name, static in self._static.items():
                static.copy_(torch.from_numpy(np.ascontiguousarray(feed[name])))
            found = self._timed() if self._device.type == "cuda" else self._run()
            tensors = found if isinstance(found, tuple) else (found,)
            return {name: tensor.cpu().numpy() for name, tensor in zip(self.outputs, tensors, strict=True)}

    def close(self) -> None:
        """Free the device memory. May be called twice."""
        self._static.clear()
        self._run = _closed

    def _current(self) -> AbstractContextManager[Any]:
        """Make the device current: events and graphs belong to the current device."""
        import torch

        return torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()

    def _timed(self) -> Tensors:
        import torch

        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        output = self._run()
        after.record()
        after.synchronize()
        self.device_ms.append(before.elapsed_time(after))
        return output

    def _prepared(self, way: str) -> Callable[[], Tensors]:
        import torch

        module: Any = torch.compile(self._module) if way == "compile" else self._module
        static = list(self._static.values())

        def run() -> Tensors:
            return module(*static)

        with torch.inference_mode():
            if way == "graphs":
                return _captured(run)
            for _ in range(WARM_UP):
                run()
        return run


def _captured(run: Callable[[], Tensors]) -> Callable[[], Tensors]:
    """`run` as one CUDA graph over the same inputs; its outputs are overwritten by the next replay."""
    import torch

    # Capture is not allowed on the default stream.
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = run()

    def replay() -> Tensors:
        graph.replay()
        return output

    return replay


def _describe(device: torch.device) -> str:
    """Device and arithmetic: PyTorch's float32 convolutions round to TF32 on GPUs that have it."""
    import torch

    if device.type != "cuda":
        return "CPU FP32"
    has_tf32 = torch.cuda.get_device_capability(device) >= (8, 0) and torch.backends.cudnn.allow_tf32
    return f"{torch.cuda.get_device_name(device)} {'FP32, TF32 convolutions,' if has_tf32 else 'FP32'}"


def _closed() -> Tensors:
    raise BackendError("the PyTorch baseline is closed")


def cuda_baselines(manifest: Manifest, device: int = 0) -> dict[str, Pipeline]:
    """The bundle's pipeline in PyTorch on GPU number `device`, by way: eager, graphs, compile.

    A way that fails is left out with a warning. Empty if PyTorch has no CUDA device.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependency("the PyTorch baseline needs torch: pip install 'edgebs[export]'") from error
    if not torch.cuda.is_available():
        return {}
    if any(map(_is_external, manifest.networks.values())):
        logger.warning("no PyTorch baseline for %s: its flow network is an ONNX file", manifest.name)
        return {}
    modules = torch_modules(manifest)  # not shared with a CPU pipeline: they move to the device
    pipelines = {}
    for way in WAYS:
        try:
            engines = {
                name: CudaTorchBackend(modules[name], facts, way, f"cuda:{device}")
                for name, facts in manifest.networks.items()
            }
            pipelines[way] = _pipeline(manifest, engines)
        except EdgebsError as error:
            logger.warning("left out: %s", error)
    return pipelines
