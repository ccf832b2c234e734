"""A task of a few hundred weights whose samples are drawn in microseconds; run as a program, it trains."""

import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from export.training.stream import Feed
from export.training.stream.workers import Sample

SIDE = 16


def draw(seed: int, index: int) -> list[Sample]:
    """Three samples: a bright square that moves is foreground."""
    rng = np.random.default_rng((seed, index))
    samples = []
    for _ in range(3):
        frame = rng.integers(0, 60, (SIDE, SIDE, 3)).astype(np.uint8)
        labels = np.zeros((SIDE, SIDE), np.uint8)
        cue = np.zeros((3, SIDE, SIDE), np.float32)
        y, x = rng.integers(0, SIDE - 6, 2)
        square = np.s_[y : y + 6, x : x + 6]
        frame[square] += 120
        labels[square], labels[y, x : x + 6] = 255, 170
        cue[(slice(None), *square)] = 5
        samples.append((frame, cue, labels))
    return samples


def draw_slowly(seed: int, index: int) -> list[Sample]:
    time.sleep(0.05)
    return draw(seed, index)


def draw_and_die(seed: int, index: int) -> list[Sample]:
    if index == 3:
        import os

        os._exit(7)
    return draw(seed, index)


def draw_and_fail(seed: int, index: int) -> list[Sample]:
    if index == 3:
        raise ArithmeticError("no such square")
    return draw(seed, index)


def toy_task(render=draw, **feed):
    """A new toy task, always with the same first weights."""
    import torch
    from torch import nn

    from export.training.samples import flipped_and_tinted
    from export.training.tasks.segmentation import SegmentationTask

    class ToyGraph(nn.Module):
        def __init__(self):
            super().__init__()
            layers = (nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2))
            self.network = nn.Sequential(*layers, nn.Conv2d(8, 1, 3, padding=1))

        def logit(self, frame, cue):
            image = frame.float().permute(0, 3, 1, 2) / 255
            return self.network(torch.cat([image, cue / 20], dim=1))

        def forward(self, frame, cue):
            return torch.sigmoid(self.logit(frame, cue))[:, 0]

    class ToyTask(SegmentationTask):
        def description(self):
            return {"network": "toy"}

    torch.manual_seed(0)
    options = {"per_sequence": 3, "replay": 2, "reservoir": 100, "workers": 0, **feed}
    return ToyTask(
        "toy",
        ToyGraph(),
        render=render,
        augment=flipped_and_tinted,
        feed=Feed(**options),
        validation_sequences=4,
    )


def toy_options(out: Path, steps: int = 60, **changes):
    """Options of a run of a second."""
    from export.training import LoopOptions, Schedule

    options = {"save_every": 10, "validate_every": 20, "log_every": 5, "threads": 1, "batch": 8, **changes}
    return LoopOptions(out=out, schedule=Schedule(steps=steps, warm_up_steps=10), **options)


@contextmanager
def no_bar(_title):
    yield lambda _done, _total: None


if __name__ == "__main__":
    from export.training.loop import train

    task = toy_task(workers=2)
    forward = task.forward

    def slow_forward(module, batch):
        time.sleep(0.03)
        return forward(module, batch)

    task.forward = slow_forward
    outcome = train(task, toy_options(Path(sys.argv[1])), say=print, bar=no_bar)
    print("interrupted" if outcome["interrupted"] else "ended", outcome["steps"])
