import shutil

import cv2
import numpy as np
import pytest
from fakes.networks.backends import FakeCue, FakeSegment, fake_manifest

from edgebs.bundle import rewrite_manifest
from edgebs.bundle.manifest import CleanupSettings, Manifest
from edgebs.image import clean
from edgebs.loading import load, load_bundle
from edgebs.pipeline import Pipeline


def mask_of(*rows):
    """One character a pixel: # is foreground."""
    return np.array([[255 if pixel == "#" else 0 for pixel in row] for row in rows], np.uint8)


def text_of(mask):
    return ["".join("#" if pixel else "." for pixel in row) for row in mask]


def cleaned(*rows, speck_px=0, hole_px=0):
    return text_of(clean(mask_of(*rows), CleanupSettings(speck_px=speck_px, hole_px=hole_px)))


def test_foreground_of_fewer_pixels_goes_and_of_as_many_stays():
    rows = ("##....", "......", "...###", "......")
    assert cleaned(*rows, speck_px=3) == ["......", "......", "...###", "......"]
    assert cleaned(*rows, speck_px=4) == ["......"] * 4


def test_foreground_that_touches_by_a_corner_is_one_region():
    rows = ("#....", ".#...", "..#..", ".....")
    assert cleaned(*rows, speck_px=3) == list(rows)


def test_a_hole_of_fewer_pixels_is_filled_and_of_as_many_stays():
    rows = (".......", ".#####.", ".#.#.#.", ".#.###.", ".#####.", ".......")
    assert cleaned(*rows, hole_px=2) == [
        ".......",
        ".#####.",
        ".#.###.",
        ".#.###.",
        ".#####.",
        ".......",
    ]


def test_holes_that_touch_by_a_corner_are_two():
    rows = ("####", "#.##", "##.#", "####")
    assert cleaned(*rows, hole_px=2) == ["####"] * 4


def test_a_speck_inside_a_hole_does_not_keep_it_open():
    rows = ("#####", "#...#", "#.#.#", "#...#", "#####")
    assert cleaned(*rows, speck_px=2, hole_px=10) == ["#####"] * 5


def test_regions_at_the_border_count_like_others():
    assert cleaned("#...", "....", "..##", "..##", speck_px=2) == ["....", "....", "..##", "..##"]
    # The corner is background of one pixel, cut off by foreground.
    assert cleaned(".###", "####", "####", hole_px=2) == ["####"] * 3


def test_background_beyond_the_foregrounds_box_belongs_to_what_is_seen_of_it():
    # Left of the bar lie 2 columns of 4: 8 pixels, though the box around the foreground shows none of them.
    rows = ("..#.....", "..#.....", "..#.....", "..#.....")
    assert cleaned(*rows, hole_px=8) == list(rows)
    assert cleaned(*rows, hole_px=9) == ["###....."] * 4


@pytest.mark.parametrize("rows", [("....", "...."), ("####", "####")])
def test_an_empty_and_a_full_mask_stay(rows):
    assert cleaned(*rows, speck_px=5, hole_px=5) == list(rows)


def by_definition(mask, speck_px, hole_px):
    for connectivity, limit, value in ((8, speck_px, 0), (4, hole_px, 255)):
        if not mask.any():
            break
        regions = mask if value == 0 else 255 - mask
        _, labels = cv2.connectedComponents(regions, connectivity=connectivity)
        for number in range(1, labels.max() + 1):
            if np.count_nonzero(labels == number) < limit:
                mask[labels == number] = value
    return mask


def test_random_masks_agree_with_the_definition():
    rng = np.random.default_rng(7)
    for _ in range(200):
        size = rng.integers(1, 30, 2)
        mask = (rng.random(size) < rng.choice([0.05, 0.3, 0.6, 0.95])).astype(np.uint8) * np.uint8(255)
        if rng.random() < 0.5:
            top, left = rng.integers(0, size)
            box = slice(top, top + 6), slice(left, left + 6)
            boxed = np.zeros_like(mask)
            boxed[box] = mask[box]
            mask = boxed
        speck_px, hole_px = (int(limit) for limit in rng.choice([0, 2, 5, 40], 2))
        found = clean(mask.copy(), CleanupSettings(speck_px=speck_px, hole_px=hole_px))
        assert text_of(found) == text_of(by_definition(mask.copy(), speck_px, hole_px))


def test_more_regions_than_sixteen_bits_are_counted():
    mask = np.zeros((520, 520), np.uint8)
    mask[::2, ::2] = 255
    assert not clean(mask, CleanupSettings(speck_px=2)).any()


def test_negative_sizes_are_refused():
    with pytest.raises(ValueError, match="at least 0, got -1, 0"):
        CleanupSettings(speck_px=-1)


def test_a_manifest_of_before_clean_up_has_it_off():
    data = fake_manifest().to_json()
    del data["cleanup"]
    assert not Manifest.from_json(data, "here").cleanup.is_on
    kept = fake_manifest(cleanup=CleanupSettings(speck_px=9, hole_px=4))
    assert Manifest.from_json(kept.to_json(), "here") == kept


def test_the_pipeline_cleans_at_camera_size_where_the_manifest_says_so():
    # One network pixel of foreground is 2x2 camera pixels; interpolation makes it 4 above the threshold.
    frame = np.zeros((16, 32, 3), np.uint8)
    frame[4:6, 8:10] = 255
    shares = {}
    for speck_px in (0, 4, 20):
        manifest = fake_manifest(cleanup=CleanupSettings(speck_px=speck_px))
        with Pipeline(manifest, FakeSegment(), FakeCue()) as pipeline:
            shares[speck_px] = int(np.count_nonzero(pipeline.process(frame).mask))
    assert shares == {0: shares[0], 4: shares[0], 20: 0}
    assert shares[0] >= 4


def test_a_bundles_clean_up_is_switched_off_at_load(tiny_bundle, tmp_path):
    copy = shutil.copytree(tiny_bundle.path, tmp_path / "bundle")
    rewrite_manifest(load_bundle(copy), cleanup=CleanupSettings(speck_px=10**6))
    frame = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    with load(copy, threshold=0.0) as pipeline:
        assert not pipeline.process(frame).mask.any()
    with load(copy, threshold=0.0, cleanup=False) as pipeline:
        assert pipeline.process(frame).mask.all()
