"""Missing packages and the command that installs each, checked before a command starts its work."""

from __future__ import annotations

from importlib.util import find_spec

from edgebs.errors import MissingDependency

INSTALL_OPENCV = (
    "pip install 'edgebs[headless]' "
    "(on Jetson OpenCV comes with JetPack: use a venv made with --system-site-packages)"
)


EXPORT_MODULES = ("torch", "onnx", "onnxsim", "onnxruntime", "nncf", "safetensors")


def _is_missing(module: str) -> bool:
    try:
        return find_spec(module) is None
    except ModuleNotFoundError:
        # An import hook that refuses the module, as our own tests use.
        return True


def require_opencv() -> None:
    """Raise MissingDependency with the command that installs OpenCV, if it is missing."""
    if _is_missing("cv2"):
        raise MissingDependency(f"needs OpenCV: {INSTALL_OPENCV}")


def require_tensorflow() -> None:
    """Raise MissingDependency with the command that installs TensorFlow, if it is missing."""
    if _is_missing("tensorflow"):
        raise MissingDependency("reading a TensorFlow checkpoint needs TensorFlow: pip install 'edgebs[tf]'")


def require_export() -> None:
    """Raise MissingDependency, naming what is missing and the command that installs it."""
    missing = [module for module in EXPORT_MODULES if _is_missing(module)]
    if missing:
        raise MissingDependency(
            f"this command needs PyTorch and the ONNX tools, and {', '.join(missing)} cannot be imported: "
            "pip install 'edgebs[export]'"
        )
    require_opencv()
