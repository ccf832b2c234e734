"""Resizing in, masks out, and what is said about frames of another shape."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgebs.errors import SourceError
from edgebs.image import check_frame, mask_from_probability, network_frame


def frame_of(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_shrinking_averages_areas():
    frame = frame_of(8, 12)
    expected = frame.reshape(4, 2, 6, 2, 3).mean(axis=(1, 3))
    assert np.abs(network_frame(frame, (4, 6)) - expected).max() <= 0.5


@pytest.mark.parametrize("shape", [(270, 480), (271, 480), (256, 1024)])
def test_frames_of_many_times_the_networks_size_are_averaged_as_well(shape):
    frame = cv2.GaussianBlur(frame_of(*shape), (0, 0), 2)
    small = network_frame(frame, (64, 64))
    expected = cv2.resize(frame.astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA)
    difference = np.abs(small - expected)
    assert difference.max() < 6
    assert difference.mean() < 0.6


def test_enlarging_interpolates_linearly():
    frame = frame_of(8, 12)
    expected = cv2.resize(frame, (24, 16), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(network_frame(frame, (16, 24)), expected)


def test_one_side_shrinking_and_one_growing_is_possible():
    assert network_frame(frame_of(8, 12), (4, 24)).shape == (4, 24, 3)


@pytest.mark.parametrize("size", [(8, 12), (4, 6), (16, 24)])
def test_the_network_frame_is_contiguous_and_survives_a_reused_camera_buffer(size):
    frame = frame_of(8, 12)
    result = network_frame(frame, size)
    before = result.copy()
    frame[:] = 0
    assert result.flags.c_contiguous
    assert np.array_equal(result, before)


def test_a_mirrored_view_is_resized_like_its_copy():
    view = frame_of(8, 12)[:, ::-1]
    assert np.array_equal(network_frame(view, (4, 6)), network_frame(view.copy(), (4, 6)))
    assert network_frame(view, (8, 12)).flags.c_contiguous


def test_the_mask_is_0_or_255_at_the_frames_own_size():
    probability = np.zeros((4, 4), np.float32)
    probability[:, 2:] = 1
    mask = mask_from_probability(probability, (8, 16), 0.5)
    assert mask.shape == (8, 16)
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}
    assert np.array_equal(mask[0], [0] * 8 + [255] * 8)


def test_the_mask_is_cut_strictly_above_the_threshold():
    probability = np.array([[0.2, 0.5, 0.51, np.nan]], np.float32)
    assert mask_from_probability(probability, (1, 4), 0.5).tolist() == [[0, 0, 255, 0]]


def test_a_good_frame_passes_unchanged():
    frame = frame_of(8, 12)
    assert check_frame(frame) is frame
    assert check_frame(frame, (8, 12)) is frame


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (np.zeros((8, 12), np.uint8), r"uint8 \(8, 12\).*COLOR_GRAY2BGR"),
        (np.zeros((8, 12, 1), np.uint8), "COLOR_GRAY2BGR"),
        (np.zeros((8, 12, 4), np.uint8), "COLOR_BGRA2BGR"),
        (np.zeros((8, 12, 3), np.float32), r"float32.*from 0 to 0.*value_range=\(0, 1\)"),
        (
            np.linspace(7000, 8500, 288).reshape(8, 12, 3).astype(np.uint16),
            r"uint16.*from 7000 to 8500.*value_range=\(6200, 9300\)",
        ),
        (np.zeros((1, 8, 12, 3), np.uint8), "one by one"),
        (np.zeros((3, 8, 12), np.uint8), "transpose"),
        (np.zeros((0, 12, 3), np.uint8), "empty"),
        (np.zeros((8, 12, 3), np.complex64), "Convert"),
        ([[1, 2, 3]], "list"),
        (None, "NoneType"),
    ],
)
def test_another_kind_of_frame_is_named_with_its_repair(frame, expected):
    with pytest.raises(SourceError, match=f"(?s)frame 7.*{expected}"):
        check_frame(frame, name="frame 7")


def test_a_frame_of_another_size_than_its_stream_is_refused():
    with pytest.raises(SourceError, match="8 high and 12 wide; the stream is 6 high and 12 wide"):
        check_frame(frame_of(8, 12), (6, 12))
