"""Where the training of BMN-BSN starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from export.models.request import ModelRequest
from export.training import LoopOptions, Schedule, TrainRequest
from export.training.stream import Feed
from export.training.tasks import task_for


def test_the_first_maps_are_the_mean_of_the_references_and_the_others_are_not(tmp_path: Path) -> None:
    model = ModelRequest(model="bmn-bsn", weights="random", width=4, references=3, maps=5, size=(32, 48))
    loop = LoopOptions(out=tmp_path, schedule=Schedule(steps=1))
    graph = task_for(TrainRequest(model=model, loop=loop, feed=Feed(workers=0))).graph.train()
    planes = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (2, 9, 32, 48)).astype(np.uint8))
    with torch.no_grad():
        maps = graph.graphs["cue"].of_planes(planes)
    mean = planes.float().reshape(2, 3, 3, 32, 48).mean(dim=1)
    likeness = [
        abs(float(np.corrcoef(maps[:, channel].ravel(), mean[:, channel % 3].ravel())[0, 1]))
        for channel in range(5)
    ]
    assert min(likeness[:3]) > 0.95
    assert max(likeness[3:]) < 0.8
