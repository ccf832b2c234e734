import logging

import cv2
import numpy as np
import pytest
from fakes.video.scored import write_cdnet, write_mask, write_picture

from bench.scored import find_sequences
from bench.scored.cdnet import read_sequence
from edgebs.errors import SourceError


def test_a_photograph_called_roi_is_not_taken_for_a_mask(tmp_path, caplog):
    folder = write_cdnet(tmp_path / "a")
    write_picture(folder / "ROI.jpg", 90)
    with caplog.at_level(logging.WARNING):
        assert read_sequence(folder).region is None
    assert "ROI.jpg is no mask of two values" in caplog.text


def test_a_mask_stored_as_jpeg_is_a_region(tmp_path):
    folder = write_cdnet(tmp_path / "a")
    region = np.zeros((6, 8), np.uint8)
    region[:, :4] = 255
    cv2.imwrite(str(folder / "ROI.jpg"), region)
    assert read_sequence(folder).region == folder / "ROI.jpg"


def test_files_of_other_names_are_counted_in_the_refusal(tmp_path):
    write_picture(tmp_path / "a/input/1.png", 0)
    write_mask(tmp_path / "a/groundtruth/gt000001.png")
    with pytest.raises(
        SourceError, match="holds 0 input frames and 1 ground-truth pictures of CDnet's names"
    ):
        read_sequence(tmp_path / "a")


@pytest.mark.parametrize("text", ["3 to 4", "2", "²0 4"])
def test_auto_does_not_score_as_plain_folders_what_cdnets_names_say_is_cdnet(tmp_path, text):
    folder = write_cdnet(tmp_path / "a")
    (folder / "temporalROI.txt").write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match=r"temporalROI\.txt must hold two frame numbers"):
        find_sequences(tmp_path)


def test_auto_does_not_leave_out_a_region_that_cannot_be_read(tmp_path):
    folder = write_cdnet(tmp_path / "a")
    (folder / "ROI.bmp").write_bytes(b"nothing")
    with pytest.raises(SourceError, match=r"ROI\.bmp cannot be read"):
        find_sequences(tmp_path)


def test_without_a_temporal_range_frame_zero_is_scored_too(tmp_path):
    folder = write_cdnet(tmp_path / "a", frames=2)
    write_picture(folder / "input/in000000.png", 0)
    write_mask(folder / "groundtruth/gt000000.png")
    assert [truth.name for truth in read_sequence(folder).truths] == [
        "gt000000.png", "gt000001.png", "gt000002.png",
    ]  # fmt: skip


def test_a_refusal_does_not_blame_a_temporal_range_that_is_not_there(tmp_path):
    write_picture(tmp_path / "a/input/in000001.png", 0)
    write_mask(tmp_path / "a/groundtruth/gt000009.png")
    with pytest.raises(SourceError, match="frames 1 to 1, ground truth 9 to 9") as refused:
        read_sequence(tmp_path / "a")
    assert "temporalROI" not in str(refused.value)
