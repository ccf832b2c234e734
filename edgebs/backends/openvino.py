"""ONNX files on the CPU through OpenVINO."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgebs.errors import BackendError, MissingDependency, SinkError, in_one_line
from edgebs.files.cache import SEAL_BYTES, file_digest, kept_folder, key_of, prune, seal_of, write_whole
from edgebs.machine.cpu import this_cpu
from edgebs.tensors import Array, TensorSpec, check_feed, existing_file, fixed_shape

log = logging.getLogger(__name__)

CAP_BYTES = 2_000_000_000
"""What the folder may hold: three full-width networks in FP32, or dozens in INT8."""


# OpenVINO's own CACHE_DIR (2026.4) takes a file that was replaced by one of the same size for the old one,
# and runs a damaged entry without an error. Here the key holds the SHA-256 of the ONNX file, and each entry
# ends with the SHA-256 of its own bytes.
class CompiledCache:
    """A folder of compiled networks. One that cannot be written is logged and done without."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: default $XDG_CACHE_HOME/edgebs/openvino, or ~/.cache/edgebs/openvino."""
        self.folder = folder if folder is not None else kept_folder("openvino")

    def entry(self, file: Path, facts: Mapping[str, Any]) -> CacheEntry:
        """The place of `file` compiled under `facts`: the versions, options and CPU that shape the result."""
        return CacheEntry(self.folder / f"{key_of(facts, file_digest(file))[:40]}.blob")


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One compiled network, present or not."""

    path: Path

    def load(self, import_blob: Callable[[Array], Any]) -> tuple[Any, Array] | None:
        """What `import_blob` makes of the stored bytes, and the bytes; None if there are none fit for use.

        The network reads weights from the mapped bytes while it runs, and OpenVINO does not keep them
        mapped: the caller must, as long as it keeps the network.
        """
        try:
            blob = self._verified()
            if blob is None:
                return None
            with suppress(OSError):  # it may belong to another user
                os.utime(self.path)  # pruning goes by last use
            return import_blob(blob), blob
        except (OSError, RuntimeError) as error:
            reason = in_one_line(error)
            log.warning("cached network %s cannot be used, compiling again: %s", self.path, reason)
            return None

    def store(self, export_blob: Callable[[], Any]) -> None:
        """Keep the bytes that `export_blob` returns (bytes or BytesIO), under their final name at once."""
        try:
            exported = export_blob()
            blob = exported.getbuffer() if hasattr(exported, "getbuffer") else memoryview(exported)
            # The seal behind: OpenVINO reads the network where it is mapped, from the first byte.
            write_whole(self.path, blob, seal_of(blob))
            prune(self.path, CAP_BYTES)
        except (SinkError, RuntimeError) as error:
            log.warning("compiled network not cached in %s: %s", self.path.parent, error)

    def _verified(self) -> Array | None:
        if not self.path.is_file():
            return None
        size = self.path.stat().st_size - SEAL_BYTES
        if size <= 0 or file_digest(self.path, size) != _tail(self.path):
            log.warning("cached network %s is damaged: compiling again", self.path)
            return None
        return np.memmap(
            self.path, dtype=np.uint8, mode="c", shape=(size,)
        )  # "c": OpenVINO shares only writeable


def _tail(file: Path) -> bytes:
    with file.open("rb") as stream:
        stream.seek(-SEAL_BYTES, os.SEEK_END)
        return stream.read()


COMPUTE = ("f32", "bf16")


class OpenVinoBackend:
    """Runs one ONNX network with OpenVINO on the CPU: one stream, tuned for latency."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    description: str

    def __init__(
        self, file: Path, *, compute: str = "f32", threads: int = 0, cache_dir: Path | None = None
    ) -> None:
        """Compile `file`, or take it from the cache of compiled networks.

        compute: arithmetic of what the file leaves in floating point: "f32", or "bf16" where the CPU has it.
        threads: CPU threads; 0 lets OpenVINO use every core.
        cache_dir: where compiled networks are kept; default $XDG_CACHE_HOME/edgebs/openvino.
        """
        file = existing_file(file)
        require_compute(compute)
        if threads < 0:
            raise ValueError(f"threads must be 0 (every core) or more, got {threads}")
        self._file = file
        model, weights = _compiled(file, _options(compute, threads), CompiledCache(cache_dir))
        self.inputs = {_name(port): _spec(file, port) for port in model.inputs}
        self.outputs = {_name(port): _spec(file, port) for port in model.outputs}
        used = model.get_property("INFERENCE_NUM_THREADS")
        self.description = f"OpenVINO {version()} CPU {compute}, {used} thread{'s' if used != 1 else ''}"
        self._model: Any = model
        self._request: Any = model.create_infer_request()
        self._results = self._bound_outputs()
        self._staging: dict[str, Array] = {}
        self._bound: dict[str, Array] = {}
        self._weights: Array | None = weights  # mapped from the cache: must outlive the model

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run once. The returned arrays are overwritten by the next call: copy what must outlive it.

        Inputs are read where they lie (no copy) if they are contiguous and writeable.
        """
        if self._request is None:
            raise BackendError(f"{self._file}: the backend is closed")
        check_feed(self.inputs, feed)
        for name, array in feed.items():
            self._bind(name, array)
        try:
            self._request.infer(share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed while running {self._file}: {_reason(error)}") from error
        return self._results

    def close(self) -> None:
        """Free the compiled network. May be called twice."""
        self._request = self._model = None
        self._weights = None
        self._bound.clear()
        self._staging.clear()

    def _bind(self, name: str, array: Array) -> None:
        if self._bound.get(name) is array:
            return
        if not (array.flags.c_contiguous and array.flags.writeable):  # OpenVINO shares only such arrays
            staged = self._staging.setdefault(name, np.empty(array.shape, array.dtype))
            np.copyto(staged, array)
            if self._bound.get(name) is staged:
                return
            array = staged
        self._request.set_tensor(name, import_openvino().Tensor(array, shared_memory=True))
        self._bound[name] = array

    def _bound_outputs(self) -> dict[str, Array]:
        results = {name: np.zeros(spec.shape, spec.dtype) for name, spec in self.outputs.items()}
        for name, array in results.items():
            self._request.set_tensor(name, import_openvino().Tensor(array, shared_memory=True))
        return results


def version() -> str:
    """OpenVINO's release, "2026.4.1"."""
    return str(import_openvino().__version__).split("-")[0]


def supports_bf16() -> bool:
    """True if this CPU computes in bfloat16 itself, so that `compute="bf16"` is allowed."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def require_compute(compute: str) -> None:
    """BackendError unless this CPU can compute in `compute`; never replaced silently by another."""
    if compute not in COMPUTE:
        raise BackendError(f"unknown compute type '{compute}'; known: {', '.join(COMPUTE)}")
    if compute == "bf16" and not supports_bf16():
        raise BackendError(
            "this CPU has no bfloat16 arithmetic (avx512_bf16, amx_bf16): use compute f32 instead of bf16"
        )


def import_openvino() -> Any:
    """OpenVINO's module. Raises MissingDependency."""
    try:
        import openvino
    except ImportError as error:
        raise MissingDependency("needs OpenVINO: pip install 'edgebs[cpu]'") from error
    return openvino


@cache
def _core() -> Any:
    return import_openvino().Core()


def _options(compute: str, threads: int) -> dict[str, Any]:
    # Set explicitly: on a CPU with bfloat16, OpenVINO otherwise computes float32 networks in bfloat16.
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": compute,
        # Two pinned networks that run at once share one core while the other idles (measured on 2 cores: no
        # gain from pipelining, or a loss); unpinned they overlap, and one alone is as fast.
        "ENABLE_CPU_PINNING": False,
    }
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    return options


def _compiled(file: Path, options: dict[str, Any], cached: CompiledCache) -> tuple[Any, Array | None]:
    core = _core()
    # Not OpenVINO's name of the CPU alone: "AMD EPYC" is one with AVX2 and one with AVX-512.
    facts = {"device": core.get_property("CPU", "FULL_DEVICE_NAME"), "cpu": this_cpu().to_json()}
    entry = cached.entry(file, {"openvino": import_openvino().__version__, "options": options, **facts})
    found = entry.load(
        lambda blob: core.import_model(import_openvino().Tensor(blob, shared_memory=True), "CPU", options)
    )
    if found is not None:
        return found
    try:
        model = core.compile_model(_read_onnx(file), "CPU", options)
    except Exception as error:  # the ONNX frontend's errors share no base class but Exception
        raise BackendError(f"OpenVINO cannot load {file}: {_reason(error)}{_older_cpu()}") from error
    entry.store(model.export_model)
    return model, None


def _older_cpu() -> str:
    """What to do on an x86 without AVX2: OpenVINO 2026.4 cannot compile all networks for it."""
    features = this_cpu().features
    if "sse4_1" not in features or "avx2" in features:
        return ""
    return (
        ". This CPU has no AVX2, which OpenVINO may need: use ONNX Runtime, edgebs export ... --target onnx"
    )


def _read_onnx(file: Path) -> Any:
    # Core.read_model would try every frontend on a damaged file, with noise on stderr.
    from openvino.frontend import FrontEndManager

    frontend = FrontEndManager().load_by_framework("onnx")
    return frontend.convert(frontend.load(str(file)))


def _name(port: Any) -> str:
    return str(port.get_any_name())


def _spec(file: Path, port: Any) -> TensorSpec:
    sizes = [int(size.get_length()) if size.is_static else None for size in port.get_partial_shape()]
    dtype = np.dtype(port.get_element_type().to_dtype()).name
    return TensorSpec(fixed_shape(file, _name(port), list(sizes)), dtype)


def _reason(error: Exception) -> str:
    """OpenVINO's message without its own source lines."""
    noise = ("Exception from ", "Check '", "FrontEnd API failed", "Summary:")
    lines = (line.strip() for line in str(error).splitlines())
    return " ".join(line for line in lines if line and not line.startswith(noise)) or str(error).strip()
