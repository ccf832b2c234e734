"""The command that trains BMN-BSN, for some steps: it learns, and leaves weights that load."""

from __future__ import annotations

import csv
import statistics
import subprocess
import sys
from pathlib import Path

from export.models.build import build_networks
from export.models.request import ModelRequest
from export.models.weights import weights_sha256

SEED, STEPS = 5, 120
COMMAND = (
    f"train bmn-bsn --weights random --width 4 --size 80x64 --steps {STEPS} --threads 1 --workers 1 "
    f"--batch 8 --replay 16 --seed {SEED} --validation 2 --validate-every 100000 --warm-up 5 --log-every 1 "
    "--lr 5e-3"
)
FALL = 0.9
"""Mean loss of the last quarter of the steps over that of the first. Measured: 0.82."""


# One test: as several, pytest-xdist would train once in each of its processes.
def test_some_steps_lower_the_loss_and_leave_weights_of_both_networks(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "edgebs.cli", *COMMAND.split(), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stderr
    with (out / "curves.csv").open(encoding="utf-8") as stream:
        losses = [float(row["loss"]) for row in csv.DictReader(stream) if row["loss"]]
    quarter = STEPS // 4
    first, last = statistics.mean(losses[:quarter]), statistics.mean(losses[-quarter:])
    assert len(losses) == STEPS
    assert last < FALL * first, f"{first:.3f} to {last:.3f}"
    random = build_networks(ModelRequest(model="bmn-bsn", weights="random", width=4, seed=SEED))
    trained = build_networks(ModelRequest(model="bmn-bsn", weights=str(out / "best.safetensors")))
    for name in ("segment", "cue"):
        assert trained[name].network.width == 4
        assert weights_sha256(trained[name].network) != weights_sha256(random[name].network)
