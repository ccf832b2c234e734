"""A scene's background on disk: the state of a cue, and the bundle that it belongs to."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebs.errors import BundleError, SinkError
from edgebs.files import atomic_file
from edgebs.tensors import Array

if TYPE_CHECKING:
    from edgebs.bundle.manifest import Manifest

FORMAT = 1
FACTS = "edgebs"
"""The array that holds what the file belongs to, as JSON in bytes."""


def save_background(path: Path, manifest: Manifest, background: Mapping[str, Array]) -> None:
    """Write a background, whole or not at all, replacing an older one. Raises SinkError."""
    facts = np.frombuffer(json.dumps(background_facts(manifest)).encode(), np.uint8)
    if path.is_dir():
        raise SinkError(f"{path} is a folder. Name a file for the background, such as {path / 'scene.npz'}.")
    with atomic_file(path, SinkError) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **{FACTS: facts}, **background)


def load_background(path: Path, manifest: Manifest) -> dict[str, Array]:
    """What `save_background` wrote for a bundle like this one.

    Raises BundleError where the file is damaged, or belongs to another model, size, cue or weights.
    """
    try:
        arrays = _arrays(path)
        facts = json.loads(arrays.pop(FACTS).tobytes())
    except FileNotFoundError as cause:
        raise BundleError(
            f"no background at {path}. Run once with --background {path} to make it."
        ) from cause
    except (OSError, ValueError, RecursionError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as cause:
        raise damaged(path, cause) from cause
    _require_same(path, facts, background_facts(manifest))
    return arrays


def _arrays(path: Path) -> dict[str, Array]:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ValueError("it is no file")
    with path.open("rb") as stream:  # np.load would leave the file of a damaged one open
        file = np.load(stream, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("one array alone")
        return {name: file[name] for name in file.files}


def damaged(path: Path, cause: Exception) -> BundleError:
    """The error of a file that holds no background."""
    return BundleError(
        f"{path} is no background file, or damaged ({cause}). Delete it, and let a new one be made."
    )


def background_facts(manifest: Manifest) -> dict[str, Any]:
    """What a background belongs to. The precision is not among it: the scene looks the same in each."""
    return {
        "format": FORMAT,
        "model": manifest.model,
        "cue": manifest.cue.kind,
        "references": manifest.cue.references,
        "size": list(manifest.size),
        "weights": {name: facts.weights_sha256 for name, facts in manifest.networks.items()},
    }


def _require_same(path: Path, found: Any, wanted: Mapping[str, Any]) -> None:
    found = found if isinstance(found, dict) else {}
    for name, value in wanted.items():
        if found.get(name) != value:
            raise BundleError(
                f"{path} holds a background of {name} {_describe(found.get(name))}; the bundle has "
                f"{_describe(value)}. Name another --background, or delete this one."
            )


def _describe(value: Any) -> str:
    """Sizes as width x height; of weights the start of each hash."""
    if isinstance(value, list) and len(value) == 2:
        return f"{value[1]}x{value[0]}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {str(sha)[:8]}…" for name, sha in value.items())
    return str(value)
