"""The builder's side of `tensorrt` 8.6, 10 and 11, as far as it differs: flags, types, progress."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Severity(IntEnum):
    """As in TensorRT."""

    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger:
    """Base of the caller's logger."""

    Severity = Severity


class DataType(IntEnum):
    """As in TensorRT."""

    FLOAT, HALF, INT8, INT32 = range(4)


LayerType = IntEnum("LayerType", "CONVOLUTION QUANTIZE GRID_SAMPLE CONSTANT CAST IDENTITY SHAPE")
InterpolationMode = IntEnum("InterpolationMode", "NEAREST LINEAR")

FLAGS = {
    "8.6.2": {"EXPLICIT_BATCH": 0},
    "10.3.0.30": {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1},
    "11.4.1": {"STRONGLY_TYPED": 0, "PREFER_JIT_PYTHON_PLUGINS": 1},
}


class Layer:
    """One layer of a parsed network."""

    def __init__(self, kind: str, dtype: str, name: str = "/layer") -> None:
        self.type, self.name, self.dtype = LayerType[kind], name, DataType[dtype]
        self.precision: DataType | None = None
        self.interpolation_mode = InterpolationMode.LINEAR

    def get_output_type(self, index: int) -> DataType:
        """Of the only output."""
        assert index == 0
        return self.dtype


class FakeBuilder:
    """Stands in for the module `tensorrt` while a plan is built; records what it was told."""

    ILogger, DataType, LayerType, InterpolationMode = ILogger, DataType, LayerType, InterpolationMode
    MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")

    def __init__(self, version: str, layers: list[Layer], *, error: str = "") -> None:
        self.__version__, self.layers, self.error = version, layers, error
        self.NetworkDefinitionCreationFlag = SimpleNamespace(**FLAGS[version])
        if version.startswith("8."):
            names = ("FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS")
            self.BuilderFlag = SimpleNamespace(**{name: name for name in names})
        else:
            self.IProgressMonitor = type("IProgressMonitor", (), {})
        self.network_flags: int | None = None
        self.builder_flags: list[str] = []
        self.limits: dict[str, int] = {}
        self.IGridSampleLayer = Layer

    def Builder(self, logger: Any) -> Any:  # noqa: N802
        """A builder."""
        self.logger = logger
        return SimpleNamespace(
            create_network=self._create_network,
            create_builder_config=self._config,
            build_serialized_network=self._build,
        )

    def OnnxParser(self, network: Any, logger: Any) -> Any:  # noqa: N802
        """A parser; 8.6's errors know a node's number only."""
        del network, logger
        error = SimpleNamespace(desc=lambda: self.error, node=lambda: 7)
        return SimpleNamespace(
            parse_from_file=lambda file: Path(file).is_file() and not self.error,
            num_errors=1,
            get_error=[error].__getitem__,
        )

    def _create_network(self, flags: int) -> Any:
        self.network_flags = flags
        return SimpleNamespace(num_layers=len(self.layers), num_outputs=1, get_layer=self.layers.__getitem__)

    def _config(self) -> Any:
        return SimpleNamespace(
            set_flag=self.builder_flags.append, set_memory_pool_limit=self.limits.__setitem__
        )

    def _build(self, network: Any, config: Any) -> bytes:
        del network
        monitor = getattr(config, "progress_monitor", None)
        if monitor is not None:
            monitor.phase_start("build", None, 1)
            monitor.step_complete("build", 0)
            monitor.phase_finish("build")
        return b"plan of the fake"
