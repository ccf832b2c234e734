"""A frame or time stamp that is refused was never there: the next one goes on from the one before it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.gpu.device_bundle import plan_bundle
from fakes.gpu.device_scenarios import World
from fakes.networks.backends import grey_frame
from fakes.networks.cues import CUES, cue_network, scene, toy_pipeline

import edgebs
from edgebs.errors import NotFinite, SourceError, StageError
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array
from edgebs.video import SourceFrame

KINDS = pytest.mark.parametrize("kind", CUES)
BAD_TIMES = (math.nan, math.inf, -math.inf, 1e300, 1.7e12, True, "0.2", 1j)


def probability(pipeline: Pipeline, t: int) -> Array:
    return pipeline.process(scene(60)[t], 3 + t / 25).probability


@KINDS
def test_after_frames_and_times_that_are_refused_everything_is_as_if_they_had_not_come(kind: str) -> None:
    frame = scene(60)[0]
    bad_frames: list[Any] = [frame[..., 0], frame[:0], frame.astype(np.float32), None]
    with toy_pipeline(kind) as pipeline, toy_pipeline(kind) as expected:
        for t in range(60):
            for captured_s in BAD_TIMES if t in (0, 20) else BAD_TIMES[t % 8 :][:1]:
                for call in (pipeline.process, pipeline.trace, pipeline.remember):
                    with pytest.raises(SourceError, match="captured_s of the frame is"):
                        call(255 - frame, captured_s)  # type: ignore[operator]
            for call in (pipeline.process, pipeline.trace, pipeline.remember):
                with pytest.raises(SourceError, match="frame is"):
                    call(bad_frames[t % 4], 3 + t / 25)  # type: ignore[operator]
            result = pipeline.process(scene(60)[t], 3 + t / 25)
            assert result.index == t
            assert np.array_equal(result.probability, probability(expected, t)), t


def ended(pipeline: Pipeline, source: list[Any]) -> tuple[StageError, list[int]]:
    """What a run ends with, and the frames before that."""
    seen: list[int] = []
    run = pipeline.run(source)
    while True:
        try:
            seen.append(next(run).index)
        except StageError as error:
            return error, seen


@KINDS
def test_a_run_ends_at_a_time_that_is_none_with_the_frames_index(kind: str) -> None:
    times = [0.0, 0.04, math.nan, 0.12]
    with toy_pipeline(kind) as pipeline:
        error, seen = ended(pipeline, [SourceFrame(scene(60)[0], time) for time in times])
        assert str(error).startswith(
            "frame 2: stage 'cue' failed: SourceError: captured_s of the frame is nan"
        )
        assert (error.index, isinstance(error.__cause__, SourceError), seen) == (2, True, [0, 1])
        counters = pipeline.counters
        assert counters.frames_in == counters.frames_out + counters.frames_dropped


def test_a_time_of_numpy_comes_back_as_a_float() -> None:
    with toy_pipeline("edge") as pipeline:
        result = pipeline.process(scene(60)[0], np.float64(2.5))
        assert type(result.captured_s) is float
        assert pipeline.process(scene(60)[1], 3).captured_s == 3.0


@pytest.mark.parametrize("kind", [kind for kind in CUES if cue_network(kind) is not None])
def test_a_cue_network_that_gives_nan_is_named_and_leaves_no_nan_behind(kind: str) -> None:
    network = cue_network(kind)
    assert network is not None
    with toy_pipeline(kind, network) as pipeline:
        refused = 0
        network.breaks_at = 25 if kind != "bmn-bsn" else 6
        for t in range(120):
            try:
                assert np.isfinite(probability(pipeline, t % 60)).all()
            except NotFinite as error:
                refused += 1
                assert "the cue network's" in str(error)  # noqa: PT017
                assert "is NaN or infinite in 1 of" in str(error)  # noqa: PT017
                assert "flat, black or white" in str(error)  # noqa: PT017
        assert refused == 1
        pipeline.reset()
        network.breaks_at = network._calls
        with pytest.raises(StageError, match="frame 0: stage 'cue' failed: NotFinite"):
            list(pipeline.run(scene(60)))


def test_a_probability_that_is_nan_ends_a_run_with_its_frame_and_is_refused_by_process() -> None:
    with toy_pipeline("hop-dis") as pipeline:
        segment = pipeline._path._segment  # type: ignore[attr-defined]
        segment.breaks_at = 4
        error, seen = ended(pipeline, list(scene(60)))
        assert str(error).startswith("frame 4: stage 'segment' failed: NotFinite: the foreground probability")
        assert seen == [0, 1, 2, 3]
        segment.breaks_at = segment._calls
        pipeline.reset()
        with pytest.raises(
            NotFinite, match=r"probability of frame 0 is NaN or infinite in 1 of 3072.*--flow"
        ):
            probability(pipeline, 0)
        assert probability(pipeline, 1).shape == (48, 64)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_on_the_device_refused_frames_change_nothing(world: World, tmp_path: Path) -> None:  # noqa: ARG001
    bundle = plan_bundle(tmp_path / "made", network=True).path
    frames = [grey_frame(level, (4, 6)) for level in (10, 90, 20, 70, 30, 110)]
    with edgebs.load(bundle) as pipeline:
        expected = [pipeline.process(frame, t / 25).probability for t, frame in enumerate(frames)]
        pipeline.reset()
        for t, frame in enumerate(frames):
            for call in (pipeline.process, pipeline.trace, pipeline.remember):
                with pytest.raises(SourceError, match="captured_s"):
                    call(grey_frame(255, (4, 6)), math.nan)  # type: ignore[operator]
            assert np.array_equal(pipeline.process(frame, t / 25).probability, expected[t])


def test_of_several_cameras_a_refused_frame_changes_the_history_of_none(world: World, tmp_path: Path) -> None:  # noqa: ARG001
    bundle = plan_bundle(tmp_path / "made", network=True, most=4).path
    frames = [grey_frame(level, (4, 6)) for level in (10, 90, 20)]
    with edgebs.load_cameras(bundle, 2) as cameras:
        expected = [cameras.process([frame, frame], [t, t]) for t, frame in enumerate(frames)]
        cameras.reset()
        for t, frame in enumerate(frames):
            with pytest.raises(SourceError, match="captured_s of the frame of camera 1 is nan"):
                cameras.process([grey_frame(200, (4, 6))] * 2, [t, math.nan])
            with pytest.raises(SourceError, match="the frame of camera 1 is float64"):
                cameras.process([frame, frame / 2])  # type: ignore[list-item]
            with pytest.raises(ValueError, match="2 cameras, and 1 times"):
                cameras.process([frame, frame], [t])
            results = cameras.process([frame, frame], [t, t])
            for result, before in zip(results, expected[t], strict=True):
                assert result.index == before.index == t
                assert np.array_equal(result.probability, before.probability)
        bad = [SourceFrame(frame, time) for frame, time in zip(frames, (0.0, math.nan, 1.0), strict=True)]
        with pytest.raises(
            StageError, match="frame 1: stage 'source of camera 1' failed: SourceError: captured_s"
        ):
            list(cameras.run([frames, bad]))


def spoilt(monkeypatch: pytest.MonkeyPatch, tensor: str, level: int) -> None:
    """The fake networks give NaN for frames of this grey level: in the cue, or in the probability alone."""
    from fakes.gpu import tensorrt as fake_tensorrt

    network = fake_tensorrt._network

    def broken(tensors: dict[str, Array]) -> Array:
        found = network(tensors)
        if ("probability" in tensors) == (tensor == "probability"):
            found[tensors["frame"][..., 0].mean(axis=(1, 2)) == level] = np.nan
        elif "probability" in tensors:
            found = np.nan_to_num(found)
        return found

    monkeypatch.setattr(fake_tensorrt, "_network", broken)


def test_on_the_device_nan_in_a_probability_is_noticed_at_its_frame(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt(monkeypatch, "probability", 70)
    frames = [grey_frame(level, (4, 6)) for level in (10, 90, 70, 30)]
    with (
        edgebs.load(plan_bundle(tmp_path / "one", network=True).path) as pipeline,
        pytest.raises(StageError, match="frame 2: stage 'segment' failed: NotFinite"),
    ):
        list(pipeline.run(frames))
    with edgebs.load_cameras(plan_bundle(tmp_path / "two", network=True, most=4).path, 2) as cameras:
        with pytest.raises(StageError, match="frame 2: stage 'segment of camera 1' failed: NotFinite"):
            list(cameras.run([frames[:2] * 2, frames]))
        # A camera that has ended is none that could fail.
        assert len(list(cameras.run([frames[:2] * 2, frames[:2]]))) == 4
    assert (world.cuda.held, world.cuda.violations) == (0, [])


def test_on_the_device_nan_that_the_segmentation_network_hides_is_noticed_soon(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt(monkeypatch, "cue", 0)
    with edgebs.load(plan_bundle(tmp_path / "one", network=True).path) as pipeline:
        run = pipeline.run([grey_frame(0, (4, 6))] * 30)
        with pytest.raises(
            StageError, match="NotFinite: the cue network's flow is NaN or infinite in 12 of 12"
        ):
            list(run)
        list(pipeline.run([grey_frame(5, (4, 6))] * 300))
    assert (world.cuda.held, world.cuda.violations) == (0, [])
