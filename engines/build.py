"""From an ONNX file to the engine of a target."""

from __future__ import annotations

import logging
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgebs.bundle.plan import PlanFacts
from edgebs.errors import ExportError
from edgebs.files import atomic_file
from edgebs.machine.console import Progress
from engines import BuildOptions, Target, target_named
from engines.plan_builder import plan_from_onnx

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """An engine that was made, and with what."""

    file: Path
    backend: str
    """The runtime that loads it, one of edgebs.bundle.kinds.Runtime."""
    nbytes: int
    seconds: float
    """Wall time of the build."""
    layers: int = 0
    """Of TensorRT's network as parsed; 0 where the ONNX file is the engine."""
    plan: PlanFacts | None = None
    """What a plan was built for; None where the ONNX file is the engine."""
    options: BuildOptions = field(default_factory=BuildOptions)
    """How a plan was built."""
    gpu_layers: tuple[str, ...] = ()
    """Those that the DLA it was built for refused."""

    def to_json(self) -> dict[str, Any]:
        """The form in manifests and reports; `build` is what `edgebs.bundle` checks on load."""
        return {
            "file": self.file.name,
            "backend": self.backend,
            "bytes": self.nbytes,
            "seconds": round(self.seconds, 3),
            "layers": self.layers,
            "build": self.plan.to_json() if self.plan else None,
            **self.options_json(),
        }

    def options_json(self) -> dict[str, Any]:
        """What was asked of a plan beside its ONNX file; empty where nothing was."""
        said: dict[str, Any] = {}
        if self.plan and self.options.batch is not None:
            said["batch"] = self.options.batch.to_json()
        if self.plan and self.options.dla_core is not None:
            said |= {"dla_core": self.options.dla_core, "gpu_layers": list(self.gpu_layers)}
        if self.plan and self.options.version_compatible is not None:
            said["lean_runtime"] = self.options.version_compatible.value
        return said


def build_engine(
    onnx_file: Path,
    target: Target | str,
    out: Path,
    *,
    options: BuildOptions | None = None,
    progress: Progress | None = None,
) -> EngineFacts:
    """Write the engine of `target` for `onnx_file` to `out`, whole or not at all.

    For `cpu` and `onnx` the engine is the ONNX file itself. A plan is built in the precision that the ONNX
    file says. progress: called with (steps done, steps known so far).
    Raises ExportError for a network that the builder refuses, with its reason and the node's name, and where
    memory is short; MissingDependency where the builder is not installed; BackendError for `gpu` without one.
    """
    target = target if isinstance(target, Target) else target_named(target)
    options = options if options is not None else BuildOptions()
    onnx_file, out = Path(onnx_file), Path(out)
    if not onnx_file.is_file():
        raise ExportError(f"no such ONNX file: {onnx_file}")
    started = time.perf_counter()
    with atomic_file(out, ExportError) as temporary:
        built = None
        if target.for_tensorrt:
            built = plan_from_onnx(onnx_file, target, temporary, options, progress)
        else:
            _link_or_copy(onnx_file, temporary)
    facts = EngineFacts(
        file=out,
        backend=target.backend,
        nbytes=out.stat().st_size,
        seconds=time.perf_counter() - started,
        layers=built.layers if built else 0,
        plan=built.facts if built else None,
        options=options,
        gpu_layers=built.gpu_layers if built else (),
    )
    if facts.gpu_layers:
        log.warning("%s: the DLA leaves to the GPU: %s", out, ", ".join(facts.gpu_layers))
    log.info("engine for %s: %s, %.1f MB, %.1f s", target.value, out, facts.nbytes / 1e6, facts.seconds)
    return facts


def _link_or_copy(source: Path, target: Path) -> None:
    """The same bytes under another name: linked where the file system can, for they may be gigabytes."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
