"""`python -m tests.golden --write FILE`, then `--compare FILE`: hashes that a change of layout must keep.

Masks of the shipped models, rendered scenes, the manifest of one small export, and `--help` of every command.
The hashes hold on one machine only: networks compute other bits on another CPU. So none are kept here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.scenes.clip import Clip, ClipOptions
from bench.scenes.scene import PictureBank, Scene
from edgebs.bundle import shipped_models
from edgebs.loading import load
from export.job.export import export_bundles
from export.job.request import ExportRequest
from export.models.request import ModelRequest

COMMANDS = (
    "export",
    "train",
    "import-weights",
    "calibrate",
    "bench",
    "parity",
    "eval",
    "run",
    "inspect",
    "doctor",
    "models",
)
TIMES_S = (-20.0, -4.0, 0.0, 1.0, 3.0)


def sha256(*arrays: np.ndarray) -> str:
    """One hash of all bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def masks() -> dict[str, str]:
    """Of each shipped model, 40 frames of a rendered scene."""
    scene = Scene(7, size=(180, 320), bank=PictureBank(None))
    frames = [scene.frame(n / 25).image for n in range(40)]
    found = {}
    for name in sorted(shipped_models()):
        with load(name) as pipeline:
            results = [pipeline.process(frame, n / 25) for n, frame in enumerate(frames)]
            found[f"masks {name}"] = sha256(*(part for r in results for part in (r.mask, r.probability)))
    return found


def scenes() -> dict[str, str]:
    """Six scenes at five times, and the street."""
    bank = PictureBank(None)
    found = {}
    for seed in range(6):
        scene = Scene(seed, size=(128, 128), bank=bank)
        frames = [scene.frame(second) for second in TIMES_S]
        found[f"scene {seed}"] = sha256(*(part for f in frames for part in (f.image, f.labels, f.background)))
    return found


def street() -> dict[str, str]:
    """The demo's street."""
    frames = Clip(ClipOptions(size=(120, 160), frames=5, seed=3))
    return {"street": sha256(*(part for frame in frames for part in (frame.image, frame.mask)))}


def manifests() -> dict[str, str]:
    """Of CrossNet at width 4 in FP32, without times."""
    with tempfile.TemporaryDirectory() as folder:
        request = ExportRequest(model=ModelRequest(width=4), out=Path(folder), parity_frames=4)
        (bundle,) = export_bundles(request)
        manifest = json.loads((bundle.path / "manifest.json").read_text())
    del manifest["created"]
    return {"manifest": json.dumps(manifest, sort_keys=True)}


def helps() -> dict[str, str]:
    """What `--help` of each command prints."""
    environment = {**os.environ, "COLUMNS": "120", "TERM": "dumb"}
    return {
        f"help {name}": subprocess.run(
            [sys.executable, "-m", "edgebs.cli", name, "--help"],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        ).stdout
        for name in COMMANDS
    }


def main() -> int:
    """Write the hashes, or compare them: exit code 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--compare", type=Path)
    chosen = parser.parse_args()
    found = {**masks(), **scenes(), **street(), **manifests(), **helps()}
    if chosen.write:
        chosen.write.write_text(json.dumps(found, indent=1))
        return 0
    wanted = json.loads(chosen.compare.read_text())
    differing = [key for key in {*found, *wanted} if found.get(key) != wanted.get(key)]
    for key in differing:
        print(f"differs: {key}")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
