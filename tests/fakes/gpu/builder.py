"""The builder's side of `tensorrt` 8.6, 10 and 11: flags, types, progress, timing cache, profiles, DLA."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fakes.gpu.tensorrt import ILogger

DataType = IntEnum("DataType", "FLOAT HALF INT8 INT32")
LayerType = IntEnum("LayerType", "CONVOLUTION QUANTIZE GRID_SAMPLE CONSTANT CAST IDENTITY SHAPE")
InterpolationMode = IntEnum("InterpolationMode", "NEAREST LINEAR")

FLAGS = {
    "8.6.2": {"EXPLICIT_BATCH": 0},
    "10.3.0.30": {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1},
    "11.4.1": {"STRONGLY_TYPED": 0, "PREFER_JIT_PYTHON_PLUGINS": 1},
}

EVERYWHERE = ("GPU_FALLBACK", "VERSION_COMPATIBLE", "EXCLUDE_LEAN_RUNTIME")
"""Builder flags of every version."""


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


class TimingCache:
    """Measured kernels as text: "conv 3.1;pool 0.2"."""

    def __init__(self, blob: bytes) -> None:
        if blob.startswith(b"other version"):
            raise RuntimeError("the blob was made by another version")
        self.entries = set(blob.decode().split(";")) - {""}

    def combine(self, other: TimingCache, ignore_mismatch: bool) -> bool:
        """As TensorRT's."""
        assert not ignore_mismatch
        self.entries |= other.entries
        return True

    def serialize(self) -> bytes:
        """As TensorRT's IHostMemory, which is a buffer."""
        return ";".join(sorted(self.entries)).encode()


class Config:
    """A builder's configuration; what is set can be read back."""

    def __init__(self, fake: FakeBuilder) -> None:
        self._fake = fake
        self.timing: TimingCache | None = None
        self.profiles: list[dict[str, tuple[tuple[int, ...], ...]]] = fake.profiles
        self.set_flag = fake.builder_flags.append
        self.set_memory_pool_limit = fake.limits.__setitem__
        self.create_timing_cache = TimingCache

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        """Refused where TensorRT finds another device's header in it."""
        assert not ignore_mismatch
        if "other device" in cache.entries:
            return False
        self.timing = cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        """What the builder measured."""
        return self.timing

    def add_optimization_profile(self, profile: Any) -> int:
        """Keep the shapes."""
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def can_run_on_DLA(self, layer: Layer) -> bool:  # noqa: N802
        """Convolutions alone, in FP16 or INT8."""
        return layer.type == LayerType["CONVOLUTION"] and layer.dtype != DataType.FLOAT


class Profile:
    """An optimisation profile."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        """Smallest, usual, largest."""
        self.shapes[name] = shapes


class FakeBuilder:
    """Stands in for the module `tensorrt` while a plan is built; records what it was told."""

    ILogger, DataType, LayerType, InterpolationMode = ILogger, DataType, LayerType, InterpolationMode
    MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
    ProfilingVerbosity = SimpleNamespace(DETAILED="detailed")
    DeviceType = SimpleNamespace(DLA="DLA")
    OnnxParserFlag = SimpleNamespace(NATIVE_INSTANCENORM="NATIVE_INSTANCENORM")

    def __init__(
        self,
        version: str,
        layers: list[Layer],
        *,
        error: str = "",
        inputs: Mapping[str, tuple[int, ...]] | None = None,
        dla_cores: int = 0,
        measures: str = "",
    ) -> None:
        self.inputs = [SimpleNamespace(name=name, shape=shape) for name, shape in (inputs or {}).items()]
        self.dla_cores, self.measures = dla_cores, measures
        self.profiles: list[dict[str, tuple[tuple[int, ...], ...]]] = []
        self.config: Config | None = None
        self.__version__, self.layers, self.error = version, layers, error
        self.NetworkDefinitionCreationFlag = SimpleNamespace(**FLAGS[version])
        if version.startswith("8."):
            names = ("FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS", *EVERYWHERE)
            self.BuilderFlag = SimpleNamespace(**{name: name for name in names})
        else:
            self.BuilderFlag = SimpleNamespace(**{name: name for name in EVERYWHERE})
            self.IProgressMonitor = type("IProgressMonitor", (), {})
        self.network_flags: int | None = None
        self.builder_flags: list[str] = []
        self.parser_flags: list[str] = []
        self.limits: dict[str, int] = {}
        self.IGridSampleLayer = Layer

    def Builder(self, logger: Any) -> Any:  # noqa: N802
        """A builder."""
        self.logger = logger
        return SimpleNamespace(
            create_network=self._create_network,
            create_builder_config=self._config,
            create_optimization_profile=Profile,
            build_serialized_network=self._build,
            num_DLA_cores=self.dla_cores,
        )

    def OnnxParser(self, network: Any, logger: Any) -> Any:  # noqa: N802
        """A parser; 8.6's errors know a node's number only."""
        del network, logger
        error = SimpleNamespace(desc=lambda: self.error, node=lambda: 7)
        return SimpleNamespace(
            parse_from_file=lambda file: Path(file).is_file() and not self.error,
            num_errors=1,
            get_error=[error].__getitem__,
            set_flag=self.parser_flags.append,
        )

    def _create_network(self, flags: int) -> Any:
        self.network_flags = flags
        return SimpleNamespace(
            num_layers=len(self.layers),
            num_outputs=1,
            get_layer=self.layers.__getitem__,
            num_inputs=len(self.inputs),
            get_input=self.inputs.__getitem__,
        )

    def _config(self) -> Config:
        self.config = Config(self)
        return self.config

    def _build(self, network: Any, config: Any) -> bytes | None:
        del network
        if self.measures and config.timing is not None:
            config.timing.entries.add(self.measures)
        monitor = getattr(config, "progress_monitor", None)
        if monitor is not None:
            monitor.phase_start("build", None, 1)
            go_on = monitor.step_complete("build", 0)
            monitor.phase_finish("build")
            if not go_on:
                return None
        return b"plan of the fake"
