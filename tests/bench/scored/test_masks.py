"""What every kind of mask file means, and which cannot be known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.video.picture_bytes import png, png16
from fakes.video.scored import write_cdnet, write_picture

from bench.scored import Counts, find_sequences, scored_frames
from bench.scored.lasiesta import colour_labels
from bench.scored.masks import mask_values, region_values
from bench.scored.sequence import binary_labels, cdnet_labels
from edgebs.errors import SourceError

MASK = np.zeros((6, 8), np.uint8)
MASK[1:3, 2:6] = 255
WHITE, BLACK = np.full((6, 8, 3), 255, np.uint8), np.zeros((6, 8, 3), np.uint8)
GREY3 = np.stack([MASK] * 3, -1)
RED = GREY3 * np.array([0, 0, 1], np.uint8)


def with_alpha(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([colour, alpha])


def palette(colours: bytes, transparent: bytes = b"") -> bytes:
    rows = [bytes(row) for row in MASK // 255]
    chunks = [(b"PLTE", colours), *([(b"tRNS", transparent)] if transparent else [])]
    return png(rows, 8, colour_type=3, chunks=chunks)


def written(path: Path, content: np.ndarray | bytes) -> Path:
    if not isinstance(content, bytes):
        content = bytes(cv2.imencode(path.suffix, content)[1])
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(MASK, id="grey"),
        pytest.param(GREY3, id="three equal channels"),
        pytest.param(MASK // 255, id="0 and 1"),
        pytest.param(MASK.astype(np.uint16) * 257, id="16 bits"),
        pytest.param(MASK.astype(np.uint16), id="0 and 255 in 16 bits"),
        pytest.param(MASK.astype(np.uint16) // 255, id="0 and 1 in 16 bits"),
        pytest.param(RED, id="black and red"),
        pytest.param(with_alpha(WHITE, MASK), id="white, mask in alpha"),
        pytest.param(with_alpha(BLACK, MASK), id="black, mask in alpha"),
        pytest.param(with_alpha(WHITE, MASK // 255), id="white, 0 and 1 in alpha"),
        pytest.param(with_alpha(GREY3, MASK), id="mask in grey and alpha"),
        pytest.param(with_alpha(GREY3, np.full_like(MASK, 255)), id="opaque"),
        pytest.param(
            with_alpha(np.arange(144, dtype=np.uint8).reshape(6, 8, 3), MASK),
            id="photograph cut out by alpha",
        ),
        pytest.param(palette(bytes([0, 0, 0, 255, 255, 255])), id="palette"),
        pytest.param(palette(bytes([0, 0, 0, 128, 0, 0])), id="palette of black and one colour"),
        pytest.param(palette(bytes([255] * 6), bytes([0, 255])), id="palette with a transparent colour"),
        pytest.param(png([bytes([row]) for row in (0, 60, 60, 0, 0, 0)], 8, depth=1), id="1 bit"),
        pytest.param(
            png([np.stack([row * 0 + 255, row], -1).tobytes() for row in MASK], 8, colour_type=4),
            id="grey, mask in alpha",
        ),
    ],
)
def test_a_mask_means_the_same_however_it_is_stored(tmp_path, content):
    path = written(tmp_path / "gt.png", content)
    assert np.array_equal(mask_values(path), MASK)
    assert np.array_equal(cdnet_labels(path), MASK)
    assert np.array_equal(binary_labels(path), MASK)


@pytest.mark.parametrize(
    ("name", "stored"),
    [("gt.tif", MASK.astype(np.float32) / 255), ("gt.tiff", MASK.astype(np.uint16) * 257), ("gt.bmp", MASK)],
)
def test_tiff_and_bmp_masks_too(tmp_path, name, stored):
    assert np.array_equal(mask_values(written(tmp_path / name, stored)), MASK)


def test_a_frame_without_an_object_is_background_in_every_kind(tmp_path):
    nothing = np.zeros_like(MASK)
    for number, content in enumerate((nothing, with_alpha(WHITE, nothing), nothing.astype(np.uint16), BLACK)):
        assert not mask_values(written(tmp_path / f"{number}.png", content)).any()


def test_cdnets_labels_keep_their_meaning_in_16_bits_and_in_alpha(tmp_path):
    labels = np.array([[0, 50, 85, 170, 255]], np.uint8)
    sixteen = written(tmp_path / "a.png", png16(labels.astype(np.uint16) * 257))
    assert cdnet_labels(sixteen).tolist() == labels.tolist()
    alpha = written(tmp_path / "b.png", with_alpha(np.full((1, 5, 3), 9, np.uint8), labels))
    assert cdnet_labels(alpha).tolist() == labels.tolist()


OTHER = np.roll(MASK, 1, 1)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(with_alpha(GREY3, OTHER), "another one in its alpha channel", id="two masks"),
        pytest.param(
            np.where(np.arange(8)[None, :, None] < 3, RED, RED[..., ::-1]),
            r"3 colours.*#000000 .*#0000ff|#ff0000",
            id="red and blue",
        ),
        pytest.param(MASK.astype(np.uint16) * 5, "uint16 values from 0 to 1275", id="16 bits, unknown scale"),
        pytest.param(MASK // 255 * 2, "values outside the convention: 2", id="0 and 2"),
        pytest.param(MASK // 2, "values outside the convention: 127", id="0 and 127"),
        pytest.param(
            np.where(MASK > 0, 255, 1).astype(np.uint8), "outside the convention: 1 ", id="1 and 255"
        ),
    ],
)
def test_what_cannot_be_known_is_refused_with_its_repair(tmp_path, content, expected):
    path = written(tmp_path / "gt.png", content)
    with pytest.raises(SourceError, match=f"(?s)gt.png.*({expected}).*(Store|Replace)"):
        binary_labels(path)


def test_a_mask_with_the_noise_of_jpeg_is_refused(tmp_path):
    noisy = cv2.GaussianBlur(cv2.resize(MASK, (64, 48)), (0, 0), 2)
    with pytest.raises(SourceError, match=r"outside the convention.*without loss"):
        binary_labels(written(tmp_path / "gt.jpg", noisy))


def test_a_damaged_mask_is_an_error(tmp_path):
    content = bytes(cv2.imencode(".png", MASK)[1])
    with pytest.raises(SourceError, match=r"gt\.png cannot be read as a picture: it is cut off"):
        binary_labels(written(tmp_path / "gt.png", content[:-20]))


def test_lasiestas_colours_are_read_from_palettes_and_grey_pictures(tmp_path):
    red = written(tmp_path / "gt.png", palette(bytes([0, 0, 0, 255, 0, 0])))
    assert np.array_equal(colour_labels(red), MASK)
    assert np.array_equal(colour_labels(written(tmp_path / "grey.png", MASK)), MASK)
    assert np.array_equal(colour_labels(written(tmp_path / "a.png", with_alpha(WHITE, MASK))), MASK)


@pytest.mark.parametrize(
    "content", [MASK, MASK // 255, MASK.astype(np.uint16) * 257, with_alpha(WHITE, MASK)]
)
def test_a_region_is_the_same_however_it_is_stored(tmp_path, content):
    assert np.array_equal(region_values(written(tmp_path / "ROI.png", content)), MASK)


def test_ground_truth_in_an_alpha_channel_is_scored_as_what_it_shows(tmp_path):
    folder = write_cdnet(tmp_path / "a", frames=1)
    written(folder / "groundtruth/gt000001.png", with_alpha(WHITE, MASK))
    ((_, truth, valid),) = scored_frames(*find_sequences(tmp_path))
    counts = Counts()
    counts.add(MASK, truth, valid)
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (8, 0, 0, 40)


def test_16_bit_frames_of_a_sequence_follow_the_range_of_all_frames(tmp_path):
    folder = write_cdnet(tmp_path / "a", frames=2)
    counts = np.linspace(7000, 8000, 48).reshape(6, 8).astype(np.uint16)
    for number in (1, 2):
        written(folder / f"input/in{number:06d}.png", png16(counts + 400 * (number - 1)))
    with pytest.raises(SourceError, match=r"in000001\.png holds uint16 values from 7000 to 8000.*--range"):
        list(scored_frames(*find_sequences(tmp_path)))
    (sequence,) = find_sequences(tmp_path, value_range=(7000, 8500))
    second = list(scored_frames(sequence))[1][0]
    assert np.array_equal(
        second[..., 0], np.rint((counts + 400.0).clip(7000, 8500) * 255 / 1500 - 7000 * 255 / 1500)
    )


def test_a_frame_that_is_damaged_is_an_error_in_a_scored_sequence(tmp_path):
    folder = write_cdnet(tmp_path / "a", frames=3)
    (folder / "input/in000002.png").write_bytes(write_picture(tmp_path / "x.png", 3).read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"in000002\.png cannot be read as a picture: it is cut off"):
        list(scored_frames(*find_sequences(tmp_path)))
