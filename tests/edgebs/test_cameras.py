"""edgebs/cameras.py: several cameras in one call, on a fake GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes.gpu.device_bundle import plan_bundle
from fakes.gpu.device_scenarios import LEVELS, POLICIES, World, clean, expected_of_network
from fakes.networks.backends import grey_frame

import edgebs
from edgebs.errors import BackendError, OutOfDeviceMemory, StageError
from edgebs.tensors import Frame

OTHER = (200, 10, 100, 50, 150, 40)
SHORT = (30, 60)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return plan_bundle(tmp_path / "made", network=True, most=4).path


def frames(levels: tuple[int, ...], size: tuple[int, int] = (4, 6)) -> list[Frame]:
    return [grey_frame(level, size) for level in levels]


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_every_camera_has_its_own_history_size_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Path, policy: tuple[int, ...]
) -> None:
    with clean(World(tmp_path, monkeypatch, eager=policy)), edgebs.load_cameras(bundle, 3) as cameras:
        rounds = list(cameras.run([frames(LEVELS), frames(OTHER, (8, 8)), frames(SHORT)]))
        assert len(rounds) == len(LEVELS)
        for place, levels in enumerate((LEVELS, OTHER, SHORT)):
            results = [this[place] for this in rounds]
            found = [float(result.probability[0, 0]) for result in results if result is not None]
            np.testing.assert_allclose(found, expected_of_network(levels), rtol=1e-6)
            assert results[len(levels) :] == [None] * (len(LEVELS) - len(levels))
        first = rounds[0][1]
        assert first is not None
        assert (first.index, first.mask.shape, first.warming_up) == (0, (8, 8), True)


def test_one_call_runs_all_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    world = World(tmp_path, monkeypatch)
    with edgebs.load_cameras(bundle, 4, device=edgebs.DeviceOptions(graphs="off")) as cameras:  # type: ignore[arg-type]
        before = world.trt.enqueued
        results = cameras.process(frames((1, 2, 3, 4)))
        assert [float(result.probability[0, 0]) for result in results] == [2, 4, 6, 8]
        assert world.trt.enqueued - before == 2
        with pytest.raises(ValueError, match="4 cameras, and 3 frames"):
            cameras.process(frames((1, 2, 3)))
        with pytest.raises(ValueError, match="4 cameras, and 1 sources"):
            next(cameras.run([frames((1,))]))
    assert (world.cuda.held, world.cuda.violations) == (0, [])


def test_dis_flow_of_each_camera_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch)
    bundle = plan_bundle(tmp_path / "dis", network=False, most=2, size=(32, 32)).path
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    still, moving = [noise] * 4, [np.roll(noise, 2 * shift, axis=1) for shift in range(4)]
    with edgebs.load_cameras(bundle, 2) as cameras:
        last = list(cameras.run([still, moving]))[-1]
        flows = [
            float((result.probability - 2 * frame.astype(np.float32).mean(axis=2)).mean())
            for result, frame in zip(last, (noise, moving[-1]), strict=True)
            if result is not None
        ]
    assert abs(flows[0]) < 0.1
    assert flows[1] > 0.5
    assert world.cuda.held == 0


def test_a_source_that_fails_names_its_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Path
) -> None:
    def dying() -> Iterator[Frame]:
        yield grey_frame(1, (4, 6))
        raise ConnectionError("unplugged")

    world = World(tmp_path, monkeypatch)
    with (
        edgebs.load_cameras(bundle, 2) as cameras,
        pytest.raises(StageError, match="frame 1: stage 'source of camera 1' failed: ConnectionError"),
    ):
        list(cameras.run([frames(LEVELS), dying()]))
    assert (world.cuda.held, world.cuda.violations) == (0, [])


def test_more_cameras_than_the_profile_holds_and_bundles_for_the_cpu_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Path
) -> None:
    world = World(tmp_path, monkeypatch)
    with pytest.raises(BackendError, match="built for 1 to 4 frames at once, not 5"):
        edgebs.load_cameras(bundle, 5)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        edgebs.load_cameras(bundle, 0)
    with pytest.raises(BackendError, match="no profile for more"):
        edgebs.load_cameras(plan_bundle(tmp_path / "single", network=True).path, 2)
    with pytest.raises(BackendError, match="is for the CPU"):
        edgebs.load_cameras("edge", 2)
    assert world.cuda.held == 0


def test_several_pipelines_share_their_engines_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch)
    bundle = plan_bundle(tmp_path / "made", network=True).path
    pipelines = edgebs.load_several(bundle, 3)
    assert len(world.trt.host_code) == 2  # plans that were read
    assert len(world.trt.contexts) == 6
    runs = [
        pipeline.run(frames(levels))
        for pipeline, levels in zip(pipelines, (LEVELS, OTHER, SHORT), strict=True)
    ]
    first, second = next(runs[0]), next(runs[1])
    pipelines[0].close()
    assert (float(first.probability[0, 0]), float(second.probability[0, 0])) == (20, 400)
    for run, levels, started in ((runs[1], OTHER, 1), (runs[2], SHORT, 0)):
        found = [float(result.probability[0, 0]) for result in run]
        np.testing.assert_allclose(found, expected_of_network(levels)[started:], rtol=1e-6)
    for pipeline in pipelines:
        pipeline.close()
    assert world.cuda.held == 0


def test_engines_with_open_shapes_are_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Path
) -> None:
    world = World(tmp_path, monkeypatch)
    pipelines = edgebs.load_several(bundle, 2)
    assert len(world.trt.host_code) == 4
    for pipeline in pipelines:
        pipeline.close()
    with pytest.raises(ValueError, match="at least 1, got 0"):
        edgebs.load_several(bundle, 0)


def test_a_pipeline_that_does_not_fit_beside_the_others_frees_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch)
    bundle = plan_bundle(tmp_path / "made", network=True).path
    world.cuda.allocations_left = 200
    with pytest.raises(OutOfDeviceMemory):
        edgebs.load_several(bundle, 50)
    assert world.cuda.held == 0
    world.cuda.allocations_left = None
    edgebs.load(bundle).close()
