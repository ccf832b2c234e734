"""A TensorRT runtime without a GPU: plans are JSON, engines run on `FakeCuda` when their stream does."""

from __future__ import annotations

import json
from enum import IntEnum
from types import ModuleType
from typing import Any

import numpy as np
from fake_cuda import FakeCuda

from edgebs.tensors import Array


class DataType(IntEnum):
    """Numbers differ from version to version: only names count."""

    FLOAT = 7
    UINT8 = 3
    HALF = 1
    FP8 = 9


_NUMPY = {"FLOAT": np.float32, "UINT8": np.uint8, "HALF": np.float16}


class TensorIOMode(IntEnum):
    """As in TensorRT."""

    INPUT = 1
    OUTPUT = 2


class TensorLocation(IntEnum):
    """As in TensorRT."""

    DEVICE = 0
    HOST = 1


class Severity(IntEnum):
    """As in TensorRT."""

    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class ILogger:
    """Base of the caller's logger."""

    Severity = Severity


def plan(*, version: str = "10.3.0.30", capability: str = "7.5", **changes: Any) -> bytes:
    """A plan whose network doubles the mean colour and adds the mean of the cue."""
    tensors = {
        "frame": {"mode": "INPUT", "shape": [1, 2, 2, 3], "dtype": "UINT8"},
        "cue": {"mode": "INPUT", "shape": [1, 3, 2, 2], "dtype": "FLOAT"},
        "probability": {"mode": "OUTPUT", "shape": [1, 2, 2], "dtype": "FLOAT"},
    }
    for name, change in changes.items():
        tensors[name] |= change
    return json.dumps({"version": version, "capability": capability, "tensors": tensors}).encode()


class Context:
    """An execution context. It must not outlive its engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.addresses = engine, {}
        self.refuses = False

    def set_tensor_address(self, name: str, address: int) -> bool:
        """Bind a tensor to device memory."""
        self.addresses[name] = address
        return name in self.engine.tensors

    def execute_async_v3(self, stream: int) -> bool:
        """Queue one run; the buffers keep what they held if it is refused."""
        if self.refuses or set(self.addresses) != set(self.engine.tensors):
            self.engine.log(Severity.ERROR, "enqueue refused: a tensor has no address")
            return False
        self.engine.module.cuda.launch(stream, self._run)
        return True

    def _view(self, name: str) -> Array:
        facts = self.engine.tensors[name]
        memory = self.engine.module.cuda.device[self.addresses[name]]
        return np.frombuffer(memory, _NUMPY[facts["dtype"]]).reshape(facts["shape"])

    def _run(self) -> None:
        result = self._view("frame").mean(axis=3) * 2 + self._view("cue").mean(axis=1)
        self._view("probability")[:] = result


class Engine:
    """A deserialised plan."""

    def __init__(self, module: FakeTensorRT, log: Any, facts: dict[str, Any]) -> None:
        self.module, self.log, self.tensors = module, log, facts["tensors"]
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        """By position."""
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        """Input or output."""
        return TensorIOMode[self.tensors[name]["mode"]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """-1 where it is open."""
        return tuple(self.tensors[name]["shape"])

    def get_tensor_dtype(self, name: str) -> DataType:
        """TensorRT's type."""
        return DataType[self.tensors[name]["dtype"]]

    def get_tensor_location(self, name: str) -> TensorLocation:
        """Device, unless the plan says otherwise."""
        return TensorLocation[self.tensors[name].get("location", "DEVICE")]

    def create_execution_context(self) -> Context | None:
        """None where there is no memory for it, as TensorRT answers."""
        if self.module.no_context:
            self.log(Severity.ERROR, "out of memory for the context")
            return None
        context = Context(self)
        self.module.contexts.append(context)
        return context


class FakeTensorRT(ModuleType):
    """Stands in for the module `tensorrt` or `tensorrt_rtx`."""

    def __init__(self, cuda: FakeCuda, *, name: str = "tensorrt", version: str = "10.3.0.30") -> None:
        super().__init__(name)
        self.cuda, self.__version__ = cuda, version
        self.no_context = False
        self.contexts: list[Context] = []
        self.host_code: list[bool] = []
        self.ILogger, self.TensorIOMode, self.TensorLocation = ILogger, TensorIOMode, TensorLocation

    def Runtime(self, logger: Any) -> _Runtime:  # noqa: N802
        """A runtime, as TensorRT's constructor gives it."""
        return _Runtime(self, logger)


class _Runtime:
    def __init__(self, module: FakeTensorRT, logger: Any) -> None:
        self.module, self.logger = module, logger
        self.engine_host_code_allowed = True

    def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
        self.module.host_code.append(self.engine_host_code_allowed)
        try:
            facts = json.loads(data)
        except ValueError:
            self.logger.log(Severity.ERROR, "magicTag == kEXPECTED_MAGIC_TAG failed")
            self.logger.log(Severity.ERROR, "cannot deserialize engine")
            return None
        if (facts["version"], facts["capability"]) != (self.module.__version__, self.module.cuda.capability):
            self.logger.log(Severity.ERROR, f"expecting compute {self.module.cuda.capability}")
            return None
        return Engine(self.module, self.logger.log, facts)
