"""edgebs/recording/__init__.py: several sources at once, none of which holds up or spoils another."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.gpu.device_bundle import plan_bundle
from fakes.gpu.device_scenarios import World
from fakes.networks.backends import FakeCue, FakeSegment, fake_manifest, grey_frame
from fakes.process.programs import program
from fakes.process.waiting import WATCHDOG_S, wait_until
from fakes.video.picture_folders import broken_folder, masks_of, moving_bar, picture_folder

from edgebs import recording as running_several
from edgebs.bundle import Bundle
from edgebs.errors import BundleError, CamerasFailed, SinkError, SourceError
from edgebs.nvidia import DeviceOptions
from edgebs.pipeline import Pipeline
from edgebs.recording import run_several_to_files, run_to_files
from edgebs.recording.recorder import CameraOutputs, require_none_failed
from edgebs.video import Source, SourceFrame
from edgebs.video.open import open_source
from edgebs.video.sink import MaskFolder


@pytest.fixture
def _fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pipelines without networks stand in for any bundle; every one is closed in the end."""
    networks: list[FakeSegment] = []

    def load_several(_bundle: Any, count: int, **_: Any) -> list[Pipeline]:
        networks.extend(FakeSegment() for _ in range(count))
        return [Pipeline(fake_manifest(), network, FakeCue()) for network in networks[-count:]]

    monkeypatch.setattr(running_several, "load_several", load_several)
    yield
    assert [network.closed for network in networks] == [1] * len(networks)


def recording(folder: Path, frames: list[Any], name: str) -> CameraOutputs:
    return CameraOutputs(source=picture_folder(folder / name, frames), mask=folder / f"{name}-masks")


def test_several_videos_at_once_give_the_masks_of_one_after_the_other(
    tiny_bundle: Bundle, street_video: Path, tmp_path: Path
) -> None:
    other = picture_folder(tmp_path / "other", moving_bar(5, size=(60, 80)))
    for name, source in (("street", street_video), ("other", other)):
        run_to_files(tiny_bundle.path, source, mask=tmp_path / f"{name}-alone", frames=6, threads=1)
    summary = run_several_to_files(
        tiny_bundle.path,
        [
            CameraOutputs(source=street_video, mask=tmp_path / "street-both"),
            CameraOutputs(source=other, mask=tmp_path / "other-both", overlay=tmp_path / "other.avi"),
        ],
        frames=6,
        threads=1,
    )
    for name, count in (("street", 6), ("other", 5)):
        alone, both = masks_of(tmp_path / f"{name}-alone"), masks_of(tmp_path / f"{name}-both")
        assert len(both) == count
        np.testing.assert_array_equal(both, alone)
    with open_source(tmp_path / "other.avi") as overlay:
        assert len(list(overlay)) == 5
    assert [camera["frames_out"] for camera in summary["cameras"]] == [6, 5]
    assert (summary["frames_out"], summary["interrupted"]) == (11, False)
    assert [camera["source"] for camera in summary["cameras"]] == [str(street_video), str(other)]
    require_none_failed(summary)


@pytest.mark.usefixtures("_fakes")
def test_a_source_that_breaks_off_keeps_its_masks_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = CameraOutputs(source=broken_folder(tmp_path / "b", moving_bar(9), 3), mask=tmp_path / "b-masks")
    summary = run_several_to_files("any", [recording(tmp_path, moving_bar(9), "a"), broken])
    assert (len(masks_of(tmp_path / "a-masks")), len(masks_of(tmp_path / "b-masks"))) == (9, 3)
    first, second = summary["cameras"]
    assert (first["error"], first["frames_out"], second["frames_out"]) == (None, 9, 3)
    assert not summary["interrupted"]
    with pytest.raises(CamerasFailed, match=r"1 of 2 cameras failed: camera 1 \(.*b\): frame 3:.*3\.png"):
        require_none_failed(summary)
    assert "camera 1 (" in caplog.text
    assert "b-masks: kept" in caplog.text


@pytest.mark.usefixtures("_fakes")
def test_a_network_that_fails_ends_its_camera_alone(tmp_path: Path) -> None:
    frames = [grey_frame(level) for level in (1, 13, 3)]
    unlucky, lucky = recording(tmp_path, frames, "a"), recording(tmp_path, frames[:1], "b")
    summary = run_several_to_files("any", [unlucky, lucky])
    assert "frame 1: stage 'segment' failed: ArithmeticError" in summary["cameras"][0]["error"]
    assert summary["cameras"][1]["error"] is None
    assert (len(masks_of(tmp_path / "a-masks")), len(masks_of(tmp_path / "b-masks"))) == (1, 1)


@pytest.mark.usefixtures("_fakes")
def test_an_output_that_cannot_be_written_ends_its_camera_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = MaskFolder.write

    def full(self: MaskFolder, *result: Any) -> None:
        if self._folder.name == "a-masks" and self._frames == 2:
            raise SinkError("the disk is full")
        write(self, *result)

    monkeypatch.setattr(MaskFolder, "write", full)
    summary = run_several_to_files("any", [recording(tmp_path, moving_bar(4), name) for name in "ab"])
    assert [camera["error"] for camera in summary["cameras"]] == ["after 2 frames: the disk is full", None]
    assert len(masks_of(tmp_path / "b-masks")) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "b-masks"]


@pytest.mark.usefixtures("_fakes")
def test_an_error_that_nobody_foresaw_shows_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(*_: Any) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(MaskFolder, "write", wrong)
    summary = run_several_to_files("any", [recording(tmp_path, moving_bar(1), name) for name in "ab"])
    with pytest.raises(CamerasFailed, match=r"2 of 2.*after 0 frames: ZeroDivisionError: a mistake of ours"):
        require_none_failed(summary)
    assert "Traceback" in caplog.text


@pytest.mark.usefixtures("_fakes")
def test_a_slow_camera_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = recording(tmp_path, moving_bar(8), "quick")
    found = threading.Event()

    def slow_frames() -> Iterator[SourceFrame]:
        """The second frame comes when the other camera's masks are there."""
        yield SourceFrame(grey_frame(1))
        wait_until((tmp_path / "quick-masks").exists, "the other camera's masks")
        found.set()
        yield SourceFrame(grey_frame(2))

    def opened(source: Any, **_: object) -> Source:
        return Source(slow_frames(), name="slow") if source == "slow" else open_source(source)

    monkeypatch.setattr(running_several, "open_source", opened)
    summary = run_several_to_files("any", [CameraOutputs(source="slow"), quick])
    assert found.is_set()
    assert [camera["frames_out"] for camera in summary["cameras"]] == [2, 8]


@pytest.mark.usefixtures("_fakes")
def test_progress_counts_the_frames_of_all_cameras(tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    recordings = [recording(tmp_path, moving_bar(count), str(count)) for count in (3, 5)]
    run_several_to_files("any", recordings, progress=lambda done, total: said.append((done, total)))
    assert said == [(done, 8) for done in range(1, 9)]


@pytest.mark.usefixtures("_fakes")
def test_what_cannot_be_used_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    good = recording(tmp_path, moving_bar(2), "a")
    source = picture_folder(tmp_path / "b", moving_bar(2))
    (tmp_path / "mine.avi").write_bytes(b"mine")
    with pytest.raises(SourceError, match="no-such"):
        run_several_to_files("any", [good, CameraOutputs(source=tmp_path / "no-such")])
    with pytest.raises(SinkError, match=r"mine\.avi exists already"):
        run_several_to_files("any", [good, CameraOutputs(source=source, mask=tmp_path / "mine.avi")])
    with pytest.raises(SinkError, match="is the source"):
        run_several_to_files("any", [good, CameraOutputs(source=source, mask=Path(good.source))], force=True)
    with pytest.raises(BundleError, match="keeps no background"):
        run_several_to_files("any", [good, CameraOutputs(source=source, background=tmp_path / "b.npz")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "mine.avi"]


def test_each_camera_has_a_background_of_its_own(tmp_path: Path) -> None:
    recordings = [
        CameraOutputs(source=picture_folder(tmp_path / name, frames), background=tmp_path / f"{name}.npz")
        for name, frames in (("a", moving_bar(3)), ("b", [grey_frame(200)] * 3))
    ]
    run_several_to_files("edge", recordings, threads=1)
    saved = [recording.background.read_bytes() for recording in recordings if recording.background]
    assert len(set(saved)) == 2
    frozen = [replace(recording, is_frozen=True) for recording in recordings]
    run_several_to_files("edge", frozen, threads=1)
    assert [recording.background.read_bytes() for recording in recordings if recording.background] == saved


def test_on_a_gpu_cameras_share_the_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch)
    bundle = plan_bundle(tmp_path / "made", network=True).path
    recordings = [recording(tmp_path, moving_bar(7, step=step), str(step)) for step in (1, 2, 3)]
    options = DeviceOptions(overlap=False)
    summary = run_several_to_files(bundle, recordings, device=options)
    require_none_failed(summary)
    assert len(world.trt.host_code) == 2  # plans that were read
    for made in recordings:
        run_to_files(bundle, made.source, mask=tmp_path / "alone", force=True)
        np.testing.assert_array_equal(masks_of(tmp_path / "alone"), masks_of(made.mask or tmp_path))
    assert (world.cuda.held, world.cuda.violations) == (0, [])


SCRIPT = """
import threading
import edgebs.recording as several
from edgebs.video import Source
from edgebs.video.open import open_source

def opened(source, **_):
    looped = open_source(source.removeprefix("dead:"), loop=True)
    if not source.startswith("dead:"):
        return looped
    def dying():
        yield next(looped)
        threading.Event().wait(300)
    return Source(dying(), name=source, size=looped.size)

several.open_source = opened
from edgebs.cli import main
main()
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_cameras_that_are_stopped_keep_their_masks_also_beside_a_dead_one(
    tiny_bundle: Bundle, street_video: Path, tmp_path: Path, stop: signal.Signals
) -> None:
    masks = [tmp_path / name for name in "ab"]
    sources = ["--source", str(street_video), "--source", f"dead:{street_video}"]
    outputs = [word for mask in masks for word in ("--mask", str(mask))]
    command = ["run", str(tiny_bundle.path), *sources, *outputs, "--threads", "1", "--json"]
    with program(SCRIPT, *command) as process:
        wait_until(
            lambda: len({path.parent for path in tmp_path.glob(".*/*.png")}) == 2, "two cameras' masks"
        )
        process.send_signal(stop)
        out, err = process.communicate(timeout=WATCHDOG_S)
    assert process.returncode == 130, err
    summary = json.loads(out)
    assert "Traceback" not in err
    assert [camera["interrupted"] for camera in summary["cameras"]] == [True, True]
    assert len(masks_of(masks[0])) == summary["cameras"][0]["frames_out"] >= 1
    assert len(masks_of(masks[1])) == summary["cameras"][1]["frames_out"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
