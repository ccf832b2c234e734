import logging

import cv2
import numpy as np
import pytest
from scored_toys import write_cdnet, write_mask, write_picture

from bench.scored_cdnet import read_sequence
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
