"""The same frames give the same masks, bit for bit: whatever came before them, and however they are run.

250 frames: the schedule of the background that was decided on sums of seconds went another way at frame 180.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes.gpu.device_bundle import plan_bundle
from fakes.gpu.device_scenarios import World
from fakes.networks.cues import CUES, KEEP_BACKGROUNDS, scene, toy_pipeline

import edgebs
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array
from edgebs.video import SourceFrame

COUNT = 250
Times = Sequence[float | None]
KINDS = pytest.mark.parametrize("kind", CUES)
COUNTED: Times = [None] * COUNT


def at(fps: float, start_s: float = 0.0) -> Times:
    return [start_s + t / fps for t in range(COUNT)]


def processed(pipeline: Pipeline, times: Times = COUNTED, seed: int = 0) -> Array:
    """The probabilities of the scene's frames, one after the other."""
    frames = scene(COUNT, seed)[: len(times)]
    return np.stack(
        [pipeline.process(frame, time).probability for frame, time in zip(frames, times, strict=True)]
    )


def fresh(kind: str, times: Times = COUNTED) -> Array:
    with toy_pipeline(kind) as pipeline:
        return processed(pipeline, times)


def run(pipeline: Pipeline, times: Times = COUNTED) -> Array:
    items = [SourceFrame(frame, time) for frame, time in zip(scene(COUNT), times, strict=True)]
    return np.stack([result.probability for result in pipeline.run(items)])


@KINDS
@pytest.mark.parametrize("times", [COUNTED, at(25), at(30, 1.7e9)], ids=["counted", "25 fps", "epoch"])
def test_a_second_pass_after_reset_repeats_the_first(kind: str, times: Times) -> None:
    with toy_pipeline(kind) as pipeline:
        first = processed(pipeline, times)
        pipeline.reset()
        assert np.array_equal(processed(pipeline, times), first)


@KINDS
def test_what_was_seen_before_a_reset_changes_nothing(kind: str) -> None:
    expected = fresh(kind)
    with toy_pipeline(kind) as pipeline:
        for times in (COUNTED[:97], at(30, 500.0)[:131], at(7)[:60]):
            processed(pipeline, times, seed=1)
            pipeline.reset()
        assert np.array_equal(processed(pipeline), expected)


@KINDS
def test_another_recording_that_nobody_announced_begins_as_after_a_reset(kind: str) -> None:
    expected = fresh(kind, at(25, 3.0))
    with toy_pipeline(kind) as pipeline:
        processed(pipeline, at(30, 900.0)[:111], seed=1)
        assert np.array_equal(processed(pipeline, at(25, 3.0)), expected)


@KINDS
def test_runs_repeat_each_other_and_what_process_gives_frame_by_frame(kind: str) -> None:
    times = at(25, 60.0)
    expected = fresh(kind, times)
    with toy_pipeline(kind) as pipeline:
        assert np.array_equal(run(pipeline, times), expected)
        assert np.array_equal(run(pipeline, times), expected)
        pipeline.reset()
        assert np.array_equal(processed(pipeline, times), expected)


@KINDS
@pytest.mark.parametrize("fps", [7.0, 12.5, 25.0, 30.0, 30000 / 1001, 50.0])
def test_the_origin_of_time_changes_nothing(kind: str, fps: float) -> None:
    expected = fresh(kind, at(fps))
    for start_s in (12.34, 1.7e9, -5000.0):
        assert np.array_equal(fresh(kind, at(fps, start_s)), expected), start_s


@KINDS
def test_frames_counted_or_timed_at_the_nominal_rate_are_the_same(kind: str) -> None:
    assert np.array_equal(fresh(kind, at(25)), fresh(kind))


@pytest.mark.parametrize("kind", KEEP_BACKGROUNDS)
@pytest.mark.parametrize("is_frozen", [False, True])
def test_a_restored_background_gives_the_same_in_a_used_pipeline_and_after_a_reset(
    tmp_path: Path, kind: str, is_frozen: bool
) -> None:
    file = tmp_path / "yard.npz"
    with toy_pipeline(kind) as pipeline:
        processed(pipeline, at(30, 77.0))
        pipeline.save_background(file)
    with toy_pipeline(kind) as pipeline:
        pipeline.restore_background(file)
        if is_frozen:
            pipeline.freeze_background()
        expected = processed(pipeline, at(25, 5.0), seed=1)
    with toy_pipeline(kind) as pipeline:
        processed(pipeline, at(12.5, 1e6)[:140])
        pipeline.restore_background(file)
        if is_frozen:
            pipeline.freeze_background()
        for _ in range(2):
            assert np.array_equal(processed(pipeline, at(25, 5.0), seed=1), expected)
            pipeline.reset()


@pytest.mark.parametrize("kind", KEEP_BACKGROUNDS)
def test_what_is_frozen_gives_the_same_after_a_reset(kind: str) -> None:
    with toy_pipeline(kind) as pipeline:
        processed(pipeline, at(25, 100.0)[:120])
        pipeline.freeze_background()
        passes = []
        for times in (at(25, 40.0), at(25, 40.0)):
            pipeline.reset()
            passes.append(processed(pipeline, times, seed=1))
        assert np.array_equal(*passes)
        pipeline.unfreeze_background()
        pipeline.reset()
        assert np.array_equal(processed(pipeline), fresh(kind))


@pytest.mark.parametrize("kind", ["edge", "edge-net"])
def test_a_saved_background_goes_on_as_if_it_had_not_been_away(tmp_path: Path, kind: str) -> None:
    frames = scene(COUNT)
    with toy_pipeline(kind) as watched, toy_pipeline(kind) as restored:
        for t in range(200):
            watched.process(frames[t], 9.0 + t / 25)
        watched.save_background(tmp_path / "yard.npz")
        restored.restore_background(tmp_path / "yard.npz")
        for t in range(200, COUNT):
            going_on = watched.process(frames[t], 9.0 + t / 25)
            again = restored.process(frames[t], t / 25)
            if not again.warming_up:
                assert np.array_equal(going_on.probability, again.probability), t


def _shipped(passes: int) -> list[bytes]:
    """The probabilities of the shipped `edge` on a few frames, pass by pass, and of a run at last."""
    frames = list(scene(24))
    with edgebs.load("edge") as pipeline:
        all_passes = []
        for _ in range(passes):
            pipeline.reset()
            all_passes.append([pipeline.process(frame, 50 + t / 25) for t, frame in enumerate(frames)])
        all_passes.append(list(pipeline.run([SourceFrame(frame, t / 25) for t, frame in enumerate(frames)])))
    return [b"".join(result.probability.tobytes() for result in results) for results in all_passes]


def test_shipped_edge_repeats_itself_also_in_another_process() -> None:
    first, *others = _shipped(2)
    assert all(other == first for other in others)
    program = (
        "import sys, hashlib; sys.path[:0] = sys.argv[1:]\n"
        "from test_same_bits import _shipped\n"
        "print(hashlib.sha256(_shipped(1)[0]).hexdigest())"
    )
    here = Path(__file__).parent
    command = [sys.executable, "-c", program, str(here), str(here.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.strip() == hashlib.sha256(first).hexdigest()


@pytest.mark.parametrize("network", [True, False])
def test_on_the_device_a_second_run_and_another_origin_repeat_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: bool
) -> None:
    World(tmp_path, monkeypatch)
    bundle = plan_bundle(tmp_path / "made", network=network, size=(32, 32)).path
    frames = [frame[:32, :32].copy() for frame in scene(COUNT)[:80]]

    def streamed(pipeline: Pipeline, start_s: float) -> Array:
        # 12.5 frames/s: a past of 1 frame at 25 lies between two of these.
        items = [SourceFrame(frame, start_s + t / 12.5) for t, frame in enumerate(frames)]
        return np.stack([result.probability for result in pipeline.run(items)])

    with edgebs.load(bundle) as pipeline:
        first = streamed(pipeline, 0.0)
        for start_s in (0.0, 12.34, 1.7e9):
            assert np.array_equal(streamed(pipeline, start_s), first)
        pipeline.reset()
        passed = [pipeline.process(frame, 7 + t / 12.5).probability for t, frame in enumerate(frames)]
        assert np.array_equal(np.stack(passed), first)
