"""From a bundle of TensorRT plans to the path that runs them on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edgebs.cues.cue import Cue
from edgebs.errors import BackendError
from edgebs.nvidia import DeviceOptions, cuda
from edgebs.nvidia.runner import DeviceRunner
from edgebs.nvidia.tensorrt import import_tensorrt
from edgebs.nvidia.tensorrt.engine import TensorRTEngine, module_of
from edgebs.tensors import TensorSpec

if TYPE_CHECKING:
    from edgebs.bundle import Bundle
    from edgebs.bundle.manifest import Manifest

Opened = dict[Path, TensorRTEngine]
"""Engines that are open already, by file."""


def open_device_path(
    bundle: Bundle,
    options: DeviceOptions,
    open_host_cue: Callable[[ExitStack], Cue],
    *,
    cameras: int = 1,
    opened: Opened | None = None,
) -> DeviceRunner:
    """Load a verified bundle's plans, and the cue beside them. cameras: frames in one call.

    open_host_cue: makes the cue of one camera where the host computes it, and registers what must be closed.
    opened: engines to share, as long as a path that has them is open; those loaded here join them.
    Raises BackendError, EngineMismatch or MissingDependency; nothing is held then.
    """
    import_tensorrt(module_of(bundle.manifest.networks["segment"].backend, options))
    cuda.revive_device(options.device)
    cuda.require_device()
    with cuda.on_device(options.device), ExitStack() as owned:
        opened = {} if opened is None else opened
        segment = _engine(bundle, "segment", options, cameras, opened)
        owned.callback(segment.close)
        cue: TensorRTEngine | list[Cue]
        if _has_cue_on_device(bundle.manifest):
            cue = _engine(bundle, "cue", options, cameras, opened)
            owned.callback(cue.close)
        else:
            cue = [open_host_cue(owned) for _ in range(cameras)]
        # The path owns all of them from here on, also when it fails.
        owned.pop_all()
        return DeviceRunner(segment, cue, bundle.manifest.cue, options)


def _has_cue_on_device(manifest: Manifest) -> bool:
    facts = manifest.networks.get("cue")
    pasts = {f"past_{interval}" for interval in manifest.cue.intervals}
    return (
        facts is not None
        and facts.is_plan
        and (set(facts.inputs), set(facts.outputs))
        == (
            {"frame", *pasts},
            {"cue"},
        )
    )


def _engine(
    bundle: Bundle, network: str, options: DeviceOptions, cameras: int, opened: Opened
) -> TensorRTEngine:
    facts, file = bundle.manifest.networks[network], bundle.file(network)
    if file in opened and opened[file].is_shareable:
        return opened[file].share()
    engine = TensorRTEngine(file, module=facts.backend, options=options, batch=cameras)
    found, said = {**engine.inputs, **engine.outputs}, {**facts.inputs, **facts.outputs}
    if found != {name: _of(spec, cameras) for name, spec in said.items()}:
        engine.close()
        raise BackendError(
            f"{file} has tensors {_describe(found)}; its manifest says {_describe(said)}. "
            "Export the bundle again."
        )
    opened[file] = engine
    return engine


def _of(spec: TensorSpec, cameras: int) -> TensorSpec:
    return TensorSpec((cameras, *spec.shape[1:]), spec.dtype)


def _describe(tensors: Mapping[str, TensorSpec]) -> str:
    return ", ".join(f"{name} {spec.dtype} {spec.shape}" for name, spec in sorted(tensors.items()))
