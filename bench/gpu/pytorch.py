"""The same networks in PyTorch on the GPU, as baselines of the same run: eager, CUDA graphs, compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebs.bundle.manifest import NetworkFacts
from edgebs.errors import BackendError
from edgebs.tensors import Array, TensorSpec

if TYPE_CHECKING:
    import torch

Tensors = Any
"""What a module returns: a torch.Tensor, or a tuple of them."""
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
        self.description = f"PyTorch {torch.__version__} {_spoken(self._device)} {way}"

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        """Copy in, run, copy out; see `Backend.infer`. The returned arrays are fresh."""
        import torch

        with torch.inference_mode(), self._current():
            for name, static in self._static.items():
                static.copy_(torch.from_numpy(np.ascontiguousarray(feed[name])))
            found = self._timed() if self._device.type == "cuda" else self._run()
            tensors = found if isinstance(found, tuple) else (found,)
            return {name: tensor.cpu().numpy() for name, tensor in zip(self.outputs, tensors, strict=True)}

    def close(self) -> None:
        """Let the device's memory go. May be called twice."""
        self._static.clear()
        self._run = _closed

    def _current(self) -> AbstractContextManager[Any]:
        """The device made this thread's: events and graphs belong to the one that is current."""
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

    def replay() -> Tensors:
        graph.replay()
        return output

    return replay


def _spoken(device: torch.device) -> str:
    """Where, and in what arithmetic: PyTorch's float32 convolutions round to TF32 where the GPU has it."""
    import torch

    if device.type != "cuda":
        return "CPU FP32"
    has_tf32 = torch.cuda.get_device_capability(device) >= (8, 0) and torch.backends.cudnn.allow_tf32
    return f"{torch.cuda.get_device_name(device)} {'FP32, TF32 convolutions,' if has_tf32 else 'FP32'}"


def _closed() -> Tensors:
    raise BackendError("the PyTorch baseline is closed")
