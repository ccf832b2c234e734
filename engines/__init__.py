"""ONNX file to engine file for a target, and the facts of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edgebs.bundle.kinds import runs_plans
from edgebs.errors import OptionError
from edgebs.nvidia import DeviceOptions


class Target(Enum):
    """The word typed after `--target`."""

    CPU = "cpu"
    SM75 = "sm75"
    SM86 = "sm86"
    SM89 = "sm89"
    SM120 = "sm120"
    RTX = "rtx"
    GPU = "gpu"
    ONNX = "onnx"

    @property
    def backend(self) -> str:
        """The runtime that loads the engine, one of edgebs.bundle.kinds.Runtime."""
        return _BACKENDS.get(self, "tensorrt_rtx")

    @property
    def for_tensorrt(self) -> bool:
        """True if the engine is a TensorRT plan: the ONNX file must keep TensorRT's rules."""
        return runs_plans(self.backend)

    @property
    def module(self) -> str:
        """The Python module that builds the engine; empty where the ONNX file is the engine."""
        return self.backend if self.for_tensorrt else ""

    @property
    def file_suffix(self) -> str:
        """Of the engine file: ".onnx" or ".plan"."""
        return ".plan" if self.for_tensorrt else ".onnx"

    @property
    def needs_gpu(self) -> bool:
        """True if the engine can only be built on the machine that will run it."""
        return self in (Target.GPU, Target.RTX)

    @property
    def compute_capability(self) -> str:
        """ "7.5" for sm75; empty for the CPU, and for `gpu` and `rtx`, which take that of the GPU present."""
        digits = self.value.removeprefix("sm")
        return f"{digits[:-1]}.{digits[-1]}" if digits.isdigit() else ""

    @property
    def what(self) -> str:
        """One line for people."""
        return _WHAT[self]


_BACKENDS: Mapping[Target, str] = {
    Target.CPU: "openvino",
    Target.ONNX: "onnxruntime",
    Target.GPU: "tensorrt",
}


_WHAT: Mapping[Target, str] = {
    Target.CPU: "x86 and ARM CPUs, by OpenVINO",
    Target.SM75: "Turing GPUs (RTX 2080 Ti), TensorRT-RTX plan built without a GPU",
    Target.SM86: "Ampere GPUs (RTX 3090), TensorRT-RTX plan built without a GPU",
    Target.SM89: "Ada GPUs (RTX 4090), TensorRT-RTX plan built without a GPU",
    Target.SM120: "Blackwell GPUs (RTX 5090), TensorRT-RTX plan built without a GPU",
    Target.RTX: "the GPU of this machine (A100, GB10, or one of those above), by TensorRT-RTX",
    Target.GPU: "the GPU of this machine, Jetson included, by its TensorRT",
    Target.ONNX: "ONNX Runtime, and anything else that reads ONNX",
}


def target_named(name: str) -> Target:
    """The target called `name`; ExportError listing the known ones."""
    try:
        return Target(name)
    except ValueError as error:
        known = ", ".join(target.value for target in Target)
        raise OptionError(f"unknown target '{name}'; known: {known}") from error


class LeanRuntime(str, Enum):
    """Where a version-compatible plan finds the runtime of the TensorRT that built it."""

    INSIDE = "inside"
    """In the plan, as native code that loading runs: `DeviceOptions.host_code` must allow it."""
    OUTSIDE = "outside"
    """Elsewhere, of that very version: the package tensorrt_lean (`DeviceOptions.lean`), or a library
    (`DeviceOptions.lean_runtime`)."""


@dataclass(frozen=True, slots=True)
class BatchRange:
    """How many frames one call may take: the optimisation profile of a plan's first dimension."""

    smallest: int
    usual: int
    """What the kernels are chosen for."""
    largest: int

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.usual <= self.largest:
            raise OptionError(
                f"a batch range must grow from at least 1, got {self.smallest}, {self.usual}, "
                f"{self.largest}. Name it like 1,4 (kernels chosen for the largest) or 1,2,4."
            )

    @classmethod
    def from_numbers(cls, numbers: tuple[int, ...]) -> BatchRange:
        """From one number (one frame to that many), two (smallest, largest) or three. Raises ExportError."""
        if len(numbers) not in (1, 2, 3):
            raise OptionError(f"a batch range is one to three numbers, got {len(numbers)}. Name it like 1,4.")
        if len(numbers) == 3:
            return cls(*numbers)
        return cls(1 if len(numbers) == 1 else numbers[0], numbers[-1], numbers[-1])

    def to_json(self) -> list[int]:
        """For manifests."""
        return [self.smallest, self.usual, self.largest]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What a plan's builder is allowed and told. Does nothing for `cpu` and `onnx`."""

    workspace_bytes: int | None = None
    """Scratch memory that a plan may use; None for what free memory allows (engines/memory.py)."""
    batch: BatchRange | None = None
    """Of networks whose first dimension is free; None where it is fixed."""
    dla_core: int | None = None
    """A Jetson's deep learning accelerator, by number; None for the GPU alone."""
    version_compatible: LeanRuntime | None = None
    """Whether later versions of TensorRT can load the plan, and with which runtime; None: its own alone. Such
    plans may be slower."""
    timing_cache: Path | None = None
    """Folder of the measured kernels; None for $XDG_CACHE_HOME/edgebs/tensorrt."""

    def require_for(self, target: Target) -> None:
        """Raise ExportError for what TensorRT-RTX has not, where `target` is its."""
        if target.module != "tensorrt_rtx":
            return
        if self.version_compatible is not None:
            raise OptionError(
                f"target {target.value} cannot be version-compatible: plans of TensorRT-RTX load in the "
                "release that built them alone. Leave --version-compatible out, or build with --target gpu."
            )
        if self.dla_core is not None:
            raise OptionError(
                f"target {target.value} has no DLA: it is a part of Jetson's AGX Orin, Orin NX and Xavier. "
                "Leave --dla-core out, or build on the Jetson with --target gpu."
            )

    @property
    def loaded_with(self) -> DeviceOptions:
        """What whoever built such plans must say to load them."""
        return DeviceOptions(
            host_code=self.version_compatible is LeanRuntime.INSIDE,
            lean=self.version_compatible is LeanRuntime.OUTSIDE,
        )
