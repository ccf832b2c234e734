"""ONNX file to engine file for a target, and what the engine says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from edgebs.bundle.kinds import runs_plans
from edgebs.errors import OptionError


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
