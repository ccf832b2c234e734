"""From an ONNX file to the engine of a target."""

from __future__ import annotations

import logging
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebs.atomic import atomic_file
from edgebs.errors import ExportError
from edgebs.plan import PlanFacts
from engines.plan_builder import plan_from_onnx
from engines.plan_progress import Progress
from engines.targets import Target, target_named

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """An engine that was made, and with what."""

    file: Path
    backend: str
    """The runtime that loads it, one of edgebs.backends.BACKENDS."""
    nbytes: int
    seconds: float
    """Wall time of the build."""
    layers: int = 0
    """Of TensorRT's network as parsed; 0 where the ONNX file is the engine."""
    plan: PlanFacts | None = None
    """What a plan was built for; None where the ONNX file is the engine."""

    def to_json(self) -> dict[str, Any]:
        """The form written into manifests and reports; `build` is what `edgebs.bundle` checks on load."""
        return {
            "file": self.file.name,
            "backend": self.backend,
            "bytes": self.nbytes,
            "seconds": round(self.seconds, 3),
            "layers": self.layers,
            "build": self.plan.to_json() if self.plan else None,
        }


def build_engine(
    onnx_file: Path,
    target: Target | str,
    out: Path,
    *,
    workspace_bytes: int | None = None,
    progress: Progress | None = None,
) -> EngineFacts:
    """Write the engine of `target` for `onnx_file` to `out`, whole or not at all.

    For `cpu` and `onnx` the engine is the ONNX file itself. A plan is built in the precision that the ONNX
    file says. workspace_bytes: the most scratch memory a plan may use; default: TensorRT's own.
    progress: called with (steps done, steps known so far).
    Raises ExportError for a network that the builder refuses, with its reason and the node's name;
    MissingDependency where the builder is not installed; BackendError for `gpu` without a GPU.
    """
    target = target if isinstance(target, Target) else target_named(target)
    onnx_file, out = Path(onnx_file), Path(out)
    if not onnx_file.is_file():
        raise ExportError(f"no such ONNX file: {onnx_file}")
    started = time.perf_counter()
    with atomic_file(out, ExportError) as temporary:
        built = None
        if target.for_tensorrt:
            built = plan_from_onnx(onnx_file, target, temporary, workspace_bytes, progress)
        else:
            _link_or_copy(onnx_file, temporary)
    facts = EngineFacts(
        file=out,
        backend=target.backend,
        nbytes=out.stat().st_size,
        seconds=time.perf_counter() - started,
        layers=built.layers if built else 0,
        plan=built.facts if built else None,
    )
    log.info("engine for %s: %s, %.1f MB, %.1f s", target.value, out, facts.nbytes / 1e6, facts.seconds)
    return facts


def _link_or_copy(source: Path, target: Path) -> None:
    """The same bytes under another name: linked where the file system can, for they may be gigabytes."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
