"""From a bundle of TensorRT plans to the path that runs them on the device."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from edgebs.backends import Backend
from edgebs.backends.tensorrt import TensorRTBackend
from edgebs.bundle.folder import Bundle
from edgebs.bundle.manifest import Manifest
from edgebs.cues import open_cue
from edgebs.cues.cue import Cue
from edgebs.errors import BackendError
from edgebs.nvidia import cuda
from edgebs.nvidia.options import DeviceOptions
from edgebs.nvidia.runner import DevicePath
from edgebs.nvidia.tensorrt.engine import TensorRTEngine, module_of
from edgebs.nvidia.tensorrt.module import import_tensorrt
from edgebs.tensors import TensorSpec

Opened = dict[Path, TensorRTEngine]
"""Engines that are open already, by file."""


def open_device_path(
    bundle: Bundle, options: DeviceOptions, *, cameras: int = 1, opened: Opened | None = None
) -> DevicePath:
    """Load a verified bundle's plans, and the cue beside them. cameras: frames in one call.

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
            cue = [_host_cue(bundle, options, owned) for _ in range(cameras)]
        # The path owns all of them from here on, also when it fails.
        owned.pop_all()
        return DevicePath(segment, cue, bundle.manifest.cue, options)


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
            f"{file} has tensors {_spoken(found)}; its manifest says {_spoken(said)}. "
            "Export the bundle again."
        )
    opened[file] = engine
    return engine


def _host_cue(bundle: Bundle, options: DeviceOptions, owned: ExitStack) -> Cue:
    manifest, backend = bundle.manifest, None
    if "cue" in manifest.networks:
        backend = _cue_backend(bundle, options)
        owned.callback(backend.close)
    cue = open_cue(manifest.cue, manifest.size, backend)
    owned.callback(cue.close)
    return cue


def _cue_backend(bundle: Bundle, options: DeviceOptions) -> Backend:
    """For a cue that asks its network now and then, with arrays of the host."""
    facts = bundle.manifest.networks["cue"]
    if facts.is_plan:
        return TensorRTBackend(bundle.file("cue"), module=facts.backend, options=options)
    from edgebs.backends import open_backend

    return open_backend(facts.backend, bundle.file("cue"), compute=facts.compute)


def _of(spec: TensorSpec, cameras: int) -> TensorSpec:
    return TensorSpec((cameras, *spec.shape[1:]), spec.dtype)


def _spoken(tensors: Mapping[str, TensorSpec]) -> str:
    return ", ".join(f"{name} {spec.dtype} {spec.shape}" for name, spec in sorted(tensors.items()))
