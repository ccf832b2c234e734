"""What the pipeline on the device is put through, on a fake GPU, with the results that it must give.

A scenario is run under every `POLICY`: some streams as early as their waits allow, the others as late.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebs.bundle.manifest import CueSettings
from edgebs.cues.cue import CueOutput
from edgebs.errors import EnqueueRefused
from edgebs.nvidia import DeviceOptions
from edgebs.nvidia.runner import DeviceRunner
from edgebs.nvidia.tensorrt.engine import TensorRTEngine
from edgebs.tensors import Array, Frame
from fakes.gpu.cuda import FakeCuda, install
from fakes.gpu.tensorrt import FakeTensorRT, batched, cue_plan, plan

SETTINGS = CueSettings(
    kind="hop", provider="net", intervals=(1, 2, 4), max_magnitude=20.0, nominal_fps=25.0, preset=""
)
POLICIES: tuple[tuple[int, ...], ...] = (
    *((), (0,), (1,), (2,), (3,), (0, 3), (1, 2), (0, 1, 2, 3)),
    *((-1,), (-2,), (-3,)),
)
"""Streams that run early: 0 upload, 1 download, 2 segment, 3 cue; or a seed, for as chance has it."""


class CountingCue:
    """On the CPU: every value is 3 times the number of frames seen. Its tensor is used again at once."""

    description = "counting"

    def __init__(self) -> None:
        self.seen = 0
        self.closed = 0
        self._tensor = np.zeros((1, 3, 2, 2), np.float32)

    def update(self, frame: Frame, captured_s: float | None) -> CueOutput:
        self.remember(frame, captured_s)
        self._tensor[:] = 3 * self.seen
        return CueOutput({"cue": self._tensor}, self.seen < 3)

    def remember(self, frame: Frame, captured_s: float | None) -> None:  # noqa: ARG002
        self.seen += 1

    def reset(self) -> None:
        self.seen = 0

    def close(self) -> None:
        self.closed += 1


class World:
    """One process with a GPU, a TensorRT and two plans."""

    def __init__(
        self, folder: Path, monkeypatch: Any, *, eager: Sequence[int] = (), cameras: int = 1
    ) -> None:
        self.cuda = FakeCuda(eager=eager)
        self.trt = FakeTensorRT(self.cuda)
        install(self.cuda, monkeypatch)
        monkeypatch.setitem(sys.modules, "tensorrt", self.trt)
        self.cameras = cameras
        self.segment, self.cue = folder / "segment.plan", folder / "cue.plan"
        several = (lambda data: batched(data, 8)) if cameras > 1 else bytes
        self.segment.write_bytes(several(plan()))
        self.cue.write_bytes(several(cue_plan(SETTINGS.intervals)))

    def open(self, *, network: bool, **options: Any) -> DeviceRunner:
        """A path with the cue network, or with one cue on the CPU per camera."""
        segment = TensorRTEngine(self.segment, batch=self.cameras)
        cue = (
            TensorRTEngine(self.cue, batch=self.cameras)
            if network
            else [CountingCue() for _ in range(self.cameras)]
        )
        return DeviceRunner(segment, cue, SETTINGS, DeviceOptions(**options))


def frame(level: int) -> Frame:
    return np.full((2, 2, 3), level, np.uint8)


def expected_of_network(levels: Sequence[int]) -> list[float]:
    """The fake networks in plain words: twice the level, plus the mean difference from the past levels."""
    answers = []
    for now, level in enumerate(levels):
        pasts = [levels[max(now - interval, 0)] for interval in SETTINGS.intervals]
        answers.append(2 * level + float(np.mean([abs(level - past) for past in pasts])))
    return answers


def expected_of_counting(levels: Sequence[int]) -> list[float]:
    return [2 * level + 3 * (index + 1) for index, level in enumerate(levels)]


LEVELS = (10, 90, 20, 70, 30, 110, 5, 60, 100)


def _streamed(path: DeviceRunner, levels: Sequence[int]) -> Iterator[float]:
    """Three frames in flight, as in a run."""
    begun = []
    for level in levels:
        begun.append(path.begin(frame(level), None))
        if len(begun) == 3:
            yield _value(path.finish(begun.pop(0)))
    for rest in begun:
        yield _value(path.finish(rest))


def _value(probability: Array) -> float:
    assert np.ptp(probability) == 0
    return float(probability.flat[0])


def _stream(
    world: World, expected: Sequence[float], *, scenes: int = 1, network: bool = True, **options: Any
) -> None:
    path = world.open(network=network, **options)
    for scene in range(scenes):
        if scene:
            path.reset()
        np.testing.assert_allclose(list(_streamed(path, LEVELS)), expected, rtol=1e-6)
    if scenes > 1:
        path.reset()
    path.close()


def stream_with_network(world: World) -> None:
    _stream(world, expected_of_network(LEVELS))


def stream_with_network_without_graphs(world: World) -> None:
    _stream(world, expected_of_network(LEVELS), graphs="off")


def stream_in_one_stream(world: World) -> None:
    _stream(world, expected_of_network(LEVELS), overlap=False)


def stream_with_cue_of_the_cpu(world: World) -> None:
    _stream(world, expected_of_counting(LEVELS), network=False)


def two_scenes(world: World) -> None:
    _stream(world, expected_of_network(LEVELS), scenes=2)


def frames_given_up(world: World) -> None:
    """FrameInFlight and never finished, as when a run is left: their slots are used again."""
    path = world.open(network=False)
    for level in LEVELS[:5]:
        path.begin(frame(level), None)
    path.reset()
    np.testing.assert_allclose(list(_streamed(path, LEVELS)), expected_of_counting(LEVELS), rtol=1e-6)
    path.close()


def pasts_remembered(world: World) -> None:
    path = world.open(network=True)
    for level in LEVELS[:-1]:
        path.remember(frame(level), None)
    assert _value(path.finish(path.begin(frame(LEVELS[-1]), None))) == _near(expected_of_network(LEVELS)[-1])
    path.close()


def closed_while_running(world: World) -> None:
    path = world.open(network=True)
    path.begin(frame(1), None)
    path.begin(frame(2), None)
    path.close()


def given_up_halfway(world: World) -> None:
    """A refused enqueue: what was queued before must be over when the caller hears of it."""
    path = world.open(network=False, graphs="off")
    context = world.trt.contexts[-1]
    for level in LEVELS:
        context.refuses = True
        with pytest.raises(EnqueueRefused):
            path.begin(frame(level), None)
        context.refuses = False
        assert world.cuda.queued == 0
    path.close()


def traced(world: World) -> None:
    path = world.open(network=True)
    for index, level in enumerate(LEVELS):
        cue, probability = path.trace(frame(level), None)
        assert _value(probability) == _near(expected_of_network(LEVELS)[index])
        pasts = [LEVELS[max(index - interval, 0)] for interval in SETTINGS.intervals]
        np.testing.assert_allclose(cue[0, :, 0, 0], [abs(level - past) for past in pasts], rtol=1e-6)
    path.close()


def segmented_with_a_given_cue(world: World) -> None:
    for network in (True, False):
        path = world.open(network=network)
        for level in LEVELS:
            cue = {"cue": np.full((1, 3, 2, 2), level / 10, np.float32)}
            assert _value(path.segment(frame(level), cue)) == _near(2.1 * level)
        path.close()


SCENARIOS: tuple[Callable[[World], None], ...] = (
    stream_with_network,
    stream_with_network_without_graphs,
    stream_in_one_stream,
    stream_with_cue_of_the_cpu,
    two_scenes,
    frames_given_up,
    pasts_remembered,
    closed_while_running,
    given_up_halfway,
    traced,
    segmented_with_a_given_cue,
)


def _near(value: float) -> Any:
    return pytest.approx(value, rel=1e-6)


@contextmanager
def clean(world: World) -> Iterator[World]:
    """Everything is given back, and nothing was while it was in use."""
    yield world
    assert world.cuda.violations == []
    assert world.cuda.held == 0
