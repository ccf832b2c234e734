"""The command that trains the shipped model, for one minute: it learns, and leaves weights that load."""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path

from export.models import ModelRequest
from export.networks import build_networks
from export.weights import weights_sha256

SEED = 21
# As docs/models/edge.md has it, but for the length and what goes with it: a busy machine does 30 steps in a
# minute, all of them within the usual warm-up of 200; each is a row.
COMMAND = (
    "train edge --weights random --size 128x128 --minutes 1 --threads 1 --workers 1 --replay 2 "
    f"--seed {SEED} --validate-every 100000 --warm-up 20 --log-every 1"
)
FALL = 0.85
"""Mean loss of the last quarter of the steps over that of the first. Measured: 0.62 to 0.64 with 24, 31 and
60 steps."""


# One test: as several, pytest-xdist would train once in each of its processes.
def test_a_minute_of_training_lowers_the_loss_and_leaves_weights_that_load(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "edgebs.cli", *COMMAND.split(), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr

    with (out / "curves.csv").open(encoding="utf-8") as stream:
        losses = [float(row["loss"]) for row in csv.DictReader(stream) if row["loss"]]
    quarter = len(losses) // 4
    assert quarter >= 4, f"{len(losses)} steps in a minute"
    first, last = statistics.mean(losses[:quarter]), statistics.mean(losses[-quarter:])
    assert last < FALL * first, f"{len(losses)} steps: {first:.3f} to {last:.3f}"

    random = build_networks(ModelRequest(model="edge", weights="random", seed=SEED))["segment"]
    for name in ("best.safetensors", "final.safetensors"):
        trained = build_networks(ModelRequest(model="edge", weights=str(out / name)))["segment"]
        assert weights_sha256(trained.network) != weights_sha256(random.network)

    record = json.loads((out / "training.json").read_text(encoding="utf-8"))
    assert COMMAND in record["commands"][0]
    assert record["finished"]
    assert len(record["photographs"]) == 9
