"""ONNX files on the CPU through ONNX Runtime: the reference for every other backend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgebs.errors import BackendError, MissingDependency
from edgebs.machine.cpu import this_cpu
from edgebs.tensors import Array, TensorSpec, check_feed, existing_file, fixed_shape

_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
_ERRORS_ONLY = 3
_PROVIDERS = ["CPUExecutionProvider"]


class OnnxRuntimeBackend:
    """Runs one ONNX network with ONNX Runtime on the CPU, in the arithmetic of the file."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    description: str

    def __init__(self, file: Path, *, threads: int = 0) -> None:
        """Load `file`. threads: CPU threads; 0 lets ONNX Runtime use every core."""
        if threads < 0:
            raise ValueError(f"threads must be 0 (every core) or more, got {threads}")
        ort = import_onnxruntime()
        self._file = existing_file(file)
        self._session: Any = _session(ort, self._file, threads)
        self.inputs = {tensor.name: _spec(self._file, tensor) for tensor in self._session.get_inputs()}
        self.outputs = {tensor.name: _spec(self._file, tensor) for tensor in self._session.get_outputs()}
        self._fetch = list(self.outputs)
        self.description = f"ONNX Runtime {ort.__version__} CPU, {threads or 'all'} threads"

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run once. Callers must treat the returned arrays as valid until the next call only."""
        if self._session is None:
            raise BackendError(f"{self._file}: the backend is closed")
        check_feed(self.inputs, feed)
        try:
            arrays = self._session.run(self._fetch, dict(feed))
        except Exception as error:  # ONNX Runtime's errors share no base class but Exception
            raise BackendError(f"ONNX Runtime failed while running {self._file}: {_reason(error)}") from error
        return dict(zip(self._fetch, arrays, strict=True))

    def close(self) -> None:
        """Free the session. May be called twice."""
        self._session = None


def import_onnxruntime() -> Any:
    """ONNX Runtime's module. Raises MissingDependency."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency("needs ONNX Runtime: pip install 'edgebs[onnx]'") from error
    return onnxruntime


def session_options(ort: Any) -> Any:
    """SessionOptions of the module `onnxruntime`, silent below errors."""
    ort.disable_telemetry_events()  # some of its builds report usage
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    return options


def inference_session(ort: Any, model: bytes | str, options: Any) -> Any:
    """A session on the CPU whose INT8 sums are exact on every CPU. options: of `session_options`."""
    cpu = this_cpu()
    if not cpu.unlimited.int8.saturates:
        return ort.InferenceSession(model, options, providers=_PROVIDERS)
    # On x86 without VNNI, sums of int8 activations with weights of 8 bits saturate otherwise: the toy of
    # tests/calib is 12 % off instead of 2 % (ONNX Runtime 1.32 on an emulated Haswell).
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return ort.InferenceSession(model, options, providers=_PROVIDERS)
    except Exception:  # its errors share no base class but Exception
        # 1.32 refuses convolutions that share weights. Slower, and exact too: all in floating point.
        options.add_session_config_entry("session.x64quantprecision", "0")
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        return ort.InferenceSession(model, options, providers=_PROVIDERS)


def _session(ort: Any, file: Path, threads: int) -> Any:
    options = session_options(ort)
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        # Bytes: it takes names in UTF-8 alone. The networks of bundles hold their weights.
        return inference_session(ort, file.read_bytes(), options)
    except Exception as error:  # ONNX Runtime's errors share no base class but Exception
        raise BackendError(f"ONNX Runtime cannot load {file}: {_reason(error)}") from error


def _spec(file: Path, tensor: Any) -> TensorSpec:
    dtype = _DTYPES.get(tensor.type) or tensor.type.removeprefix("tensor(").removesuffix(")")
    try:
        np.dtype(dtype)
    except TypeError as error:
        raise BackendError(
            f"{file}: tensor '{tensor.name}' has type {tensor.type}, which numpy lacks"
        ) from error
    return TensorSpec(fixed_shape(file, tensor.name, list(tensor.shape)), dtype)


def _reason(error: Exception) -> str:
    """ONNX Runtime's message without its code numbers."""
    return str(error).split(" : ")[-1].strip().splitlines()[0]
