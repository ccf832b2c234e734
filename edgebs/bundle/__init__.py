"""The folder that is shipped to an appliance: manifest, engines, checks."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgebs.bundle.manifest import Manifest
from edgebs.errors import BundleError
from edgebs.files import atomic_file, atomic_folder
from edgebs.files.cache import file_digest
from edgebs.text import json_text, path_from_text

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle on disk."""

    path: Path
    manifest: Manifest

    def file(self, network: str) -> Path:
        """The engine file of a network."""
        return self.path / self.manifest.networks[network].file


def sha256_of(file: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    return file_digest(file).hex()


def is_bundle(path: Path) -> bool:
    """Whether a folder claims to be a bundle."""
    return (path / MANIFEST).is_file()


def verify_files(path: Path) -> Bundle:
    """Read a bundle and verify its format and every file's SHA-256, wherever its engines may run."""
    manifest = read_manifest(path)
    for name in (*manifest.files, *(network.file for network in manifest.networks.values())):
        if Path(name).name != name:
            raise BundleError(f"{path / MANIFEST} names a file outside the bundle: {name!r}. Do not use it.")
    for name, facts in manifest.files.items():
        _verify_file(path / name, facts)
    missing = [network.file for network in manifest.networks.values() if network.file not in manifest.files]
    if missing:
        raise BundleError(
            f"{path / MANIFEST} has no SHA-256 for {', '.join(missing)}. Export the bundle again."
        )
    return Bundle(path, manifest)


def read_manifest(path: Path) -> Manifest:
    """The manifest of a bundle folder, without verifying its files."""
    file = path / MANIFEST
    if not path.is_dir():
        raise BundleError(f"no bundle at {path}: the folder does not exist. Make one with: edgebs export")
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise BundleError(
            f"{path} is not a bundle: it has no {MANIFEST}. Make one with: edgebs export"
        ) from cause
    except (OSError, ValueError, RecursionError) as cause:
        raise BundleError(f"{file} cannot be read: {cause}. Export the bundle again.") from cause
    if not isinstance(data, dict):
        raise BundleError(f"{file} must hold a JSON object. Export the bundle again.")
    return Manifest.from_json(data, str(file))


def _verify_file(file: Path, facts: Mapping[str, Any]) -> None:
    if not file.is_file():
        raise BundleError(
            f"{file} is missing from the bundle. Copy the whole folder again, or export it again."
        )
    found = sha256_of(file)
    if found != facts["sha256"]:
        raise BundleError(
            f"{file} is damaged or was changed: its SHA-256 is {found[:16]}…, the manifest says "
            f"{str(facts['sha256'])[:16]}…. Copy the bundle again, or export it again."
        )


def require_replaceable(path: Path, *, force: bool) -> None:
    """Raise BundleError unless a bundle may be written to `path`.

    It may where nothing is, and with `force` over a bundle or an empty folder; never over anything else, so
    that --force is not advised where it does not help.
    """
    if not os.path.lexists(path):
        return
    if not path.is_dir():
        raise BundleError(f"{path} is not a folder, so it is not replaced by a bundle. Choose another --out.")
    if not is_bundle(path) and any(path.iterdir()):
        raise BundleError(
            f"{path} holds files of something else, so it is not replaced. Choose another --out."
        )
    if not force:
        raise BundleError(f"{path} exists already. Choose another --out, or replace it with --force.")


def write_bundle(manifest: Manifest, files: Mapping[str, Path], path: Path, *, force: bool = False) -> Bundle:
    """Move `files` (name in the bundle -> where it is now) into a new bundle folder, whole or not at all."""
    require_replaceable(path, force=force)
    with atomic_folder(path, BundleError, force=force) as temporary:
        for name, file in files.items():
            shutil.move(file, temporary / name)
        facts = {
            name: {"sha256": sha256_of(temporary / name), "bytes": (temporary / name).stat().st_size}
            for name in files
        }
        manifest = replace(manifest, files=facts)
        (temporary / MANIFEST).write_text(json_text(manifest.to_json()), encoding="utf-8")
    return Bundle(path, manifest)


def rewrite_manifest(bundle: Bundle, **changes: Any) -> Bundle:
    """The same bundle with parts of its manifest replaced on disk (a parity result, say)."""
    manifest = replace(bundle.manifest, **changes)
    with atomic_file(bundle.path / MANIFEST, BundleError) as temporary:
        temporary.write_text(json_text(manifest.to_json()), encoding="utf-8")
    return Bundle(bundle.path, manifest)


SHIPPED = Path(__file__).parents[1] / "models"
FIGURES = SHIPPED / "figures.json"
"""What was measured of the bundles in it: F, and frames per second by kind of CPU."""


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
