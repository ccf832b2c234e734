"""The task of CDN-GM: its series, its first weights, and that values without labels teach it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.scenes.bank import PictureBank
from edgebs.machine.console import no_bar
from export.networks.cdn_gm import FRAMES
from export.training import LoopOptions, Schedule
from export.training.loop import train
from export.training.samples.background import PIXELS, SAMPLES, RenderedSeries, chosen_pixels, repeated_blocks
from export.training.stream import Feed
from export.training.tasks.medal import CdnTask, colours, start_at_the_mean


def passers_by(seed: int, index: int):
    """Two samples of eight pixels: a colour of their own, and for a fifth of the time another one."""
    rng = np.random.default_rng((seed, index))
    samples = []
    for _ in range(2):
        series = np.repeat(rng.integers(60, 200, (1, 8, 3)), FRAMES, axis=0)
        start = int(rng.integers(0, FRAMES - 49))
        series[start : start + 49] = rng.integers(0, 256, (8, 3))
        series = np.clip(series + rng.normal(0, 3, series.shape), 0, 255).astype(np.uint8)
        samples.append((series, np.zeros((1, 1), np.float16), np.zeros((1, 1), np.uint8)))
    return samples


def test_missing_blocks_repeat_those_seen_and_the_newest_stays_last() -> None:
    series = np.arange(14).reshape(14, 1, 1).repeat(3, axis=2)
    whole = repeated_blocks(series)[:, 0, 0]
    assert len(whole) == FRAMES
    assert whole[-14:].tolist() == list(range(14))
    assert whole[:7].tolist() == list(range(7, 14))  # 35 blocks: an odd number, so the newer one begins
    assert repeated_blocks(np.arange(FRAMES).reshape(-1, 1, 1))[:, 0, 0].tolist() == list(range(FRAMES))


def test_half_of_the_pixels_are_from_those_that_change() -> None:
    series = np.full((FRAMES, 4096, 3), 100, np.uint8)
    series[::2, :1024] = 200
    chosen = chosen_pixels(series, np.random.default_rng(0))
    assert len(chosen) == SAMPLES * PIXELS
    assert 0.5 < (chosen < 1024).mean() < 0.75


def test_a_scene_gives_samples_of_245_frames_that_are_always_the_same() -> None:
    render = RenderedSeries()
    samples = render(1, 2)
    assert [sample[0].shape for sample in samples] == [(FRAMES, PIXELS, 3)] * SAMPLES
    assert all((a[0] == b[0]).all() for a, b in zip(samples, render(1, 2), strict=True))
    assert np.concatenate([sample[0] for sample in samples], axis=1).std(axis=0).max() > 10
    assert PictureBank.open().sources  # what the scene was made of


@torch.no_grad()
def test_it_starts_near_the_mean_of_the_series() -> None:
    series = colours(torch.from_numpy(passers_by(0, 0)[0][0][None]))
    mixture = start_at_the_mean(0)(series)
    assert (mixture.mean[:, 0] - series.mean(dim=2)).abs().max() < 0.15


def test_a_hundred_steps_make_the_values_likelier(tmp_path) -> None:
    feed = Feed(per_sequence=2, reservoir=64, workers=0)
    task = CdnTask(start_at_the_mean(3), render=passers_by, feed=feed, validation_sequences=4)
    with torch.no_grad():
        before = task.evaluate(task.graph, task.validation())
    options = LoopOptions(
        out=tmp_path / "run",
        schedule=Schedule(peak=4e-3, warm_up_steps=10, steps=100),
        batch=8,
        weight_decay=0.0,
        precision="fp32",
        threads=1,
        validate_every=50,
    )
    result = train(task, options, say=lambda _: None, bar=no_bar)
    after = result["best"]["likelihood"]
    assert after > before["likelihood"] + 0.3
    # A component as narrow as can be that sits on every value: 3 ln(255 / (16 sqrt(2 pi))).
    assert after < 5.55


@pytest.mark.parametrize("grey", [40, 200])
@torch.no_grad()
def test_scores_are_in_grey_levels(grey: int) -> None:
    network = start_at_the_mean(0)
    task = CdnTask(network, render=passers_by, feed=Feed(per_sequence=2, workers=0))
    series = np.full((1, FRAMES, 5, 3), grey, np.uint8)
    scores = task.evaluate(task.graph, [{"frame": series}])
    background = network(colours(torch.from_numpy(series))).background() * 255
    assert scores["off_median"] == pytest.approx(float((background - grey).abs().mean()), abs=1e-3)
    assert scores["off_mean_median"] == pytest.approx(0, abs=1e-3)
