"""The flow task: its loss and errors by hand, its first weights, and that it learns."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from edgebs.errors import ExportError, WeightsError
from export.models.weights import init_weights, save_weights
from export.networks.flownet import FlowGraph, FlowNet
from export.training import FlowTrainRequest, LoopOptions, Schedule
from export.training.loop import train
from export.training.samples import as_it_is
from export.training.stream import Feed
from export.training.tasks import task_for
from export.training.tasks.flow import (
    EPSILON_PX,
    EXPONENT,
    HIDDEN_WEIGHT,
    LEVEL_WEIGHTS,
    MOVING_WEIGHT,
    FlowTask,
    flow_graph,
)

SIZE = (32, 32)


def moving_noise(seed: int, index: int):
    """Two samples: smooth noise that moves as a whole by up to 3 px."""
    rng = np.random.default_rng((seed, index))
    samples = []
    for _ in range(2):
        coarse = rng.uniform(0, 255, (14, 14, 3))
        noise = coarse.repeat(3, axis=0).repeat(3, axis=1).astype(np.uint8)
        right, down = (int(v) for v in rng.integers(-3, 4, 2))
        past, frame = noise[4:36, 4:36], noise[4 - down : 36 - down, 4 - right : 36 - right]
        flow = np.zeros((2, *SIZE), np.float32)
        flow[0], flow[1] = -right, -down
        samples.append((np.concatenate([frame, past], axis=2), flow, np.ones(SIZE, np.uint8)))
    return samples


def task(graph: FlowGraph | None = None) -> FlowTask:
    graph = graph or FlowGraph(FlowNet((8, 8, 16, 16)), (1,), output="flow")
    feed = Feed(per_sequence=2, reservoir=64, workers=0)
    return FlowTask(graph, render=moving_noise, augment=as_it_is, feed=feed, validation_sequences=4)


def four_pixels() -> dict[str, torch.Tensor]:
    """One that stands, one that moves by (3, 4), and the same two hidden."""
    flow = torch.zeros(1, 2, 2, 2)
    flow[0, :, 0, 1] = flow[0, :, 1, 1] = torch.tensor([3.0, 4.0])
    return {"flow": flow, "visible": torch.tensor([[[True, True], [False, False]]])}


def test_moving_pixels_count_more_and_hidden_ones_less() -> None:
    batch = four_pixels()
    said = torch.zeros(1, 2, 2, 2)
    loss = task().loss([said, said, said], batch)
    still, moving = EPSILON_PX**EXPONENT, (25 + EPSILON_PX**2) ** (EXPONENT / 2)
    mean = (still + MOVING_WEIGHT * moving) / (1 + MOVING_WEIGHT)  # the same for visible and hidden
    assert float(loss["loss"]) == pytest.approx(sum(LEVEL_WEIGHTS) * mean, rel=1e-5)
    assert float(loss["error_px"]) == pytest.approx(5 * MOVING_WEIGHT / (1 + MOVING_WEIGHT), rel=1e-5)
    seen = batch["flow"].clone()
    seen[0, :, 1] = 0
    better = task().loss([said, said, seen], batch)
    share = HIDDEN_WEIGHT / (1 + HIDDEN_WEIGHT) * MOVING_WEIGHT / (1 + MOVING_WEIGHT)
    assert float(better["error_px"]) == pytest.approx(5 * share, rel=1e-5)


def test_every_level_and_pixel_has_a_finite_gradient_where_the_flow_is_exact() -> None:
    batch = four_pixels()
    levels = [batch["flow"].clone().requires_grad_() for _ in range(3)]
    task().loss(levels, batch)["loss"].backward()
    assert all(level.grad is not None and torch.isfinite(level.grad).all() for level in levels)


def test_errors_are_of_visible_pixels_and_of_the_moving_ones_among_them() -> None:
    batch = {name: tensor.numpy() for name, tensor in four_pixels().items()}
    untrained = task(flow_graph("random", 0))
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    large = {
        "frame": frames,
        "past": frames,
        "flow": batch["flow"].repeat(16, axis=2).repeat(16, axis=3),
        "visible": batch["visible"].repeat(16, axis=1).repeat(16, axis=2),
    }
    with torch.no_grad():
        scores = untrained.evaluate(untrained.graph.eval(), [large])
    # It says that next to nothing moves, before it has learnt.
    assert scores["EPE"] == pytest.approx(2.5, abs=0.1)
    assert scores["EPE_moving"] == pytest.approx(5.0, abs=0.1)
    assert scores["score"] == pytest.approx(-(scores["EPE"] + scores["EPE_moving"]) / 2)


@contextmanager
def no_bar(_title: str):
    yield lambda _done, _total: None


def test_it_learns_to_see_noise_move_and_its_weights_start_another_run(tmp_path) -> None:
    torch.manual_seed(0)
    flow = task(flow_graph_of_noise())
    schedule = Schedule(peak=4e-3, warm_up_steps=5, steps=60)
    options = LoopOptions(out=tmp_path, schedule=schedule, batch=8, precision="fp32", ema_decay=0.9)
    result = train(flow, options, say=lambda _: None, bar=no_bar)
    standing = task(flow_graph("random", 0))
    with torch.no_grad():
        scores = standing.evaluate(standing.graph.eval(), standing.validation())
    assert result["best"]["score"] > 0.99 * scores["score"]
    again = flow_graph(str(tmp_path / "best.safetensors"), 0)
    assert again.network.widths == (8, 8, 16, 16)


def flow_graph_of_noise() -> FlowGraph:
    graph = FlowGraph(FlowNet((8, 8, 16, 16)), (1,), output="flow")
    init_weights(graph.network, 0)
    for estimator in graph.network.estimators:
        torch.nn.init.zeros_(estimator.flow.weight)
        torch.nn.init.constant_(estimator.flow.bias[0], -4.0)
    return graph


def test_the_validation_never_changes_and_no_seed_renders_it() -> None:
    first, second = task().validation(), task().validation()
    assert len(first) == 1
    assert first[0]["frame"].shape == (8, *SIZE, 3)
    assert first[0]["visible"].dtype == bool
    for name in first[0]:
        assert np.array_equal(first[0][name], second[0][name])


def request(tmp_path, **changes) -> FlowTrainRequest:
    options = LoopOptions(out=tmp_path, schedule=Schedule(steps=1))
    return FlowTrainRequest(loop=options, feed=Feed(workers=0), **changes)


def test_rendered_scenes_feed_it(tmp_path) -> None:
    made = task_for(request(tmp_path, size=(64, 64)))
    batches = made.batches(0, 2, 0)
    batch = next(batches)
    batches.close()
    assert batch["frame"].shape == batch["past"].shape == (2, 64, 64, 3)
    assert batch["flow"].shape == (2, 2, 64, 64)
    assert batch["visible"].any()
    assert made.description()["network"] == "flow-net"


def test_what_cannot_be_trained_is_named(tmp_path) -> None:
    with pytest.raises(ExportError, match="multiples of 16"):
        request(tmp_path, size=(100, 100))
    with pytest.raises(ExportError, match="--intervals"):
        request(tmp_path, gaps=(0, 5))
    with pytest.raises(ExportError, match="no weights at nowhere"):
        request(tmp_path, weights="nowhere")
    with pytest.raises(ExportError, match="--validation"):
        request(tmp_path, validation_sequences=0)
    other = tmp_path / "other.safetensors"
    save_weights(torch.nn.Conv2d(1, 1, 1), other)
    with pytest.raises(WeightsError, match="does not fit"):
        flow_graph(str(other), 0)
