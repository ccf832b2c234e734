"""Everything for NVIDIA GPUs: plans, CUDA, frames that stay on the device."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Graphs(str, Enum):
    """Whether the work of each slot is captured as CUDA graphs."""

    AUTO = "auto"
    """Where a capture succeeds; else call by call, counted and reported."""
    OFF = "off"
    REQUIRED = "required"
    """A capture that fails is an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOptions:
    """How and where plans run."""

    device: int = 0
    """Position of the GPU, as CUDA counts: among those of CUDA_VISIBLE_DEVICES, the fastest first, unless
    CUDA_DEVICE_ORDER=PCI_BUS_ID selects the order of nvidia-smi."""
    overlap: bool = True
    """Whether the cue of one frame runs beside the segmentation of the frame before. Without it both share
    one stream and one scratch memory: less memory, fewer frames per second."""
    graphs: Graphs = Graphs.AUTO
    timed: bool = False
    """Whether each stage's time on the device is measured; costs a few microseconds per frame."""
    host_code: bool = False
    """Whether plans may bring native code for the CPU, as version-compatible plans do that carry their own
    lean runtime. Only for plans that you built yourself."""
    lean: bool = False
    """Whether the package tensorrt_lean loads the plans instead of tensorrt: version-compatible ones only, of
    its own version or with their runtime inside (`host_code`)."""
    lean_runtime: Path | None = None
    """Shared library of TensorRT's lean runtime (libnvinfer_lean.so.10, say) that loads version-compatible
    plans of that version; None for the installed TensorRT."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "graphs", Graphs(self.graphs))  # also from the word
        if self.lean and self.lean_runtime is not None:
            raise ValueError("choose one lean runtime: the package (lean), or a library (lean_runtime)")
        if self.device < 0:
            raise ValueError(f"device is the position of a GPU, from 0, got {self.device}")
