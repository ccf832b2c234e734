"""`edgebs train cdn-medal`: both networks by one command, resumed, exported from one file."""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edgebs.errors import ExportError
from export.models.build import build_networks
from export.models.request import ModelRequest
from export.models.weights import weights_of, weights_sha256
from export.networks.medal import MedalNet
from export.training import LoopOptions, Schedule, TrainRequest
from export.training.samples.mixture import DataOptions
from export.training.stream import Feed
from export.training.tasks import task_for
from export.training.tasks.medal import start_at_the_difference

# One row a step, so that a short run shows whether it learns.
COMMAND = (
    "train cdn-medal --size 32x32 --steps 60 --warm-up 5 --lr 0.02 --batch 8 --replay 4 --seed 5 --threads 1 "
    "--workers 0 --validation 2 --validate-every 1000 --log-every 1"
)
FALL = 0.95
"""Mean loss of the last quarter of the steps over that of the first."""


def train(out: Path, *options: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgebs.cli", *COMMAND.split(), "--out", str(out), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr


def losses_of(curves: Path) -> list[float]:
    with curves.open(encoding="utf-8") as stream:
        return [float(row["loss"]) for row in csv.DictReader(stream) if row["loss"]]


# One test: as several, pytest-xdist would train once in each of its processes.
def test_some_steps_lower_both_losses_and_leave_one_file_with_both_networks(tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(out)
    for curves in (out / "curves.csv", out / "cdn-gm" / "curves.csv"):
        losses = losses_of(curves)
        if curves.parent == out:
            quarter = len(losses) // 4
            first, last = statistics.mean(losses[:quarter]), statistics.mean(losses[-quarter:])
            assert last < FALL * first, f"{first:.3f} to {last:.3f}"
        else:
            # Rows of 25 steps; a log-likelihood has no zero to take a share of.
            assert losses[-1] < losses[0]

    trained = build_networks(ModelRequest(model="cdn-medal", weights=str(out / "best.safetensors")))
    random = build_networks(ModelRequest(model="cdn-medal", weights="random", seed=5))
    assert all(weights_sha256(trained[n].network) != weights_sha256(random[n].network) for n in random)
    record = json.loads((out / "training.json").read_text(encoding="utf-8"))
    assert record["finished"]

    # Going on does not train CDN-GM again, and the cue stays what it is.
    before = (out / "cdn-gm" / "best.safetensors").read_bytes()
    train(out, "--resume")
    assert (out / "cdn-gm" / "best.safetensors").read_bytes() == before
    again = build_networks(ModelRequest(model="cdn-medal", weights=str(out / "final.safetensors")))
    for name, tensor in weights_of(again["cue"].network).items():
        assert torch.equal(tensor, weights_of(trained["cue"].network)[name])


@torch.no_grad()
def test_it_starts_with_what_differs_in_either_direction() -> None:
    network = MedalNet()
    start_at_the_difference(network, 0)
    background = torch.full((1, 3, 16, 16), 0.4)
    frame = background.clone()
    frame[:, 1, 8:] += 0.2
    features = network.encoder[0](torch.cat([frame, background], dim=1))[0, :6, :, 4]
    # Colour by colour: the frame above the background, then below. The first filter is not quite one pixel.
    expected = torch.zeros(6, 16)
    expected[2, 8:], expected[3, 8:] = 4 * 0.2, -4 * 0.2
    assert (features - expected)[:, 2:6].abs().max() < 0.3
    assert (features - expected)[:, 10:14].abs().max() < 0.3


def test_scored_data_are_refused(tmp_path: Path) -> None:
    request = TrainRequest(
        model=ModelRequest(model="cdn-medal", size=(32, 32)),
        loop=LoopOptions(out=tmp_path / "run", schedule=Schedule(steps=1)),
        feed=Feed(workers=0),
        data=DataOptions(root=tmp_path, size=(32, 32)),
    )
    with pytest.raises(ExportError, match="rendered scenes alone: leave --data out"):
        task_for(request)
    assert not (tmp_path / "run").exists()
