"""A TensorRT runtime without a GPU: plans are JSON, engines run on `FakeCuda` when their stream does.

A run is two kernels: the first reads the inputs and leaves the result in the scratch memory, the second
brings it from there to the outputs. Two contexts that share scratch memory and overlap spoil each other.
TensorRT-RTX compiles a kernel when a context is made and one more when it first runs, unless its runtime
cache has them.
"""

from __future__ import annotations

import json
import threading
import weakref
from enum import Enum, IntEnum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from edgebs.tensors import Array
from fakes.gpu.cuda import FakeCuda

SCRATCH_BYTES = 1 << 14


DataType = IntEnum("DataType", {"FLOAT": 7, "UINT8": 3, "HALF": 1, "FP8": 9})
"""Numbers differ from version to version: only names count."""
_NUMPY = {"FLOAT": np.float32, "UINT8": np.uint8, "HALF": np.float16}


TensorIOMode = IntEnum("TensorIOMode", "INPUT OUTPUT")
TensorLocation = IntEnum("TensorLocation", "DEVICE HOST", start=0)


class Strategy(Enum):
    """As in TensorRT 10: ExecutionContextAllocationStrategy."""

    STATIC = "static"
    USER_MANAGED = "user"


class Kernels(Enum):
    """As in TensorRT-RTX: DynamicShapesKernelSpecializationStrategy."""

    LAZY = "lazy"
    EAGER = "eager"


class GraphStrategy(Enum):
    """As in TensorRT-RTX: CudaGraphStrategy."""

    DISABLED = "disabled"


Severity = IntEnum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE", start=0)


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
    return _plan(version, capability, tensors)


def cue_plan(intervals: tuple[int, ...], *, count: int = 1, size: tuple[int, int] = (2, 2)) -> bytes:
    """A plan whose network gives the difference of mean colours of the frame and each past frame."""
    frame = {"mode": "INPUT", "shape": [count, *size, 3], "dtype": "UINT8"}
    inputs = {"frame": frame} | {f"past_{interval}": dict(frame) for interval in intervals}
    cue = {"mode": "OUTPUT", "shape": [count, len(intervals), *size], "dtype": "FLOAT"}
    return _plan("10.3.0.30", "7.5", inputs | {"cue": cue})


def batched(data: bytes, most: int) -> bytes:
    """The same plan with a profile of 1 to `most` frames at once."""
    facts = json.loads(data)
    for tensor in facts["tensors"].values():
        tensor["shape"][0] = -1
    return json.dumps({**facts, "most": most}).encode()


def _plan(version: str, capability: str, tensors: dict[str, Any]) -> bytes:
    return json.dumps({"version": version, "capability": capability, "tensors": tensors}).encode()


class Context:
    """An execution context. It must not outlive its engine. Addresses and shapes are those of the enqueue."""

    def __init__(self, engine: Engine, *, is_user_managed: bool = False) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.refuses = False
        self.own_scratch = None if is_user_managed else bytearray(engine.scratch)
        self.scratch_address = 0
        self.cache: RuntimeCache | None = None

    def set_tensor_address(self, name: str, address: int) -> bool:
        """Bind a tensor to device memory."""
        self.addresses[name] = address
        return name in self.engine.tensors

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        """Choose the size of an open dimension."""
        self.shapes[name] = shape
        return 1 <= shape[0] <= self.engine.most

    def execute_async_v3(self, stream: int) -> bool:
        """Queue one run; the buffers keep what they held if it is refused."""
        cuda = self.engine.module.cuda
        if stream in cuda.captures and self.engine.module.cannot_be_captured:
            cuda.captures[stream].is_valid = False
            return self._refused("a kernel that cannot be captured")
        if self.refuses or set(self.addresses) != set(self.engine.tensors):
            return self._refused("enqueue refused: a tensor has no address")
        if self.own_scratch is None and not self.scratch_address:
            return self._refused("no device memory was given")
        self.engine.module.enqueued += 1
        if self.cache is not None:
            self.cache.need(f"{sorted(self.engine.tensors)}: at its first run")
        views = {name: self._view(name) for name in self.addresses}
        scratch = self._scratch()
        output = next(name for name in views if self.engine.get_tensor_mode(name) == TensorIOMode.OUTPUT)

        def compute() -> None:
            result = _network(views).astype(views[output].dtype).tobytes()
            scratch[: len(result)] = np.frombuffer(result, np.uint8)

        def bring() -> None:
            flat = scratch[: views[output].nbytes].view(views[output].dtype)
            views[output][:] = flat.reshape(views[output].shape)

        cuda.launch(stream, compute)
        cuda.launch(stream, bring)
        return True

    def _refused(self, reason: str) -> bool:
        self.engine.log(Severity.ERROR, reason)
        return False

    def _scratch(self) -> Array:
        memory = self.own_scratch or self.engine.module.cuda.device[self.scratch_address]
        assert len(memory) >= self.engine.scratch
        return np.frombuffer(memory, np.uint8)

    def _view(self, name: str) -> Array:
        facts = self.engine.tensors[name]
        memory = self.engine.module.cuda.device[self.addresses[name]]
        count = next(iter(self.shapes.values()))[0] if self.shapes else facts["shape"][0]
        shape = (count, *facts["shape"][1:])
        dtype = np.dtype(_NUMPY[facts["dtype"]])
        return np.frombuffer(memory, dtype, count=int(np.prod(shape))).reshape(shape)


def _network(tensors: dict[str, Array]) -> Array:
    colour = tensors["frame"].astype(np.float32).mean(axis=3)
    if "probability" in tensors:
        return colour * 2 + tensors["cue"].mean(axis=1)
    pasts = [tensors[name].astype(np.float32).mean(axis=3) for name in tensors if name.startswith("past_")]
    return np.stack([np.abs(colour - past) for past in pasts], axis=1)


class ContextOf8(Context):
    """TensorRT 8.6 and 10.0: the scratch memory is a property."""

    @property
    def device_memory(self) -> int:
        """Write only, in truth."""
        return self.scratch_address

    @device_memory.setter
    def device_memory(self, address: int) -> None:
        self.scratch_address = address


class ContextOf10(Context):
    """TensorRT 10.1 and later, and RTX."""

    def set_device_memory(self, address: int, size: int) -> None:
        """Scratch memory and its size."""
        assert size >= self.engine.scratch
        self.scratch_address = address


class ContextOfRtx(ContextOf10):
    """RTX knows before whether it can be captured."""

    def is_stream_capturable(self, stream: int) -> bool:
        """Whether a run can be captured now."""
        assert stream in self.engine.module.cuda.streams
        return not self.engine.module.cannot_be_captured


class Engine:
    """A deserialised plan."""

    def __init__(self, module: FakeTensorRT, log: Any, facts: dict[str, Any]) -> None:
        self.module, self.log, self.tensors = module, log, facts["tensors"]
        self.num_io_tensors = len(self.tensors)
        self.most = facts.get("most", 1)
        self.scratch = SCRATCH_BYTES

    def get_tensor_name(self, index: int) -> str:
        """By position."""
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        """Input or output."""
        return TensorIOMode[self.tensors[name]["mode"]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """-1 where it is open."""
        return tuple(self.tensors[name]["shape"])

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        """Fewest, usual and most; of inputs only."""
        assert index == 0
        assert self.get_tensor_mode(name) == TensorIOMode.INPUT
        rest = self.get_tensor_shape(name)[1:]
        return [(1, *rest), (self.most, *rest), (self.most, *rest)]

    def get_tensor_dtype(self, name: str) -> DataType:
        """TensorRT's type."""
        return DataType[self.tensors[name]["dtype"]]

    def get_tensor_location(self, name: str) -> TensorLocation:
        """Device, unless the plan says otherwise."""
        return TensorLocation[self.tensors[name].get("location", "DEVICE")]

    def create_engine_inspector(self) -> SimpleNamespace:
        """Names its layers, as of a plan that was built without details."""
        text = json.dumps({"Layers": ["compute", "bring"]})
        return SimpleNamespace(get_engine_information=lambda form: text if form == "JSON" else "")

    def made(self, kind: type[Context], *, is_user_managed: bool) -> Context | None:
        """A context; None where there is no memory for it, as TensorRT answers."""
        if self.module.no_context:
            self.log(Severity.ERROR, "out of memory for the context")
            return None
        context = kind(self, is_user_managed=is_user_managed)
        self.module.contexts.append(context)
        return context


class EngineOf8(Engine):
    """TensorRT 8.6."""

    @property
    def device_memory_size(self) -> int:
        """Bytes of scratch memory."""
        return self.scratch

    def create_execution_context(self) -> Context | None:
        """With memory of its own."""
        return self.made(ContextOf8, is_user_managed=False)

    def create_execution_context_without_device_memory(self) -> Context | None:
        """Memory follows."""
        return self.made(ContextOf8, is_user_managed=True)


class EngineOf10(Engine):
    """TensorRT 10.1 to 11."""

    @property
    def device_memory_size_v2(self) -> int:
        """Bytes of scratch memory."""
        return self.scratch

    def create_execution_context(self, strategy: Strategy = Strategy.STATIC) -> Context | None:
        """With memory of its own, or memory follows."""
        return self.made(ContextOf10, is_user_managed=strategy is Strategy.USER_MANAGED)


class RuntimeCache:
    """TensorRT-RTX's IRuntimeCache: compiled kernels, good for one environment. Locked, as there."""

    def __init__(self, engine: Engine) -> None:
        self._module, self._log = engine.module, engine.log
        self.kernels: set[str] = set()
        self._lock = threading.Lock()

    def need(self, kernel: str) -> None:
        """Compile it, unless it is here."""
        with self._lock:
            if kernel not in self.kernels:
                self._module.compiled.append(kernel)
                self.kernels.add(kernel)

    def deserialize(self, blob: bytes) -> bool:
        """Take the kernels; False, and nothing changes, for those of another environment."""
        found = json.loads(blob)
        if found["environment"] != self._module.environment:
            self._log(Severity.ERROR, f"the cache is for {found['environment']}")
            return False
        self.kernels |= set(found["kernels"])
        return True

    def serialize(self) -> memoryview | None:
        """A buffer, as IHostMemory is; None on a lost GPU."""
        if self._module.serialize_raises is not None:
            raise self._module.serialize_raises
        if self._module.cuda.lost:
            self._log(Severity.ERROR, "the GPU is lost")
            return None
        content = {"environment": self._module.environment, "kernels": sorted(self.kernels)}
        return memoryview(json.dumps(content).encode())


class RuntimeConfig:
    """TensorRT-RTX's IRuntimeConfig."""

    strategy = Strategy.STATIC
    dynamic_shapes_kernel_specialization_strategy = Kernels.LAZY
    cuda_graph_strategy: Any = None

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.cache = RuntimeCache(engine)

    def create_runtime_cache(self) -> RuntimeCache:
        """An empty one."""
        return RuntimeCache(self._engine)

    def set_runtime_cache(self, cache: RuntimeCache) -> bool:
        """For the contexts that are made with this configuration."""
        if self._engine.module.takes_runtime_cache:
            self.cache = cache
        return self._engine.module.takes_runtime_cache

    def set_execution_context_allocation_strategy(self, strategy: Strategy) -> None:
        """Who brings the scratch memory."""
        self.strategy = strategy


class EngineOfRtx(EngineOf10):
    """TensorRT-RTX."""

    def create_runtime_config(self) -> RuntimeConfig:
        """Filled in by the caller."""
        return RuntimeConfig(self)

    def create_execution_context(self, config: Any = None) -> Context | None:  # type: ignore[override]
        """As the config says."""
        assert config.dynamic_shapes_kernel_specialization_strategy is Kernels.EAGER
        assert config.cuda_graph_strategy is GraphStrategy.DISABLED
        context = self.made(ContextOfRtx, is_user_managed=config.strategy is Strategy.USER_MANAGED)
        if context is not None:
            context.cache = config.cache
            config.cache.need(f"{sorted(self.tensors)}: fixed")
        return context


class FakeTensorRT(ModuleType):
    """Stands in for the module `tensorrt` or `tensorrt_rtx`."""

    def __init__(self, cuda: FakeCuda, *, name: str = "tensorrt", version: str = "10.3.0.30") -> None:
        super().__init__(name)
        self.cuda, self.__version__ = cuda, version
        self.no_context = False
        self.cannot_be_captured = False
        self.takes_runtime_cache = True
        self.serialize_raises: Exception | None = None
        self.sku = "desktop"
        """Of what no one but TensorRT-RTX looks at."""
        self.compiled: list[str] = []
        """Kernels that were compiled in this process."""
        self.enqueued = 0
        self.contexts: list[Context] = []
        self.host_code: list[bool] = []
        self.lean: list[str] = []
        self.orphans = 0
        """Lean runtimes that outlived what loaded them."""
        self.ILogger, self.TensorIOMode, self.TensorLocation = ILogger, TensorIOMode, TensorLocation
        self.engine_type: type[Engine] = EngineOf8
        self.LayerInformationFormat = SimpleNamespace(JSON="JSON")
        if name == "tensorrt_rtx":
            self.DynamicShapesKernelSpecializationStrategy, self.CudaGraphStrategy = Kernels, GraphStrategy
            self.IRuntimeCache = RuntimeCache
            self.engine_type = EngineOfRtx
        elif not version.startswith("8."):
            self.engine_type = EngineOf10
        if not version.startswith("8."):
            self.ExecutionContextAllocationStrategy = Strategy

    @property
    def environment(self) -> list[str]:
        """Where compiled kernels are good."""
        return [self.__version__, self.cuda.capability, str(self.cuda.cudaDriverGetVersion()[1]), self.sku]

    def Runtime(self, logger: Any) -> _Runtime:  # noqa: N802
        """A runtime, as TensorRT's constructor gives it."""
        return _Runtime(self, logger)


class _Runtime:
    def __init__(self, module: FakeTensorRT, logger: Any) -> None:
        self.module, self.logger = module, logger
        self.engine_host_code_allowed = True
        self.loader: weakref.ref[_Runtime] | None = None

    def load_runtime(self, path: str) -> _Runtime | None:
        if not path.endswith(".so.10"):
            self.logger.log(Severity.ERROR, "not a shared library")
            return None
        self.module.lean.append(path)
        lean = _Runtime(self.module, self.logger)
        lean.loader = weakref.ref(self)  # as the real one: it does not hold its loader
        return lean

    def __del__(self) -> None:
        if self.loader is not None and self.loader() is None:
            self.module.orphans += 1

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
        return self.module.engine_type(self.module, self.logger.log, facts)
