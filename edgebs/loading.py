"""From the name of a model or a bundle folder to a pipeline that is ready to run."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgebs.backends import Backend, open_backend
from edgebs.bundle import MANIFEST, Bundle, bundle_path, verify_files
from edgebs.bundle.manifest import EXACT_WEIGHT_BITS, CleanupSettings, NetworkFacts
from edgebs.cues import open_cue
from edgebs.cues.cue import Cue
from edgebs.errors import BackendError, BundleError
from edgebs.machine.cpu import Cpu, this_cpu, threads_beside_flow, usable_cores
from edgebs.nvidia import DeviceOptions
from edgebs.pipeline import Pipeline

if TYPE_CHECKING:
    from edgebs.cameras import Cameras
    from edgebs.nvidia.load import Opened
    from edgebs.nvidia.runner import DeviceRunner

logger = logging.getLogger(__name__)


def load(
    bundle: str | Path | Bundle,
    *,
    threads: int = 0,
    threshold: float | None = None,
    cleanup: bool = True,
    device: DeviceOptions | None = None,
) -> Pipeline:
    """Verify a bundle, load its engines, and return the pipeline. Use it as a context manager.

    bundle: a folder, or the name of a shipped model. threads: CPU threads per engine; 0 uses every core, or
    leaves one to the flow (edgebs.machine.cpu).
    threshold: probability above which a pixel is foreground; None takes the bundle's own. cleanup: whether
    specks are removed from masks and holes filled, where the bundle says below which size. device: how plans
    run on an NVIDIA GPU; nothing to bundles for the CPU.
    Raises BundleError, EngineMismatch, BackendError or MissingDependency; see edgebs.errors. Raises
    ValueError for a threshold outside [0, 1].
    """
    verified = verified_bundle(bundle, device or DeviceOptions(), threshold=threshold, cleanup=cleanup)
    return _opened(verified, threads, device)


def load_several(
    bundle: str | Path | Bundle,
    count: int,
    *,
    threads: int = 0,
    threshold: float | None = None,
    cleanup: bool = True,
    device: DeviceOptions | None = None,
) -> list[Pipeline]:
    """One pipeline per camera, independent of each other, with engines shared where they are TensorRT plans.

    Close each; the last one frees the engines. The other arguments, and what is raised, are those of `load`.
    """
    if count < 1:
        raise ValueError(f"count is a number of cameras, at least 1, got {count}")
    verified = verified_bundle(bundle, device or DeviceOptions(), threshold=threshold, cleanup=cleanup)
    pipelines: list[Pipeline] = []
    opened: Opened = {}
    try:
        for _ in range(count):
            # One by one: those before an error must be closed.
            pipelines.append(_opened(verified, threads, device, opened))  # noqa: PERF401
    except BaseException:
        for pipeline in pipelines:
            pipeline.close()
        raise
    return pipelines


def _opened(
    bundle: Bundle, threads: int, device: DeviceOptions | None, opened: Opened | None = None
) -> Pipeline:
    if not bundle.manifest.runs_on_device:
        return _on_host(bundle, threads)
    return Pipeline(bundle.manifest, _on_device(bundle, device or DeviceOptions(), opened=opened))


def load_cameras(
    bundle: str | Path | Bundle,
    count: int,
    *,
    threshold: float | None = None,
    cleanup: bool = True,
    device: DeviceOptions | None = None,
) -> Cameras:
    """Verify a bundle of TensorRT plans, and run it over `count` cameras in one call per network.

    The plans need a profile for that many frames. The other arguments, and what is raised, are those of
    `load`; BackendError also for a bundle for the CPU.
    """
    if count < 1:
        raise ValueError(f"count is a number of cameras, at least 1, got {count}")
    verified = verified_bundle(bundle, device or DeviceOptions(), threshold=threshold, cleanup=cleanup)
    if not verified.manifest.runs_on_device:
        raise BackendError(
            f"{verified.path} is for the CPU, where one call for several cameras saves nothing: load it once "
            "per camera, or leave out --together. For a GPU: edgebs export ... --target gpu"
        )
    from edgebs.cameras import Cameras

    return Cameras(verified.manifest, _on_device(verified, device or DeviceOptions(), cameras=count))


def verified_bundle(
    bundle: str | Path | Bundle,
    device: DeviceOptions,
    *,
    threshold: float | None = None,
    cleanup: bool = True,
) -> Bundle:
    """The bundle with the user's threshold and clean-up in its manifest. Raises as `load`."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be a probability from 0 to 1, got {threshold}")
    verified = (
        bundle
        if isinstance(bundle, Bundle)
        else load_bundle(bundle_path(bundle), device=device.device, lean=device.lean)
    )
    manifest = verified.manifest
    if threshold is not None:
        manifest = replace(manifest, threshold=threshold)
    if not cleanup:
        manifest = replace(manifest, cleanup=CleanupSettings())
    if manifest.parity is None:
        logger.warning(
            "%s is not proven: it was not compared with PyTorch. Run: edgebs parity %s, or export it again",
            *(verified.path, verified.path),
        )
    elif not manifest.parity.get("passed", False):
        logger.warning("%s failed its parity gate (%s)", verified.path, manifest.parity.get("gate"))
    return Bundle(verified.path, manifest)


def _on_device(
    bundle: Bundle, options: DeviceOptions, *, cameras: int = 1, opened: Opened | None = None
) -> DeviceRunner:
    from edgebs.nvidia.load import open_device_path

    host_cue = partial(_host_cue, bundle, options)
    return open_device_path(bundle, options, host_cue, cameras=cameras, opened=opened)


def _on_host(bundle: Bundle, threads: int) -> Pipeline:
    manifest = bundle.manifest
    engines: dict[str, Backend] = {}
    threads = threads or threads_beside_flow(manifest, usable_cores())
    try:
        for network in manifest.networks:
            engines[network] = _open_network(bundle, network, threads)
        cue = open_cue(manifest.cue, manifest.size, engines.get("cue"))
        return Pipeline(manifest, engines["segment"], cue)
    except BaseException:
        for backend in engines.values():
            backend.close()
        raise


def _open_network(bundle: Bundle, network: str, threads: int) -> Backend:
    facts = bundle.manifest.networks[network]
    _warn_of_saturation(bundle.path, network, facts, this_cpu())
    backend = open_backend(facts.backend, bundle.file(network), compute=facts.compute, threads=threads)
    if dict(backend.inputs) != dict(facts.inputs) or dict(backend.outputs) != dict(facts.outputs):
        backend.close()
        raise BackendError(
            f"{bundle.file(network)} has tensors {_names(backend)}; its manifest says "
            f"{sorted(facts.inputs)} -> {sorted(facts.outputs)} of other names, shapes or dtypes. "
            "Export the bundle again."
        )
    return backend


def _warn_of_saturation(path: Path, network: str, facts: NetworkFacts, cpu: Cpu) -> None:
    """Log where sums of an INT8 network saturate: in bundles older than `weight_bits`, under OpenVINO."""
    has_wide_weights = facts.precision == "int8" and facts.weight_bits != EXACT_WEIGHT_BITS
    if facts.backend == "openvino" and has_wide_weights and cpu.int8.saturates:
        logger.warning(
            "%s: the INT8 weights of '%s' have 8 bits, and this CPU (%s) has no VNNI: sums saturate and "
            "masks are less exact than in FP32. Export the bundle again with this edgebs, or use FP32.",
            path,
            network,
            cpu.name or cpu.architecture,
        )


def _names(backend: Backend) -> str:
    return f"{sorted(backend.inputs)} -> {sorted(backend.outputs)}"


def load_bundle(path: Path | str, *, device: int = 0, lean: bool = False) -> Bundle:
    """Read and verify a bundle: format version, every file's SHA-256, and where its plans may run.

    device: position of the GPU that plans will run on. lean: whether tensorrt_lean loads them.
    Raises BundleError for a missing or damaged part, EngineMismatch for a plan of another GPU or TensorRT;
    nothing is deserialised before that, because a plan is native code.
    """
    path = Path(path)
    bundle = verify_files(path)
    manifest = bundle.manifest
    plans = {facts.backend for facts in manifest.networks.values() if facts.is_plan}
    if plans or manifest.build is not None:
        build = manifest.build or {}
        if plans != {build.get("module")}:
            raise BundleError(
                f"{path / MANIFEST} names plans of {', '.join(sorted(plans)) or 'no TensorRT'}, built with "
                f"{build.get('module')}. Do not load it; export the bundle again."
            )
        from edgebs.nvidia.tensorrt import check_plan_fits_here

        check_plan_fits_here(build, where=str(path), target=manifest.target, device=device, lean=lean)
    return bundle


def _host_cue(bundle: Bundle, options: DeviceOptions, owned: ExitStack) -> Cue:
    manifest, backend = bundle.manifest, None
    if "cue" in manifest.networks:
        facts = manifest.networks["cue"]
        backend = open_backend(facts.backend, bundle.file("cue"), compute=facts.compute, device=options)
        owned.callback(backend.close)
    cue = open_cue(manifest.cue, manifest.size, backend)
    owned.callback(cue.close)
    return cue
