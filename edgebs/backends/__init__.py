"""One file per runtime, all behind `Backend`; `open_backend` picks by the name in the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from edgebs.bundle.kinds import Runtime, runs_plans
from edgebs.errors import BackendError
from edgebs.nvidia import DeviceOptions
from edgebs.tensors import Array, TensorSpec


class Backend(Protocol):
    """Runs one network. Inputs and outputs are keyed by tensor name. One thread at a time."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    description: str
    """What runs, for reports: "OpenVINO 2026.4.1 CPU f32, 2 threads"."""

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run once. The returned arrays are overwritten by the next call: copy what must outlive it."""

    def close(self) -> None:
        """Free what is held. May be called twice."""


def open_backend(
    name: str, file: Path, *, compute: str = "f32", threads: int = 0, device: DeviceOptions | None = None
) -> Backend:
    """Load `file` (ONNX or plan) in the runtime called `name`, one of `Runtime`.

    compute: arithmetic of whatever the file leaves in floating point, "f32" or "bf16" (OpenVINO only).
    threads: CPU threads; 0 lets the runtime use every core. device: how plans run.
    Raises BackendError for an unknown name or an unusable file, MissingDependency where the runtime is
    not installed, EngineMismatch for a plan of another GPU or TensorRT.
    """
    if name == "openvino":
        from edgebs.backends.openvino import OpenVinoBackend

        return OpenVinoBackend(file, compute=compute, threads=threads)
    if name == "onnxruntime":
        from edgebs.backends.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend(file, threads=threads)
    if runs_plans(name):
        from edgebs.backends.tensorrt import TensorRTBackend

        return TensorRTBackend(file, module=name, options=device)
    raise BackendError(f"unknown backend '{name}'; known: {', '.join(Runtime)}")
