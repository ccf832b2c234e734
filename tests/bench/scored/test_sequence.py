import cv2
import numpy as np
import pytest
from fakes.video.scored import write_cdnet, write_mask, write_picture

from bench.scored import find_sequences, scored_frames
from bench.scored.sequence import binary_labels, cdnet_labels, numbering_notes, paired, pictures_by_number
from edgebs.errors import SourceError


def test_a_label_outside_the_convention_is_named_with_file_value_and_count(tmp_path):
    path = write_mask(tmp_path / "gt000001.png", rows=2, value=254)
    with pytest.raises(
        SourceError, match=r"gt000001\.png: 16 pixels hold values outside.*254 \(16 pixels of 254"
    ):
        cdnet_labels(path)
    with pytest.raises(SourceError, match=r"0 background, 255 foreground"):
        binary_labels(path)


def test_labels_keep_their_meaning(tmp_path):
    path = tmp_path / "gt.png"
    cv2.imwrite(str(path), np.array([[0, 50, 85, 170, 255]], np.uint8))
    assert cdnet_labels(path).tolist() == [[0, 50, 85, 170, 255]]


def test_a_region_of_interest_without_a_pixel_is_refused_by_name(tmp_path):
    folder = write_cdnet(tmp_path / "a")
    cv2.imwrite(str(folder / "ROI.bmp"), np.zeros((6, 8), np.uint8))
    (sequence,) = find_sequences(tmp_path)
    with pytest.raises(SourceError, match=r"ROI\.bmp has no pixel above 127.*empty"):
        next(scored_frames(sequence))


def test_a_frame_of_another_size_is_named(tmp_path):
    folder = write_cdnet(tmp_path / "a", frames=2)
    write_picture(folder / "input/in000002.png", 9, (12, 8))
    (sequence,) = find_sequences(tmp_path)
    with pytest.raises(SourceError, match=r"in000002\.png is \(12, 8\), the frames before it \(6, 8\)"):
        list(scored_frames(sequence))


def test_an_unreadable_frame_is_named(tmp_path):
    folder = write_cdnet(tmp_path / "a", frames=2)
    (folder / "input/in000002.png").write_bytes(b"nothing")
    (sequence,) = find_sequences(tmp_path)
    with pytest.raises(SourceError, match=r"in000002\.png cannot be read as a picture"):
        list(scored_frames(sequence))


def test_pictures_are_numbered_by_the_last_number_and_other_files_left_out(tmp_path):
    for name in ("cam2_10.png", "cam2_9.png", "._cam2_1.png"):
        write_picture(tmp_path / name, 0)
    (tmp_path / "Thumbs.db").write_text("")
    assert [path.name for path in pictures_by_number(tmp_path).values()] == ["cam2_9.png", "cam2_10.png"]


def test_two_pictures_of_one_number_are_named(tmp_path):
    write_picture(tmp_path / "a_1.png", 0)
    write_picture(tmp_path / "b_01.png", 0)
    with pytest.raises(SourceError, match=r"a_1\.png and b_01\.png are both number 1"):
        pictures_by_number(tmp_path)


def test_frames_without_ground_truth_are_run_unscored_and_none_at_all_is_an_error(tmp_path):
    frames = {1: tmp_path / "1.png", 2: tmp_path / "2.png"}
    assert paired(frames, {2: tmp_path / "gt2.png"}, tmp_path) == (None, tmp_path / "gt2.png")
    with pytest.raises(SourceError, match=r"frames 1 to 2, ground truth 7 to 7"):
        paired(frames, {7: tmp_path / "gt7.png"}, tmp_path)


def test_odd_numbering_is_told(tmp_path):
    def numbered(*numbers):
        return dict.fromkeys(numbers, tmp_path)

    assert numbering_notes(numbered(1, 2, 3), numbered(3)) == ()
    (gap,) = numbering_notes(numbered(1, 2, 7, 8), numbered(2))
    assert gap == "1 gaps in the frame numbers, the first from 2 to 7"
    every, missing = numbering_notes(numbered(5, 10, 15), numbered(5, 6))
    assert every.startswith("every 5th frame only")
    assert missing == "1 ground-truth pictures have no frame and are not scored"
