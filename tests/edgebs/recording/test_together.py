"""edgebs/recording/together.py: several sources in one call per network, on a fake GPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.gpu.device_bundle import plan_bundle
from fakes.gpu.device_scenarios import World
from fakes.video.picture_folders import broken_folder, masks_of, moving_bar, picture_folder

from edgebs.errors import BackendError, CamerasFailed, SinkError
from edgebs.machine.interrupts import StopRequest
from edgebs.nvidia import DeviceOptions
from edgebs.recording import run_to_files
from edgebs.recording.recorder import CameraOutputs, require_none_failed
from edgebs.recording.together import run_together_to_files
from edgebs.video import Source, SourceFrame
from edgebs.video.open import open_source
from edgebs.video.sink import MaskFolder


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return plan_bundle(tmp_path / "made", network=True, most=4).path


def recordings_of(folder: Path, *counts: int) -> list[CameraOutputs]:
    """A source of so many frames each, and where its masks go."""
    return [
        CameraOutputs(
            source=picture_folder(folder / f"{place}", moving_bar(count, step=place + 1)),
            mask=folder / f"{place}-masks",
        )
        for place, count in enumerate(counts)
    ]


def masks_made(recording: CameraOutputs) -> list[Any]:
    return masks_of(recording.mask) if recording.mask is not None else []


def test_cameras_in_one_call_have_the_masks_that_each_has_alone(
    world: World, bundle: Path, tmp_path: Path
) -> None:
    recordings = recordings_of(tmp_path, 9, 5, 7)
    said: list[tuple[int, int]] = []
    summary = run_together_to_files(
        bundle, recordings, progress=lambda done, total: said.append((done, total))
    )
    require_none_failed(summary)
    assert [camera["frames_out"] for camera in summary["cameras"]] == [9, 5, 7]
    assert [camera["interrupted"] for camera in summary["cameras"]] == [False] * 3
    assert (summary["frames_out"], said[-1]) == (21, (21, 21))
    for recording in recordings:
        run_to_files(bundle, recording.source, mask=tmp_path / "alone", force=True)
        assert {0, 255} == set(np.unique(masks_made(recording)))
        np.testing.assert_array_equal(masks_made(recording), masks_of(tmp_path / "alone"))
    assert (world.cuda.held, world.cuda.violations) == (0, [])


def test_one_call_of_each_network_serves_all_cameras(world: World, bundle: Path, tmp_path: Path) -> None:
    run_together_to_files(bundle, recordings_of(tmp_path, 6, 6, 6), device=DeviceOptions(graphs="off"))  # type: ignore[arg-type]
    several = world.trt.enqueued
    run_to_files(bundle, tmp_path / "0", device=DeviceOptions(graphs="off"))  # type: ignore[arg-type]
    assert world.trt.enqueued == 2 * several


def test_frames_are_counted_for_each_camera(world: World, bundle: Path, tmp_path: Path) -> None:
    summary = run_together_to_files(bundle, recordings_of(tmp_path, 6, 3), frames=4)
    assert [camera["frames_out"] for camera in summary["cameras"]] == [4, 3]
    assert not summary["interrupted"]
    assert world.cuda.held == 0


def test_a_source_that_breaks_off_keeps_its_masks_and_the_others_go_on(
    world: World, bundle: Path, tmp_path: Path
) -> None:
    broken = CameraOutputs(
        source=broken_folder(tmp_path / "broken", moving_bar(8), 3), mask=tmp_path / "kept"
    )
    (whole,) = recordings_of(tmp_path, 8)
    summary = run_together_to_files(bundle, [broken, whole])
    assert (len(masks_made(broken)), len(masks_made(whole))) == (3, 8)
    with pytest.raises(CamerasFailed, match=r"1 of 2 cameras failed: camera 0 \(.*broken\): frame 3: "):
        require_none_failed(summary)
    assert [camera["frames_in"] for camera in summary["cameras"]] == [3, 8]
    assert (world.cuda.held, world.cuda.violations) == (0, [])


def test_an_output_that_cannot_be_written_ends_its_camera_alone(
    world: World, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = MaskFolder.write

    def full(self: MaskFolder, *result: Any) -> None:
        if self._folder.name == "0-masks" and self._frames == 2:
            raise SinkError("the disk is full")
        write(self, *result)

    monkeypatch.setattr(MaskFolder, "write", full)
    recordings = recordings_of(tmp_path, 8, 8)
    summary = run_together_to_files(bundle, recordings)
    assert [camera["error"] for camera in summary["cameras"]] == ["after 2 frames: the disk is full", None]
    assert summary["cameras"][0]["frames_in"] < 8  # nothing more was read for nobody
    assert not (tmp_path / "0-masks").exists()
    assert len(masks_made(recordings[1])) == 8
    assert world.cuda.held == 0


def test_a_gpu_that_fails_ends_the_cameras_that_had_not_ended(
    world: World, bundle: Path, tmp_path: Path
) -> None:
    recordings = recordings_of(tmp_path, 2, 9)

    def refuse(done: int, _total: int) -> None:
        if done == 8:
            world.trt.contexts[-1].refuses = True

    options = DeviceOptions(graphs="off")  # type: ignore[arg-type]
    summary = run_together_to_files(bundle, recordings, device=options, progress=refuse)
    ended, failed = summary["cameras"]
    assert (ended["error"], ended["frames_out"], ended["interrupted"]) == (None, 2, False)
    assert "refused" in failed["error"]
    assert len(masks_made(recordings[1])) == failed["frames_out"] == 6
    assert world.cuda.held == 0


def test_a_run_that_is_stopped_keeps_its_masks(world: World, bundle: Path, tmp_path: Path) -> None:
    recordings = recordings_of(tmp_path, 2, 9)

    def stop(done: int, _total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    summary = run_together_to_files(bundle, recordings, progress=stop)
    assert [camera["interrupted"] for camera in summary["cameras"]] == [False, True]
    assert [len(masks_made(recording)) for recording in recordings] == [2, 5]
    assert summary["cameras"][1]["frames_dropped"] >= 1
    assert (world.cuda.held, world.cuda.violations) == (0, [])


def test_a_camera_that_does_not_answer_does_not_hold_up_the_end(
    world: World, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = recordings_of(tmp_path, 9, 9)
    stop, answers = StopRequest(), threading.Event()

    def opened(source: Any, **_: object) -> Source:
        frames = open_source(source)
        if source is not recordings[1].source:
            return frames

        def dying() -> Iterator[SourceFrame]:
            yield from islice(frames, 3)
            stop.ask()
            answers.wait(60)
            yield from frames

        return Source(dying(), name="dying", size=frames.size)

    monkeypatch.setattr("edgebs.recording.together.open_source", opened)
    monkeypatch.setattr("edgebs.recording.together.ask_first", lambda: stop)
    summary = run_together_to_files(bundle, recordings)
    assert not answers.is_set()
    assert [camera["interrupted"] for camera in summary["cameras"]] == [True, True]
    assert [len(masks_made(recording)) for recording in recordings] == [2, 2]
    answers.set()
    for thread in threading.enumerate():
        if thread.name == "edgebs-together":
            thread.join(60)
    assert (world.cuda.held, world.cuda.violations) == (0, [])


def test_the_cpu_has_nothing_to_win_by_it(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"is for the CPU, where one call .* saves nothing"):
        run_together_to_files("edge", recordings_of(tmp_path, 1, 1))
    assert not (tmp_path / "0-masks").exists()


def test_a_source_is_never_replaced_by_the_masks_of_another(bundle: Path, tmp_path: Path) -> None:
    first, second = recordings_of(tmp_path, 1, 1)
    with pytest.raises(SinkError, match="is the source"):
        run_together_to_files(bundle, [first, replace(second, mask=Path(first.source))], force=True)
