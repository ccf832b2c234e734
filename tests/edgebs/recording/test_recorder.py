"""edgebs/recording/recorder.py: which files belong to a camera, and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from fakes.networks.backends import fake_manifest
from fakes.video.picture_folders import moving_bar, picture_folder

from edgebs.errors import BundleError, SinkError
from edgebs.recording.recorder import CameraOutputs, Recorder, begin_with_background, refuse_same_files
from edgebs.video import Gap, Losses, Source
from edgebs.video.open import open_source
from edgebs.workers import Counters, Result


def files(**named: str) -> CameraOutputs:
    source = named.pop("source", "a.mp4")
    paths: dict[str, Any] = {name: Path(path) for name, path in named.items()}
    return CameraOutputs(source=source, **paths)


@pytest.mark.parametrize(
    "recordings",
    [
        [files(mask="a.mp4")],
        [files(overlay="x/../a.mp4")],
        [files(source="file://a.mp4", mask="a.mp4")],
        [files(background="a.mp4")],
        [files(), files(source="b.mp4", mask="a.mp4")],
        [files(overlay="b.mp4"), files(source="b.mp4")],
        [files(background="yard.npz"), files(source="b.mp4", mask="yard.npz")],
        [files(mask="m.avi", overlay="m.avi")],
        [files(mask="m.avi"), files(source="b.mp4", mask="m.avi")],
        [files(background="m.npz"), files(source="b.mp4", background="m.npz")],
    ],
)
def test_no_file_is_written_that_is_read_or_written_already(recordings: list[CameraOutputs]) -> None:
    with pytest.raises(SinkError, match=r"is the source|same name"):
        refuse_same_files(recordings)


@pytest.mark.parametrize("overlay", ["masks/o.avi", "masks/later/o.avi", "x/../masks/o.avi"])
def test_no_output_lies_in_the_folder_of_masks_of_another(overlay: str) -> None:
    with pytest.raises(SinkError, match=r"o\.avi lies in masks"):
        refuse_same_files([files(mask="masks"), files(source="b.mp4", overlay=overlay)])
    refuse_same_files([files(mask="out/masks", overlay="out/o.avi")])


def test_links_that_lead_to_each_other_are_files_like_others(tmp_path: Path) -> None:
    loop = tmp_path / "loop.avi"
    loop.symlink_to(loop)
    refuse_same_files([files(source="a.mp4", mask=str(loop))])
    with pytest.raises(SinkError, match="is the source"):
        refuse_same_files([files(source=str(loop), mask=str(loop))])


def test_a_frozen_background_is_read_and_may_serve_two_cameras() -> None:
    background = Path("yard.npz")
    both = [CameraOutputs(source=name, background=background, is_frozen=True) for name in ("a.mp4", "b.mp4")]
    refuse_same_files(both)
    with pytest.raises(SinkError, match=r"yard\.npz is the source"):
        refuse_same_files([*both, files(source="c.mp4", overlay="yard.npz")])


def test_the_same_camera_twice_is_no_mistake() -> None:
    refuse_same_files([files(mask="m.avi"), files(mask="n.avi")])


def test_an_output_that_is_refused_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "o.avi").write_bytes(b"mine")
    source = picture_folder(tmp_path / "pictures", moving_bar(1))
    recording = CameraOutputs(source=source, mask=tmp_path / "masks", overlay=tmp_path / "o.avi")
    with open_source(source) as stream, pytest.raises(SinkError, match=r"o\.avi exists already"):
        Recorder(recording, stream)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.avi", "pictures"]


def result(number: int, captured_s: float | None, missing_before: int = 0) -> Result:
    mask = np.zeros((8, 8), np.uint8)
    mask[:number] = 255
    return Result(
        index=number,
        frame=np.zeros((8, 8, 3), np.uint8),
        mask=mask,
        probability=np.zeros((4, 4), np.float32),
        captured_s=captured_s,
        latency_ms=1.0,
        stages_ms={},
        warming_up=False,
        missing_before=missing_before,
    )


def test_masks_stay_in_step_with_the_source_where_frames_are_missing(tmp_path: Path) -> None:
    """Frames 0, 1 and 4, 5 of the source's time line are missing: no mask yet, and the one before again."""
    for name in ("masks", "m.avi", "m.mkv"):
        recording = CameraOutputs(source="yard.mkv", mask=tmp_path / name)
        with Recorder(recording, Source([], name="yard.mkv", fps=10)) as recorder:
            recorder.add(result(2, 0.2, missing_before=2))
            recorder.add(result(3, 0.3))
            recorder.add(result(6, 0.6, missing_before=2))
    rows = [0, 0, 2, 3, 3, 3, 6]
    files = sorted((tmp_path / "masks").iterdir())
    assert [int((cv2.imread(str(file), 0)[:, 0] > 0).sum()) for file in files] == rows
    for name in ("m.avi", "m.mkv"):
        frames = list(open_source(tmp_path / name))
        assert [int((frame.image[:, 0, 0] > 0).sum()) for frame in frames] == rows
        assert [frame.captured_s for frame in frames] == pytest.approx([n / 10 for n in range(7)])


def test_what_is_missing_is_in_the_summary() -> None:
    losses = Losses()
    losses.add_gap(Gap(4, 3, 0.4))
    losses.add_damaged(9)
    with Recorder(CameraOutputs(source="a.mp4"), Source([], name="a.mp4", losses=losses)) as recorder:
        summary = recorder.summary(fake_manifest(), Counters(), 1.0)
    assert (summary["frames_missing"], summary["frames_damaged"]) == (3, 1)


def test_a_background_that_is_a_link_to_itself_is_refused_and_stays(tmp_path: Path) -> None:
    loop, never_used = tmp_path / "loop.npz", Mock(spec_set=[])
    loop.symlink_to(loop)
    with pytest.raises(BundleError, match="is a link that leads to itself"):
        begin_with_background(never_used, CameraOutputs(source="a.mp4", background=loop))
    assert loop.is_symlink()
