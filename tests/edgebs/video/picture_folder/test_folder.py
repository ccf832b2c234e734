"""Folders of pictures as they come from cameras, file managers and interrupted copies."""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.video.picture_bytes import jpeg, png, with_exif, write_pictures

from calib.frames.make import make_calibration_set
from edgebs.errors import SourceError
from edgebs.video.open import open_source
from edgebs.video.picture_file import damage
from edgebs.video.picture_folder import natural_key, picture_files


def grey_png(level: int, size: tuple[int, int] = (48, 64)) -> bytes:
    return png([bytes([level]) * size[1]] * size[0], size[1])


def levels(source) -> list[int]:
    return [int(frame.image[40, 32, 0]) for frame in source]


def test_side_files_of_macos_and_windows_are_not_pictures(tmp_path):
    folder = write_pictures(
        tmp_path / "f",
        {
            "1.png": grey_png(10),
            "._1.png": b"\0\5\x16\7" + bytes(100),
            ".hidden.jpg": b"x",
            ".DS_Store": b"x",
            "Thumbs.db": b"x",
            "desktop.ini": b"x",
            "2.PNG": grey_png(20),
        },
    )
    (folder / "__MACOSX").mkdir()
    (folder / "3.png").mkdir()
    os.mkfifo(folder / "4.png")
    source = open_source(folder)
    assert source.frame_count == 2
    assert levels(source) == [10, 20]


@pytest.mark.parametrize("tail", [bytes(5000), b"\xff" * 9000, os.urandom(20_000), jpeg(200), b"\n"])
@pytest.mark.parametrize("is_progressive", [False, True])
def test_what_follows_the_end_of_a_jpeg_does_not_count(tmp_path, tail, is_progressive):
    content = jpeg(90, progressive=is_progressive)
    folder = write_pictures(tmp_path / "f", {"1.jpg": content + tail})
    (frame,) = open_source(folder)
    assert np.array_equal(frame.image, cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("is_progressive", [False, True])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("tail", [b"", bytes(5000), jpeg(200)], ids=["", "zeros", "second picture"])
def test_a_cut_jpeg_is_seen_whatever_follows_it(is_progressive, keep, tail):
    content = jpeg(90, progressive=is_progressive)
    assert damage(content) is None
    assert damage(content[: int(keep * len(content))] + tail) == "it is cut off"


def test_the_end_of_an_embedded_thumbnail_is_not_that_of_the_picture():
    content = with_exif(jpeg(90), thumbnail=jpeg(30, (12, 16)))
    assert damage(content) is None
    start_of_scan = content.rindex(b"\xff\xda")
    for end in (300, start_of_scan, start_of_scan + 100, len(content) - 2):
        assert damage(content[:end]) == "it is cut off"


def test_a_jpeg_of_another_name_and_a_name_of_jpeg_are_known_by_their_bytes(tmp_path):
    whole = {"1.jpg": grey_png(10), "2.png": jpeg(20), "3.jpeg": grey_png(30)}
    assert [round(level, -1) for level in levels(open_source(write_pictures(tmp_path / "f", whole)))] in (
        [10, 20, 30], [10, 10, 30], [10, 30, 30], [10, 0, 30], [10, 40, 30],
    )  # fmt: skip
    assert damage(jpeg(20)[:300]) == "it is cut off"


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_picture_is_upright_as_its_exif_says(tmp_path, orientation):
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:8] = 200  # bright above
    content = bytes(cv2.imencode(".jpg", picture)[1])
    folder = write_pictures(tmp_path / "f", {"1.jpg": with_exif(content, orientation=orientation)})
    image = next(open_source(folder)).image
    turned = {1: picture, 3: picture[::-1], 6: np.rot90(picture, -1), 8: np.rot90(picture)}[orientation]
    assert image.shape == turned.shape
    assert np.abs(image.astype(int) - turned).mean() < 3


DAMAGED = {
    "empty": (b"", "it is empty"),
    "no picture": (b"no picture", "damaged or none"),
    "cut JPEG": (jpeg()[:400], "it is cut off"),
    "cut PNG": (grey_png(9)[:60], "it is cut off"),
    "PNG with a wrong bit": (grey_png(9)[:45] + b"\xff" + grey_png(9)[46:], "checksum of chunk IDAT"),
}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_damaged_picture_is_named_and_left_out_with_its_index(tmp_path, caplog, capfd, kind, place):
    content, reason = DAMAGED[kind]
    contents = {f"{n}.png": grey_png(10 * n) for n in range(4)} | {f"{place}.png": content}
    with caplog.at_level(logging.WARNING):
        frames = list(open_source(write_pictures(tmp_path / "f", contents), fps=10))
    rest = [n for n in range(4) if n != place]
    assert [frame.index for frame in frames] == rest
    assert levels(frames) == [10 * n for n in rest]
    assert [frame.captured_s for frame in frames] == pytest.approx([n / 10 for n in rest])
    assert f"frame {place} is left out: {tmp_path}/f/{place}.png cannot be read" in caplog.text
    assert reason in caplog.text
    assert f"1 of 4 pictures could not be read and were left out: {place}.png" in caplog.text
    assert capfd.readouterr().err == ""


def test_a_link_that_leads_nowhere_is_named_and_left_out(tmp_path, caplog):
    folder = write_pictures(tmp_path / "f", {"1.png": grey_png(10)})
    (folder / "2.png").symlink_to(tmp_path / "gone.png")
    assert levels(open_source(folder)) == [10]
    assert "2.png cannot be read: No such file or directory" in caplog.text


def test_only_damaged_pictures_are_an_error_that_names_the_first(tmp_path):
    folder = write_pictures(tmp_path / "f", {f"{n}.png": b"x" for n in range(3)})
    with pytest.raises(SourceError, match=r"none of 3 pictures in .* can be read\. The first: .*0\.png"):
        open_source(folder)


def test_a_repeated_folder_names_its_damage_once_and_ends_where_all_is_gone(tmp_path, caplog):
    folder = write_pictures(tmp_path / "f", {"1.png": grey_png(10), "2.png": b"x", "3.png": grey_png(30)})
    source = open_source(folder, loop=True)
    assert [frame.index for frame in itertools.islice(source, 6)] == [0, 2, 3, 5, 6, 8]
    assert caplog.text.count("2.png cannot be read") == 1
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(SourceError, match="No such file"):
        list(source)


def test_thousands_of_damaged_pictures_are_counted_and_not_all_named(tmp_path, caplog):
    contents = {f"{n}.png": b"x" for n in range(50)} | {"x.png": grey_png(10, (2, 2))}
    assert len(list(open_source(write_pictures(tmp_path / "f", contents)))) == 1
    assert "50 of 51 pictures could not be read" in caplog.text
    assert len(caplog.records) == 11


def test_calibration_keeps_frame_numbers_across_a_damaged_picture(tmp_path):
    rng = np.random.default_rng(0)
    contents = {}
    for n in range(24):
        picture = rng.integers(0, 60, (48, 64, 3)).astype(np.uint8)
        picture[10:30, 2 * n : 2 * n + 12] = 255
        contents[f"{n}.png"] = bytes(cv2.imencode(".png", picture)[1])
    folder = write_pictures(tmp_path / "f", contents | {"15.png": b"x"})
    made = make_calibration_set([folder], tmp_path / "set", frames=50, intervals=(1,))
    frames = {frame.index: frame.image for frame in open_source(folder)}
    assert made.sources[0]["frames"] == 23
    for sample in made.samples:
        assert np.abs(sample.frame.astype(int) - frames[sample.frame_number]).mean() < 5
    numbers = [sample.frame_number for sample in made.samples]
    assert 15 not in numbers
    assert min(numbers) < 15 < max(numbers)


@pytest.mark.parametrize("name", ["input", "Input", "INPUT"])
def test_a_sequence_folder_points_to_its_input_in_any_case(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(SourceError, match=f"Did you mean {tmp_path / name}"):
        open_source(tmp_path)


def test_natural_order_knows_other_digits_cases_and_leading_zeros():
    names = ["b10", "B2", "b1", "a²", "a٣", "a10", "01", "1", "x"]
    assert sorted(names, key=natural_key) == ["01", "1", "a٣", "a10", "a²", "b1", "B2", "b10", "x"]


def test_names_that_are_not_utf8_are_read(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff1.png")).write_bytes(grey_png(10))
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff2.png")).write_bytes(grey_png(20))
    assert levels(open_source(folder)) == [10, 20]


@pytest.mark.parametrize("ending", [".tif", ".TIFF", ".webp", ".jp2", ".ppm", ".bmp"])
def test_every_ending_that_is_named_is_read(tmp_path, ending):
    picture = np.full((48, 64, 3), 120, np.uint8)
    content = bytes(cv2.imencode(ending.lower(), picture)[1])
    (frame,) = open_source(write_pictures(tmp_path / "f", {f"1{ending}": content}))
    assert np.abs(frame.image.astype(int) - 120).max() <= 2


def test_a_preview_beside_each_picture_is_not_a_frame_of_its_own(tmp_path):
    folder = write_pictures(tmp_path / "f", {"1.tif": grey_png(1), "1.jpg": jpeg(), "2.tif": grey_png(2)})
    with pytest.raises(SourceError, match=r"holds 1\.jpg and 1\.tif, two pictures of one name"):
        open_source(folder)


def test_a_folder_of_thousands_is_listed_with_one_look_at_each(tmp_path, monkeypatch):
    folder = write_pictures(tmp_path / "f", {f"{n}.png": b"" for n in range(3000)})
    monkeypatch.setattr(Path, "stat", lambda *_: pytest.fail("a stat per file"))
    monkeypatch.setattr(Path, "is_file", lambda *_: pytest.fail("a stat per file"))
    assert [file.name for file in picture_files(folder)[::1500]] == ["0.png", "1500.png"]
