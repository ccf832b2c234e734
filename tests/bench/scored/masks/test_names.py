"""Names in any case, and what is called like a region or range and not used."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.video.scored import write_cdnet, write_mask, write_picture

from bench.scored import Sequence, find_sequences, log_notes
from bench.scored.masks import unused_notes
from bench.scored.sequence import scored_range
from edgebs.errors import SourceError
from export.training.samples.mixture import DataOptions, split


def cased(folder: Path, change: dict[str, str]) -> Path:
    for old, new in change.items():
        (folder / old).rename(folder / new)
    return folder


def region_file(path: Path) -> Path:
    region = np.zeros((6, 8), np.uint8)
    region[:, :4] = 255
    path.write_bytes(bytes(cv2.imencode(".bmp", region)[1]))
    return path


def only(root: Path, layout: str = "auto") -> Sequence:
    (sequence,) = find_sequences(root, layout)
    return sequence


@pytest.mark.parametrize("layout", ["auto", "cdnet"])
@pytest.mark.parametrize(
    ("region", "limits", "names"),
    [
        ("ROI.BMP", "TemporalROI.txt", {"input": "Input", "groundtruth": "GroundTruth"}),
        ("roi.bmp", "TEMPORALROI.TXT", {"input": "INPUT", "groundtruth": "GROUNDTRUTH"}),
        ("Roi.Bmp", "temporalroi.txt", {"groundtruth": "groundTruth"}),
        ("ROI.bmp", "temporalROI.txt", {}),
    ],
)
def test_cdnets_names_are_known_in_any_case(tmp_path, layout, region, limits, names):
    folder = cased(write_cdnet(tmp_path / "a"), names)
    region_file(folder / region)
    (folder / limits).write_text("2 3")
    sequence = only(tmp_path, layout)
    assert sequence.layout == "cdnet"
    assert sequence.region == folder / region
    assert [truth is not None for truth in sequence.truths] == [False, True, True, False]
    assert sequence.notes == ()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("input", "Input"),
        ("groundtruth", "GroundTruth"),
        ("ROI.bmp", "roi.bmp"),
        ("temporalROI.txt", "TemporalROI.txt"),
    ],
)
@pytest.mark.parametrize("layout", ["auto", "cdnet"])
def test_two_names_that_differ_in_case_only_are_an_error_that_names_both(tmp_path, first, second, layout):
    folder = write_cdnet(tmp_path / "a")
    for name in (first, second):
        if name.endswith(".bmp"):
            region_file(folder / name)
        elif name.endswith(".txt"):
            (folder / name).write_text("1 2")
        else:
            (folder / name).mkdir(exist_ok=True)
    with pytest.raises(SourceError, match=f"{second} and {first}|{first} and {second}"):
        find_sequences(tmp_path, layout)


@pytest.mark.parametrize("layout", ["folders", "limu"])
def test_two_truth_folders_of_one_name_are_an_error_in_every_layout(tmp_path, layout):
    frames = tmp_path / "a" if layout == "limu" else tmp_path / "a/frames"
    write_picture(frames / "f_1.png", 9)
    for name in ("gt", "GT"):
        write_mask(tmp_path / f"a/{name}/f_1.png")
    with pytest.raises(SourceError, match="GT and gt, which differ in case only"):
        find_sequences(tmp_path, layout)


@pytest.mark.parametrize("suffix", ["-gt", "_Gt", "-GT"])
@pytest.mark.parametrize("name", ["I_SI_01", "i_si_01"])
def test_lasiestas_pairs_are_known_in_any_case(tmp_path, suffix, name):
    write_picture(tmp_path / f"{name}/{name}_1.bmp", 9)
    write_mask(tmp_path / f"I_SI_01{suffix}/x_1.png")
    assert (only(tmp_path).layout, only(tmp_path).scored_count) == ("lasiesta", 1)


def test_wallflowers_and_limus_names_are_known_in_any_case(tmp_path):
    write_picture(tmp_path / "w/B00000.BMP", 1)
    write_picture(tmp_path / "w/b00001.bmp", 1)
    write_mask(tmp_path / "w/HAND_SEGMENTED_00001.bmp")
    write_picture(tmp_path / "l/F1.PNG", 1)
    write_mask(tmp_path / "l/Ground_Truth/g1.png")
    layouts = {
        sequence.name: (sequence.layout, len(sequence.inputs)) for sequence in find_sequences(tmp_path)
    }
    assert layouts == {"w": ("wallflower", 2), "l": ("limu", 1)}


def folders_sequence(root: Path) -> Path:
    write_picture(root / "Images/a.png", 1)
    write_mask(root / "Masks/a.png")
    return root


def limu_sequence(root: Path) -> Path:
    write_picture(root / "a1.png", 1)
    write_mask(root / "gt/a1.png")
    return root


def wallflower_sequence(root: Path) -> Path:
    write_picture(root / "b00000.bmp", 1)
    write_mask(root / "hand_segmented_00000.bmp")
    return root


def lasiesta_sequence(root: Path) -> Path:
    write_picture(root / "x/x_1.png", 1)
    write_mask(root / "x-GT/x_1.png")
    return root


@pytest.mark.parametrize(
    "write",
    [write_cdnet, folders_sequence, limu_sequence, wallflower_sequence, lasiesta_sequence],
)
@pytest.mark.parametrize("name", ["ROI_2.bmp", "my-roi.bmp", "temporal_ROI.csv", "Region.bmp", "roi.gif"])
def test_what_looks_like_a_region_or_range_and_is_not_used_is_named(tmp_path, write, name):
    region_file(write(tmp_path / "a") / name)
    (note,) = only(tmp_path).notes
    assert note.startswith(f"{name} in a/ looks like a region or a range of frames, and is not used")


@pytest.mark.parametrize("write", [folders_sequence, limu_sequence, wallflower_sequence, lasiesta_sequence])
def test_cdnets_own_files_are_named_where_a_layout_does_not_use_them(tmp_path, write):
    folder = write(tmp_path / "a")
    region_file(folder / "ROI.bmp")
    (folder / "temporalROI.txt").write_text("1 1")
    assert "ROI.bmp, temporalROI.txt in a/" in only(tmp_path).notes[0]


def test_words_that_only_contain_the_letters_are_no_regions(tmp_path):
    for name in ("android.txt", "heroic.png", "SOURCE.txt", "croissant.jpg", "readme"):
        (tmp_path / name).touch()
    assert unused_notes(tmp_path, ()) == ()


def test_another_folder_that_would_do_is_named(tmp_path):
    folders_sequence(tmp_path / "a")
    write_mask(tmp_path / "a/gt/a.png")
    sequence = only(tmp_path)
    assert sequence.truths[0] == tmp_path / "a/gt/a.png"
    assert sequence.notes == ("Masks/ is not used: gt/ is taken",)


def test_notes_are_told_where_no_table_shows_them(tmp_path, caplog):
    region_file(write_cdnet(tmp_path / "a") / "ROI2.bmp")
    with caplog.at_level(logging.WARNING):
        log_notes(find_sequences(tmp_path))
        split(DataOptions(root=tmp_path))
    assert caplog.text.count("a: ROI2.bmp in a/ looks like a region") == 2


def test_training_scores_what_the_names_in_any_case_say(tmp_path):
    folder = write_cdnet(tmp_path / "a")
    (folder / "TEMPORALroi.TXT").write_text("2 2")
    ((sequence,), _) = split(DataOptions(root=tmp_path))
    assert sequence.scored_count == 1


def test_copies_that_macos_makes_of_a_sequence_are_not_sequences(tmp_path):
    write_cdnet(tmp_path / "a")
    for name in ("input/._in000001.png", "groundtruth/._gt000001.png"):
        side = tmp_path / "__MACOSX/a" / name
        side.parent.mkdir(parents=True, exist_ok=True)
        side.write_bytes(b"\0\5\x16\7")
    (tmp_path / "a/input/._in000001.png").write_bytes(b"\0\5\x16\7")
    assert len(only(tmp_path).inputs) == 4


@pytest.mark.parametrize(
    "content",
    [
        b"1,250", b"1, 250", b"1;250", b"1\t250", b"1 250\r\n", b"\n1\n250\n\n", b"\xef\xbb\xbf1 250",
        b"0001 0250",
        "1 250\r\n".encode("utf-16"), b"\xfe\xff" + "1 250".encode("utf-16-be"), "1 250".encode("utf-32"),
    ],
)  # fmt: skip
def test_a_range_is_read_however_it_is_written(tmp_path, content):
    file = tmp_path / "temporalROI.txt"
    file.write_bytes(content)
    assert scored_range(file, range(1, 251)) == (1, 250)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "holds ''"),
        (b"300", "holds '300'"),
        (b"1 2 3", "holds '1 2 3'"),
        (b"1 2\n3 4\n", "holds '1 2 3 4'"),
        (b"300 1,099", "holds '300 1 099'"),
        (b"1.0 250", "holds '1.0 250'"),
        (b"-1 250", "holds '-1 250'"),
        ("٣ ٤".encode(), "must hold two frame numbers"),
        ("1 250".encode("utf-16-le"), "must hold two frame numbers"),
        (b"9" * 5000 + b" 1", "holds '999"),
        (b"250 1", "holds 250 1, the other way round"),
        (b"0 249", "counts from 0; the frames are numbered 1 to 250"),
    ],
)
def test_a_range_that_cannot_be_meant_is_refused(tmp_path, content, expected):
    file = tmp_path / "temporalROI.txt"
    file.write_bytes(content)
    with pytest.raises(SourceError, match=expected):
        scored_range(file, range(1, 251))


def test_a_sequence_that_counts_from_0_may_say_so(tmp_path):
    file = tmp_path / "temporalROI.txt"
    file.write_text("0 249")
    assert scored_range(file, range(250)) == (0, 249)
