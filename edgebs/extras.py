"""Whether an optional part is installed, asked before a command starts work that needs it."""

from __future__ import annotations

from importlib.util import find_spec

from edgebs.errors import MissingDependency

EXPORT_MODULES = ("torch", "onnx", "onnxsim", "onnxruntime", "onnxconverter_common", "nncf", "safetensors")


def require_export() -> None:
    """Raise MissingDependency, naming what is missing and the command that installs it."""
    missing = [module for module in EXPORT_MODULES if find_spec(module) is None]
    if missing:
        raise MissingDependency(
            f"this command needs PyTorch and the ONNX tools, and {', '.join(missing)} cannot be imported: "
            "pip install 'edgebs[export]'"
        )
