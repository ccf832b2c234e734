"""The command that trains the shipped model, for some steps: it learns, and leaves weights that load."""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path

from export.models.build import build_networks
from export.models.request import ModelRequest
from export.models.weights import weights_sha256

SEED, STEPS = 21, 24
# As docs/models/edge.md has it, but for size and length: the usual warm-up is 200 steps; each step is a row.
COMMAND = (
    f"train edge --weights random --size 64x64 --steps {STEPS} --threads 1 --workers 1 --replay 2 "
    f"--seed {SEED} --validation 2 --validate-every 100000 --warm-up 20 --log-every 1"
)
FALL = 0.85
"""Mean loss of the last quarter of the steps over that of the first. Measured: 0.63, 0.66, 0.68."""


# One test: as several, pytest-xdist would train once in each of its processes.
def test_some_steps_lower_the_loss_and_leave_weights_that_load(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "edgebs.cli", *COMMAND.split(), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr

    with (out / "curves.csv").open(encoding="utf-8") as stream:
        losses = [float(row["loss"]) for row in csv.DictReader(stream) if row["loss"]]
    assert len(losses) == STEPS
    quarter = STEPS // 4
    first, last = statistics.mean(losses[:quarter]), statistics.mean(losses[-quarter:])
    assert last < FALL * first, f"{first:.3f} to {last:.3f}"

    random = build_networks(ModelRequest(model="edge", weights="random", seed=SEED))["segment"]
    for name in ("best.safetensors", "final.safetensors"):
        trained = build_networks(ModelRequest(model="edge", weights=str(out / name)))["segment"]
        assert weights_sha256(trained.network) != weights_sha256(random.network)

    record = json.loads((out / "training.json").read_text(encoding="utf-8"))
    assert COMMAND in record["commands"][0]
    assert record["finished"]
    assert len(record["photographs"]) == 9
