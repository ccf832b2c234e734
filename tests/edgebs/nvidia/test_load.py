"""`edgebs.load` of a bundle of plans: frames stay on the (fake) GPU, and every failure leaves it usable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes.gpu.cuda import Status
from fakes.gpu.device_bundle import plan_bundle
from fakes.gpu.device_scenarios import LEVELS, World, expected_of_network
from fakes.gpu.tensorrt import SCRATCH_BYTES
from fakes.networks.backends import grey_frame

import edgebs
from edgebs.errors import (
    BackendError,
    CaptureFailed,
    DeviceLost,
    EngineMismatch,
    EnqueueRefused,
    OutOfDeviceMemory,
    StageError,
)
from edgebs.nvidia import DeviceOptions
from edgebs.pipeline import Pipeline

FRAMES = [grey_frame(level, (4, 6)) for level in LEVELS]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return plan_bundle(tmp_path / "made", network=True).path


def load(bundle: Path, **options: object) -> Pipeline:
    return edgebs.load(bundle, device=DeviceOptions(**options))  # type: ignore[arg-type]


def values(pipeline: Pipeline) -> list[float]:
    return [float(result.probability[0, 0]) for result in pipeline.run(FRAMES)]


def broken_run(pipeline: Pipeline, after: int, break_it: Callable[[], None]) -> tuple[StageError, list[int]]:
    """What a run ends with when something breaks after the frame `after`, and the frames before that."""
    seen: list[int] = []
    run = pipeline.run(FRAMES)
    while True:
        try:
            seen.append(next(run).index)
        except StageError as error:
            return error, seen
        if seen[-1] == after:
            break_it()


def assert_another_pipeline_works(world: World, bundle: Path) -> None:
    assert world.cuda.held == 0
    with load(bundle) as pipeline:
        np.testing.assert_allclose(values(pipeline), expected_of_network(LEVELS), rtol=1e-6)
    assert (world.cuda.held, world.cuda.violations) == (0, [])


def test_a_bundle_of_plans_runs_on_the_device_with_the_same_results(world: World, bundle: Path) -> None:
    with load(bundle) as pipeline:
        results = list(pipeline.run(FRAMES))
        assert [result.index for result in results] == list(range(len(FRAMES)))
        assert [result.mask.shape for result in results] == [(4, 6)] * len(FRAMES)
        assert [result.warming_up for result in results] == [True] * 4 + [False] * 5
        assert set(results[0].stages_ms) == {"read", "pre", "cue", "segment", "post"}
        found = [float(result.probability[0, 0]) for result in results]
        np.testing.assert_allclose(found, expected_of_network(LEVELS), rtol=1e-6)
        pipeline.reset()
        again = [float(pipeline.process(frame).probability[0, 0]) for frame in FRAMES]
        assert again == found
        assert pipeline.descriptions() == dict.fromkeys(
            ("segment", "cue"), "tensorrt 10.3.0.30 on Fake RTX 2080 Ti, CUDA graphs in 3 of 3 slots"
        )
    assert (world.cuda.held, world.cuda.violations) == (0, [])


def test_dis_flow_stays_on_the_cpu_and_its_cue_is_uploaded(world: World, tmp_path: Path) -> None:
    bundle = plan_bundle(tmp_path / "dis", network=False, size=(32, 32)).path
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    with load(bundle) as pipeline:
        assert "OpenCV" in pipeline.descriptions()["cue"]
        for shift, result in enumerate(pipeline.run([np.roll(noise, shift, axis=1) for shift in range(4)])):
            frame = np.roll(noise, shift, axis=1)
            assert (result.probability - 2 * frame.mean(axis=2)).max() < (3 if shift else 1e-3)
    assert (world.cuda.held, world.cuda.violations) == (0, [])


def test_time_on_the_device_is_measured_where_asked_for(world: World, bundle: Path) -> None:
    with load(bundle, timed=True) as pipeline:
        stages = [result.stages_ms for result in pipeline.run(FRAMES)][-1]
        device = {name: stages[name] for name in stages if name.startswith("device_")}
    # The fake's clock: a copy, five copies of frames and two kernels, two kernels, a copy.
    assert device["device_upload"] == 1
    assert set(device) == {"device_upload", "device_cue", "device_segment", "device_download"}
    assert world.cuda.held == 0


def test_only_frames_go_to_the_device_and_only_probabilities_come_back(world: World, bundle: Path) -> None:
    with load(bundle) as pipeline:
        world.cuda.copied.clear()
        values(pipeline)
    frame_bytes, probability_bytes = 2 * 2 * 3, 2 * 2 * 4
    assert world.cuda.copied == {
        "HostToDevice": len(FRAMES) * frame_bytes,
        "DeviceToHost": len(FRAMES) * probability_bytes,
        "DeviceToDevice": len(FRAMES) * frame_bytes * (1 + 3),  # into the history, and a past per interval
    }


def test_no_frame_waits_for_memory_once_the_pipeline_is_open(world: World, bundle: Path) -> None:
    with load(bundle) as pipeline:
        held = world.cuda.held
        world.cuda.allocations_left = 0
        assert len(values(pipeline)) == len(FRAMES)
        assert world.cuda.held == held


def test_memory_that_runs_out_anywhere_is_named_and_everything_is_given_back(
    world: World, bundle: Path
) -> None:
    failures = 0
    while True:
        world.cuda.allocations_left = failures
        try:
            load(bundle).close()
            break
        except OutOfDeviceMemory as error:
            assert "Close other pipelines" in str(error)  # noqa: PT017
            assert world.cuda.held == 0
        failures += 1
    assert failures > 40
    world.cuda.allocations_left = None
    assert_another_pipeline_works(world, bundle)


def test_tensorrt_without_memory_for_a_context_frees_what_was_held(world: World, bundle: Path) -> None:
    world.trt.no_context = True
    with pytest.raises(BackendError, match="no execution context: out of memory"):
        load(bundle)
    world.trt.no_context = False
    assert_another_pipeline_works(world, bundle)


def test_a_refused_enqueue_ends_the_run_with_its_frame(world: World, bundle: Path) -> None:
    with load(bundle, graphs="off") as pipeline:
        segment = world.trt.contexts[-2]
        error, seen = broken_run(pipeline, 3, lambda: setattr(segment, "refuses", True))
    assert f"TensorRT refused to run {bundle}/segment.plan" in str(error)
    assert isinstance(error.__cause__, EnqueueRefused)
    assert seen == list(range(error.index))
    assert_another_pipeline_works(world, bundle)


def test_a_failed_capture_falls_back_and_says_so(
    world: World, bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world.trt.cannot_be_captured = True
    with load(bundle) as pipeline:
        np.testing.assert_allclose(values(pipeline), expected_of_network(LEVELS), rtol=1e-6)
        assert (
            "CUDA graphs in 0 of 3 slots (nothing captured: TensorRT refused"
            in pipeline.descriptions()["cue"]
        )
    assert "segment.plan runs call by call" in caplog.text
    with pytest.raises(CaptureFailed, match="a kernel that cannot be captured"):
        load(bundle, graphs="required")
    world.trt.cannot_be_captured = False
    assert_another_pipeline_works(world, bundle)


def test_graphs_that_are_off_are_reported_as_off(world: World, bundle: Path) -> None:
    with load(bundle, graphs="off") as pipeline:
        assert pipeline.descriptions()["cue"].endswith(", CUDA graphs off")
    assert not world.cuda.graphs
    with pytest.raises(ValueError, match="sometimes"):
        DeviceOptions(graphs="sometimes")  # type: ignore[arg-type]


@pytest.mark.parametrize("after", range(1, 7))
def test_a_device_lost_in_mid_stream_ends_the_run_and_can_be_opened_again(
    world: World, bundle: Path, after: int
) -> None:
    with load(bundle) as pipeline:
        lose = lambda: setattr(world.cuda, "lost", Status.cudaErrorLaunchFailure)  # noqa: E731
        error, _seen = broken_run(pipeline, after, lose)
    assert "cudaErrorLaunchFailure: launch failure. All work on this GPU is lost" in str(error)
    assert isinstance(error.__cause__, DeviceLost)
    assert world.cuda.resets == 0
    assert_another_pipeline_works(world, bundle)
    assert world.cuda.resets == 1


def test_a_lost_device_is_not_reset_under_a_pipeline_that_is_open(world: World, bundle: Path) -> None:
    first, second = load(bundle), load(bundle)
    world.cuda.lost = Status.cudaErrorLaunchFailure
    first.close()
    with pytest.raises(DeviceLost, match="pipelines that are still open lie on it: close them"):
        load(bundle)
    second.close()
    assert_another_pipeline_works(world, bundle)


def test_leaving_a_run_leaves_nothing_on_the_device(world: World, bundle: Path) -> None:
    with load(bundle) as pipeline:
        for result in pipeline.run(FRAMES):
            if result.index == 2:
                break
        np.testing.assert_allclose(values(pipeline), expected_of_network(LEVELS), rtol=1e-6)
    assert (world.cuda.held, world.cuda.violations) == (0, [])
    pipeline.close()
    with pytest.raises(BackendError, match="closed"):
        pipeline.process(FRAMES[0])


def test_a_plan_that_differs_from_its_manifest_is_refused(world: World, tmp_path: Path) -> None:
    bundle = plan_bundle(tmp_path / "made", network=True, size=(4, 4)).path
    other = plan_bundle(tmp_path / "other", network=True).path
    from edgebs.bundle import Bundle, verify_files

    mixed = Bundle(other, verify_files(bundle).manifest)
    with pytest.raises(
        BackendError, match=r"segment\.plan has tensors .*its manifest says .*Export the bundle"
    ):
        edgebs.load(mixed)
    assert world.cuda.held == 0


def test_one_camera_may_not_have_more_frames_on_the_device_than_slots(world: World) -> None:
    path = world.open(network=True)
    first = path.begin(FRAMES[0][:2, :2], None)
    for _ in range(3):
        last = path.begin(FRAMES[0][:2, :2], None)
    with pytest.raises(BackendError, match="at most 3 frames"):
        path.finish(first)
    path.finish(last)
    path.close()
    assert (world.cuda.held, world.cuda.violations) == (0, [])


def test_without_overlap_both_stages_share_stream_and_scratch_memory(world: World) -> None:
    beside = world.open(network=True)
    apart = (len(world.cuda.streams), sum(len(memory) for memory in world.cuda.device.values()))
    beside.close()
    together = world.open(network=True, overlap=False)
    assert len(world.cuda.streams) == apart[0] - 1
    assert sum(len(memory) for memory in world.cuda.device.values()) == apart[1] - SCRATCH_BYTES
    together.close()


def test_a_gpu_that_is_not_there_is_named(world: World, bundle: Path) -> None:
    with pytest.raises(EngineMismatch, match=r"here is no GPU \(there are 1, and 2 was asked for\)"):
        load(bundle, device=2)
    world.cuda.devices = 3
    with load(bundle, device=2) as pipeline:
        world.cuda.current.clear()
        values(pipeline)
    assert set(world.cuda.current) == {2}
