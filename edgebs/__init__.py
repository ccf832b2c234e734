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
    from edgebs.errors import EdgebsError
    from edgebs.loading import load, load_cameras, load_several
    from edgebs.nvidia import DeviceOptions

__all__ = ["DeviceOptions", "EdgebsError", "__version__", "load", "load_cameras", "load_several"]

_HOMES = {"DeviceOptions": "edgebs.nvidia", "EdgebsError": "edgebs.errors"} | dict.fromkeys(
    ("load", "load_cameras", "load_several"), "edgebs.loading"
)


def __getattr__(name: str) -> object:
    """What `__all__` names, imported at first use: a command must start at once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if _HOMES[name] == "edgebs.loading":
        from edgebs.machine.extras import require_opencv

        require_opencv()
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """For completion."""
    return __all__
