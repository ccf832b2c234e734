"""Background subtraction networks as engines, pipelined inside a camera appliance.

    with edgebs.load("bundles/crossnet-dis-cpu-int8") as pipeline:
        for result in pipeline.run("street.mp4"):
            result.mask   # (H, W) uint8, 0 or 255

Imports neither torch nor onnx; OpenCV and the backend are imported when a pipeline is loaded.
"""

from __future__ import annotations

from edgebs.version import __version__

TYPE_CHECKING = False
"""As in `typing`, which takes longer to import than the rest: a command must deal with signals at once."""
if TYPE_CHECKING:
    from pathlib import Path

    from edgebs.bundle import Bundle
    from edgebs.cameras import Cameras
    from edgebs.errors import EdgebsError
    from edgebs.nvidia import DeviceOptions
    from edgebs.pipeline import Pipeline

__all__ = ["DeviceOptions", "EdgebsError", "__version__", "load", "load_cameras", "load_several"]


def load(
    bundle: str | Path | Bundle,
    *,
    threads: int = 0,
    threshold: float | None = None,
    cleanup: bool = True,
    device: DeviceOptions | None = None,
) -> Pipeline:
    """A pipeline from a bundle folder or the name of a shipped model; see `edgebs.loading.load`."""
    from edgebs.machine.extras import require_opencv

    require_opencv()
    from edgebs.loading import load as load_bundle_or_model

    return load_bundle_or_model(bundle, threads=threads, threshold=threshold, cleanup=cleanup, device=device)


def load_cameras(
    bundle: str | Path | Bundle,
    count: int,
    *,
    threshold: float | None = None,
    cleanup: bool = True,
    device: DeviceOptions | None = None,
) -> Cameras:
    """A bundle of TensorRT plans over several cameras at once; see `edgebs.loading.load_cameras`."""
    from edgebs.machine.extras import require_opencv

    require_opencv()
    from edgebs.loading import load_cameras as load_for_cameras

    return load_for_cameras(bundle, count, threshold=threshold, cleanup=cleanup, device=device)


def load_several(
    bundle: str | Path | Bundle,
    count: int,
    *,
    threads: int = 0,
    threshold: float | None = None,
    cleanup: bool = True,
    device: DeviceOptions | None = None,
) -> list[Pipeline]:
    """One pipeline per camera, engines shared on a GPU; see `edgebs.loading.load_several`."""
    from edgebs.machine.extras import require_opencv

    require_opencv()
    from edgebs.loading import load_several as load_for_each

    return load_for_each(bundle, count, threads=threads, threshold=threshold, cleanup=cleanup, device=device)


def __getattr__(name: str) -> object:
    """`DeviceOptions` and `EdgebsError`, imported at first use: a command must start at once."""
    if name == "DeviceOptions":
        from edgebs.nvidia import DeviceOptions

        return DeviceOptions
    if name == "EdgebsError":
        from edgebs.errors import EdgebsError

        return EdgebsError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
