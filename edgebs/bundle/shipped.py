"""Bundles by name: those shipped inside the package, and folders."""

from __future__ import annotations

from pathlib import Path

from edgebs.bundle import is_bundle
from edgebs.errors import BundleError
from edgebs.text import path_from_text

SHIPPED = Path(__file__).parents[1] / "models"


WEIGHTS_PREFIX = "shipped:"
"""Before the name of a model, in a manifest, where its weights are those of the shipped FP32 bundle; or
before the name of a shipped .safetensors file."""


def weights_file(origin: str, network: str = "segment") -> Path:
    """The file that a manifest's origin of weights means: a path, or the weights shipped with a model.

    Those are MODEL.safetensors where there is such a file, else the shipped FP32 bundle's ONNX file.

    network: `segment` or `cue`, whichever of the model's own is wanted.
    """
    name = origin.removeprefix(WEIGHTS_PREFIX)
    if name == origin:
        return path_from_text(origin)
    if name.endswith(".safetensors"):
        return SHIPPED / name
    # Of networks whose graphs hold their weights in another form than training does.
    whole = SHIPPED / f"{name}.safetensors"
    return whole if whole.is_file() else reference_bundle(name) / f"{network}.onnx"


def reference_bundle(model: str) -> Path:
    """Where the FP32 bundle of a shipped model is, or would be."""
    return SHIPPED / f"{model}-fp32"


def shipped_models() -> dict[str, Path]:
    """Bundles inside the package, by name."""
    if not SHIPPED.is_dir():
        return {}
    return {path.name: path for path in sorted(SHIPPED.iterdir()) if is_bundle(path)}


def bundle_path(name: str | Path) -> Path:
    """The folder of a shipped model, or of a bundle. Raises BundleError listing what there is."""
    path = Path(name)
    shipped = shipped_models()
    # A folder that happens to be called like a shipped model, such as a training's, does not hide it.
    if path.is_dir() and (str(name) not in shipped or is_bundle(path)):
        return path
    if str(name) in shipped:
        return shipped[str(name)]
    known = ", ".join(shipped) or "none in this version"
    raise BundleError(
        f"'{name}' is neither a bundle folder nor a shipped model (shipped: {known}). "
        "Make a bundle with: edgebs export crossnet --weights random --out bundles"
    )
