"""The seam between the pipeline on the device and what computes there: TensorRT, or kernels in tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from edgebs.nvidia import cuda
from edgebs.tensors import TensorSpec


class DeviceContext(Protocol):
    """Runs a network on device memory: one per stream, one thread at a time."""

    def bind(self, buffers: Mapping[str, cuda.DeviceBuffer]) -> None:
        """Let the tensors lie in `buffers` from the next run on."""
        ...

    def enqueue(self, stream: cuda.Stream) -> None:
        """Queue one run. Raises EnqueueRefused: the outputs then hold what they held before."""
        ...

    def captured(self, stream: cuda.Stream) -> cuda.Graph:
        """One run with the present addresses as a graph. Raises CaptureFailed with the reason."""
        ...

    def close(self) -> None:
        """Free it. May be called twice."""
        ...


class DeviceEngine(Protocol):
    """One network, shared by those who run it."""

    name: str
    """For messages: the plan's file."""
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    description: str
    scratch_bytes: int
    """Device memory that a context works in."""

    def context(self, scratch: cuda.DeviceBuffer | None = None) -> DeviceContext:
        """A context. scratch: memory of `scratch_bytes` that it works in; without it, its own."""
        ...

    def close(self) -> None:
        """Give it up, after its contexts were closed. May be called twice."""
        ...
