"""What `edgebs models` lists: what can be exported, what is trained, and what is shipped ready to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgebs.bundle.folder import read_manifest
from edgebs.bundle.shipped import WEIGHTS_PREFIX, shipped_models, weights_file
from export.models.request import FLOW_NET
from export.models.table import FLOWS, MODELS


def models_listing() -> dict[str, Any]:
    """JSON values by name under `models`, `flows` and `shipped`.

    `trained` says whether the package holds trained weights; it is null where there is no network. Raises
    BundleError for a shipped bundle that cannot be read.
    """
    is_trained = {name: weights_file(WEIGHTS_PREFIX + name).is_file() for name in MODELS}
    flow_weights = {"dis": None, "net": weights_file(FLOW_NET).is_file()}
    return {
        "models": {name: {**facts.to_json(), "trained": is_trained[name]} for name, facts in MODELS.items()},
        "flows": {
            name: {**facts.to_json(), "trained": flow_weights.get(name, False)}
            for name, facts in FLOWS.items()
        },
        "shipped": {name: _shipped(path) for name, path in shipped_models().items()},
    }


def _shipped(path: Path) -> dict[str, Any]:
    manifest = read_manifest(path)
    networks = manifest.networks
    # A background that is kept costs nothing with most frames.
    each_frame = [
        facts for name, facts in networks.items() if name == "segment" or not manifest.cue.refresh_s
    ]
    return {
        "path": str(path),
        "model": manifest.model,
        "target": manifest.target,
        "precision": manifest.precision,
        "size": list(manifest.size),
        "parameters": sum(facts.parameters for facts in networks.values()),
        "gflop": round(sum(facts.gflop for facts in each_frame), 2),
        "history_frames": manifest.cue.history_frames,
        "trained": manifest.trained,
        "bytes": sum(int(entry["bytes"]) for entry in manifest.files.values()),
    }
