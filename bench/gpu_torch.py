"""The same networks in PyTorch on the GPU, as baselines of the same run: eager, CUDA graphs, compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebs.errors import BackendError
from edgebs.manifest import NetworkFacts
from edgebs.tensors import Array, TensorSpec

if TYPE_CHECKING:
    import torch

WAYS = ("eager", "graphs", "compile")
"""Eager is the paper's way: a Python call a layer."""
WARM_UP = 3
"""Calls before a graph is captured: cuDNN chooses its kernels in the first ones."""


class CudaTorchBackend:
    """A PyTorch module on a CUDA device behind the same seam as an engine, with its own device time."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    description: str

    def __init__(
        self, module: torch.nn.Module, facts: NetworkFacts, way: str = "eager", device: str = "cuda"
    ) -> None:
        """way: one of WAYS. Raises BackendError without a CUDA device, or where PyTorch cannot do `way`."""
        import torch

        if way not in WAYS:
            raise BackendError(f"unknown way '{way}' to run PyTorch; known: {', '.join(WAYS)}")
        if device == "cuda" and not torch.cuda.is_available():
            raise BackendError(
                "PyTorch sees no CUDA device: its build may be for the CPU. See: edgebs doctor"
            )
        self.inputs, self.outputs = facts.inputs, facts.outputs
        self._device = torch.device(device)
        self._module = module.eval().to(self._device)
        self._static = {
            name: torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype), device=self._device)
            for name, spec in facts.inputs.items()
        }
        self.device_ms: list[float] = []
        """Device time of every call between events, without copies; empty off a GPU."""
        try:
            self._run = self._prepared(way)
        except RuntimeError as error:
            raise BackendError(f"PyTorch cannot run this network with {way}: {error}") from error
        what = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "CPU"
        self.description = f"PyTorch {torch.__version__} {what} FP32 {way}"

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        """Copy in, run, copy out; see `Backend.infer`. The returned arrays are fresh."""
        import torch

        with torch.inference_mode():
            for name, static in self._static.items():
                static.copy_(torch.from_numpy(np.ascontiguousarray(feed[name])))
            output = self._timed() if self._device.type == "cuda" else self._run()
            (name,) = self.outputs
            return {name: output.cpu().numpy()}

    def close(self) -> None:
        """Let the device's memory go. May be called twice."""
        self._static.clear()
        self._run = _closed

    def _timed(self) -> torch.Tensor:
        import torch

        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        output = self._run()
        after.record()
        after.synchronize()
        self.device_ms.append(before.elapsed_time(after))
        return output

    def _prepared(self, way: str) -> Callable[[], torch.Tensor]:
        import torch

        module: Any = torch.compile(self._module) if way == "compile" else self._module
        static = list(self._static.values())

        def run() -> torch.Tensor:
            output: torch.Tensor = module(*static)
            return output

        with torch.inference_mode():
            if way == "graphs":
                return _captured(run)
            for _ in range(WARM_UP):
                run()
        return run


def _captured(run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    """`run` as one CUDA graph over the same inputs; its output is overwritten by the next replay."""
    import torch

    # Beside the default stream, as capture demands.
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = run()

    def replay() -> torch.Tensor:
        graph.replay()
        return output

    return replay


def _closed() -> torch.Tensor:
    raise BackendError("the PyTorch baseline is closed")
