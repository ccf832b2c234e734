"""What is written can be read back, appears whole or not at all, and replaces nothing by accident."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.process.waiting import WATCHDOG_S

from edgebs.errors import SinkError
from edgebs.image import overlay
from edgebs.video import encode as video_writer
from edgebs.video.open import open_source
from edgebs.video.sink import open_mask_sink, open_overlay_sink

SIZE = (48, 64)
PROBABILITY = np.zeros((4, 4), np.float32)


def blob_masks(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    noise = [cv2.GaussianBlur(rng.random(size).astype(np.float32), (0, 0), 2) for _ in range(count)]
    return [(field > field.mean()).astype(np.uint8) * 255 for field in noise]


def frame(size: tuple[int, int] = SIZE, level: int = 100) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def write_all(sink, masks: list[np.ndarray]) -> None:
    with sink:
        for mask in masks:
            sink.write(frame(mask.shape), mask, PROBABILITY)


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
def test_a_mask_video_gives_the_masks_back(tmp_path, suffix):
    masks = blob_masks(12)
    write_all(open_mask_sink(tmp_path / f"m{suffix}", SIZE, 29.97), masks)
    source = open_source(tmp_path / f"m{suffix}")
    assert source.fps == pytest.approx(29.97)
    for read, mask in zip(source, masks, strict=True):
        differing = ((read.image[..., 0] > 127) != (mask > 0)).mean()
        assert differing <= (0.01 if suffix == ".mp4" else 0)  # mp4v softens edges
        if suffix != ".mp4":
            assert np.array_equal(read.image[..., 0], mask)
    assert [entry.name for entry in tmp_path.iterdir()] == [f"m{suffix}"]


def test_a_mask_folder_gives_the_masks_back_at_any_size(tmp_path):
    masks = blob_masks(11, (47, 63))
    write_all(open_mask_sink(tmp_path / "masks", (47, 63), None), masks)
    files = sorted((tmp_path / "masks").iterdir())
    assert [file.name for file in files] == [f"{n:06d}.png" for n in range(11)]
    for file, mask in zip(files, masks, strict=True):
        assert np.array_equal(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), mask)


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
@pytest.mark.parametrize("size", [SIZE, (47, 63)])
def test_an_overlay_video_shows_the_foreground_red_and_leaves_the_rest(tmp_path, suffix, size):
    mask = np.zeros(size, np.uint8)
    mask[10:40, 10:40] = 255
    with open_overlay_sink(tmp_path / f"o{suffix}", size, 25) as sink:
        for _ in range(5):
            sink.write(frame(size), mask, PROBABILITY)
    frames = list(open_source(tmp_path / f"o{suffix}"))
    assert len(frames) == 5
    blue, _, red = (int(value) for value in frames[-1].image[25, 25])
    assert red - blue > 60
    assert np.abs(frames[-1].image[5, 55].astype(int) - 100).max() < 12


def test_the_overlay_is_a_copy_with_a_yellow_outline():
    mask = np.zeros(SIZE, np.uint8)
    original = frame()
    assert np.array_equal(overlay(original, mask), original)
    mask[10:20, 10:20] = 255
    drawn = overlay(original, mask)
    assert (drawn[10, 15].tolist(), drawn[15, 15].tolist()) == ([0, 255, 255], [60, 60, 162])
    assert (original == 100).all()


@pytest.mark.parametrize("open_sink", [open_mask_sink, open_overlay_sink])
def test_the_size_may_be_learnt_from_the_first_frame(tmp_path, open_sink):
    write_all(open_sink(tmp_path / "m.avi", None, None), blob_masks(3))
    source = open_source(tmp_path / "m.avi")
    assert (source.size, source.fps, source.frame_count) == (SIZE, 25.0, 3)


@pytest.mark.parametrize("name", ["m.mkv", "m.mp4", "masks"])
def test_after_an_exception_nothing_is_left(tmp_path, name):
    sink = open_mask_sink(tmp_path / name, SIZE, 25)

    def fail_after_one_frame() -> None:
        with sink:
            sink.write(frame(), blob_masks(1)[0], PROBABILITY)
            raise RuntimeError("camera gone")

    with pytest.raises(RuntimeError, match="camera gone"):
        fail_after_one_frame()
    assert list(tmp_path.iterdir()) == []
    sink.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["m.mkv", "masks"])
def test_nothing_appears_under_its_name_before_it_is_whole(tmp_path, name):
    with open_mask_sink(tmp_path / name, SIZE, 25) as sink:
        sink.write(frame(), blob_masks(1)[0], PROBABILITY)
        assert not (tmp_path / name).exists()
    assert (tmp_path / name).exists()
    sink.close()
    sink.discard()
    assert (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["m.mkv", "masks"])
def test_without_frames_nothing_is_written_and_said(tmp_path, caplog, name):
    write_all(open_mask_sink(tmp_path / name, SIZE, 25), [])
    assert list(tmp_path.iterdir()) == []
    assert "no frame came" in caplog.text


@pytest.mark.parametrize("open_sink", [open_mask_sink, open_overlay_sink])
def test_an_existing_video_is_kept_unless_forced(tmp_path, open_sink):
    (tmp_path / "m.avi").write_text("precious")
    with pytest.raises(SinkError, match=r"m.avi exists already.*--force"):
        open_sink(tmp_path / "m.avi", SIZE, 25)
    assert (tmp_path / "m.avi").read_text() == "precious"
    write_all(open_sink(tmp_path / "m.avi", SIZE, 25, force=True), blob_masks(3))
    assert open_source(tmp_path / "m.avi").frame_count == 3


def test_an_existing_mask_folder_is_kept_unless_forced(tmp_path):
    write_all(open_mask_sink(tmp_path / "masks", SIZE, 25), blob_masks(5))
    with pytest.raises(SinkError, match="masks exists already"):
        open_mask_sink(tmp_path / "masks", SIZE, 25)
    write_all(open_mask_sink(tmp_path / "masks", SIZE, 25, force=True), blob_masks(3))
    assert len(list((tmp_path / "masks").iterdir())) == 3


def test_a_folder_with_anything_else_in_it_is_not_replaced_even_when_forced(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").touch()
    with pytest.raises(SinkError, match=r"'thesis\.tex'.*--force neither"):
        open_mask_sink(tmp_path / "home", SIZE, 25, force=True)
    assert (tmp_path / "home" / "thesis.tex").exists()


@pytest.mark.parametrize("name", ["masks.v1", "2026.11.25", "cam.192.168.0.1", ".masks", "a.b c"])
def test_a_folder_may_have_dots_in_its_name(tmp_path, name):
    write_all(open_mask_sink(tmp_path / name, SIZE, 25), blob_masks(2))
    assert sorted(file.name for file in (tmp_path / name).iterdir()) == ["000000.png", "000001.png"]


@pytest.mark.parametrize("name", ["m.mov", "m.WEBM", "m.png", "m.tiff", "m.npz"])
def test_a_name_of_another_format_is_refused_with_those_that_are_written(tmp_path, name):
    with pytest.raises(SinkError, match=r"Known endings: \.mkv, \.avi, \.mp4\. Masks also go to a folder"):
        open_mask_sink(tmp_path / name, SIZE, 25)
    (tmp_path / name).mkdir()
    open_mask_sink(tmp_path / name, SIZE, 25).discard()


def test_force_is_asked_for_only_where_it_helps(tmp_path):
    (tmp_path / "masks.v1").touch()
    (tmp_path / "folder.mkv").mkdir()
    for is_forced in (False, True):
        with pytest.raises(SinkError, match="remove that file") as error:
            open_mask_sink(tmp_path / "masks.v1", SIZE, 25, force=is_forced)
        assert "--force" not in str(error.value)
        with pytest.raises(SinkError, match="no video replaces") as error:
            open_overlay_sink(tmp_path / "folder.mkv", SIZE, 25, force=is_forced)
        assert "--force" not in str(error.value)


@pytest.mark.parametrize("name", ["m.mkv", "masks"])
def test_a_target_that_appears_meanwhile_is_kept(tmp_path, name):
    sink = open_mask_sink(tmp_path / name, SIZE, 25)
    sink.write(frame(), blob_masks(1)[0], PROBABILITY)
    (tmp_path / name).mkdir()
    (tmp_path / name / "other").touch()
    with pytest.raises(SinkError, match="exists already"):
        sink.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_an_unknown_ending_names_the_known_ones(tmp_path):
    with pytest.raises(SinkError, match=r"'.gif'. Known endings: .mkv, .avi, .mp4"):
        open_mask_sink(tmp_path / "m.gif", SIZE, 25)


def test_missing_folders_are_made(tmp_path):
    write_all(open_mask_sink(tmp_path / "a" / "b" / "m.mkv", SIZE, 25), blob_masks(2))
    assert (tmp_path / "a" / "b" / "m.mkv").exists()


@pytest.mark.parametrize("name", ["m.mkv", "masks"])
def test_an_unwritable_folder_is_refused_at_once(name):
    with pytest.raises(SinkError, match=f"/proc/{name} cannot be written"):
        open_mask_sink(f"/proc/{name}", SIZE, 25)


def test_a_path_under_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot be written"):
        open_mask_sink(tmp_path / "file" / "m.mkv", SIZE, 25)


@pytest.mark.parametrize("size", [(47, 63), (1, 1), (2, 5)])
@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_masks_of_odd_size_come_back_whole(tmp_path, suffix, size):
    masks = [np.full(size, level, np.uint8) for level in (0, 255, 0)]
    write_all(open_mask_sink(tmp_path / f"m{suffix}", size, 25), masks)
    read = [frame.image[..., 0] for frame in open_source(tmp_path / f"m{suffix}")]
    assert np.array_equal(read, masks)


def test_masks_of_odd_size_are_refused_where_they_would_be_cut(tmp_path):
    with pytest.raises(SinkError, match="63x47: MPEG-4 has even sizes only"):
        open_mask_sink(tmp_path / "m.mp4", (47, 63), 25)


RATES = [105611 / 500, 1 / 100, 0.5, 0.001, 1000.0, 30000 / 1001, 23.976, 47.952047952047955, 99.99999]


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
@pytest.mark.parametrize("open_sink", [open_mask_sink, open_overlay_sink])
def test_every_rate_is_written_rounded_where_the_codec_needs_it(tmp_path, open_sink, suffix, fps):
    write_all(open_sink(tmp_path / f"m{suffix}", SIZE, fps), blob_masks(4))
    source = open_source(tmp_path / f"m{suffix}")
    assert source.fps == pytest.approx(fps, rel=1e-5)
    assert len(list(source)) == 4


@pytest.mark.parametrize("fps", [90000.0, float("nan"), float("inf"), -25.0, 1e-9])
def test_what_is_no_rate_is_refused(tmp_path, fps):
    with pytest.raises(SinkError, match=r"no video has .* frames/s"):
        open_mask_sink(tmp_path / "m.mkv", SIZE, fps)
    assert list(tmp_path.iterdir()) == []


TIMES = [5.0, 5.04, 5.2, 5.21, 6.0, 7.333]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("open_sink", [open_mask_sink, open_overlay_sink])
def test_a_video_of_variable_rate_keeps_the_times(tmp_path, open_sink, suffix):
    with open_sink(tmp_path / f"m{suffix}", SIZE, 25, has_variable_rate=True) as sink:
        for mask, time_s in zip(blob_masks(6), TIMES, strict=True):
            sink.write(frame(), mask, PROBABILITY, time_s)
    times = [read.captured_s for read in open_source(tmp_path / f"m{suffix}")]
    assert times == pytest.approx([time_s - 5 for time_s in TIMES], abs=0.0011)


def test_an_avi_of_variable_rate_says_that_it_keeps_no_times(tmp_path, caplog):
    with open_mask_sink(tmp_path / "m.avi", SIZE, 25, has_variable_rate=True) as sink:
        for mask, time_s in zip(blob_masks(6), TIMES, strict=True):
            sink.write(frame(), mask, PROBABILITY, time_s)
    assert "m.avi plays them at 25 frames/s, because AVI stores no times. Name it .mkv" in caplog.text
    assert len(list(open_source(tmp_path / "m.avi"))) == 6


NAMES = [b"10:00:00.mkv", b"-m.mkv", b"m%03d.mp4", b"m?x #1.avi", b"m\nn.mkv", b"caf\xe9.mkv"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_an_output_is_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_all(open_mask_sink(os.fsdecode(name), SIZE, 25), blob_masks(3))
    assert os.listdir(b".") == [name]  # noqa: PTH208 - a name that is no text
    assert len(list(open_source(os.fsdecode(name)))) == 3


def test_a_picture_of_another_size_is_refused(tmp_path):
    sink = open_mask_sink(tmp_path / "m.mkv", SIZE, 25)
    with pytest.raises(SinkError, match=r"\(48, 64\), and one of \(40, 64\) came"), sink:
        sink.write(frame(), np.zeros((40, 64), np.uint8), PROBABILITY)


def test_a_codec_that_ffmpeg_lacks_is_an_error(tmp_path):
    codec = video_writer.Codec("nosuch", "gray")
    with pytest.raises(SinkError, match=r"no encoder nosuch for .mkv"):
        video_writer.VideoWriter(tmp_path / "m.mkv", codec, SIZE, 25)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["m.mkv", "masks"])
def test_a_disk_that_is_nearly_full_stops_the_writing(tmp_path, monkeypatch, name):
    monkeypatch.setattr(video_writer, "SPARE_BYTES", 1 << 60)
    with pytest.raises(SinkError, match="its disk is full"):
        open_mask_sink(tmp_path / name, SIZE, 25)


def test_a_failing_write_of_a_png_is_an_error(tmp_path, monkeypatch):
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    sink = open_mask_sink(tmp_path / "masks", SIZE, 25)
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(SinkError, match="masks cannot be written: No space left on device"), sink:
        sink.write(frame(), blob_masks(1)[0], PROBABILITY)
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, sys, numpy as np
from edgebs.video.sink import open_mask_sink
from edgebs.errors import SinkError
rng = np.random.default_rng(0)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
try:
    with open_mask_sink(sys.argv[1], (48, 64), 25) as sink:
        for _ in range(300):
            mask = (rng.random((48, 64)) > 0.5).astype(np.uint8) * 255
            sink.write(np.zeros((48, 64, 3), np.uint8), mask, np.zeros((4, 4), np.float32))
except SinkError as error:
    print("SinkError:", error)
"""


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
def test_a_video_that_the_system_cut_short_is_an_error_and_is_removed(tmp_path, suffix):
    """A limit on the size of files stands in for a full disk."""
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / f"m{suffix}")],
        capture_output=True, text=True, cwd=Path(__file__).parents[3], check=True, timeout=WATCHDOG_S,
    )  # fmt: skip
    assert re.search(r"was not written: (the last of 300 frames|frame \d+) cannot be", run.stdout)
    assert list(tmp_path.iterdir()) == []
