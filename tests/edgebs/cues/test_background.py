"""The median background and the shake of the camera, on pictures whose truth is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from fakes.video.views import SIZE, settings, texture, view

from edgebs.cues import open_cue
from edgebs.cues.background import SAMPLES, WINDOW_S, MedianBackground, sorting_network
from edgebs.cues.camera_shift import CameraShift, moved
from edgebs.cues.hop_background import HopBackground
from edgebs.errors import BundleError
from edgebs.tensors import Array, Frame


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, SAMPLES])
def test_the_network_sorts_every_row_of_zeros_and_ones(count: int) -> None:
    # A comparator network that sorts all 0-1 inputs sorts everything (Knuth, 5.3.4, theorem Z).
    rows = np.array(list(itertools.product((0, 1), repeat=count)), np.uint8).T.copy()
    for low, high in sorting_network(count):
        rows[low], rows[high] = np.minimum(rows[low], rows[high]), np.maximum(rows[low], rows[high])
    assert (np.diff(rows.astype(int), axis=0) >= 0).all()


@pytest.mark.parametrize("count", [1, 2, 5, 14, 15, 22])
def test_the_median_and_the_spread_are_those_of_the_last_samples(count: int) -> None:
    rng = np.random.default_rng(count)
    frames = rng.integers(0, 256, (count, 8, 9, 3)).astype(np.uint8)
    background = MedianBackground((8, 9))
    for t, frame in enumerate(frames):
        background.add(frame, float(t))
    kept = np.sort(frames[-SAMPLES:], axis=0)
    assert (background.median == kept[(len(kept) - 1) // 2]).all()
    if count >= SAMPLES:
        assert (background.spread == (kept[11] - kept[3]).max(axis=2)).all()


def test_samples_follow_each_other_closely_at_first_and_spread_over_the_window_later() -> None:
    background = MedianBackground((8, 8))
    frame, taken = np.zeros((8, 8, 3), np.uint8), []
    for t in range(25 * 400):
        if background.is_due(t / 25):
            background.add(frame, t / 25)
            taken.append(t / 25)
    assert taken[:10] == [t / 25 for t in range(10)]
    steps = np.diff(taken)
    assert (np.diff(steps) > -0.041).all()
    assert steps.max() <= WINDOW_S / SAMPLES + 0.041
    # The samples held at the end reach back nearly as far as the window.
    assert taken[-1] - taken[-SAMPLES] > 0.9 * WINDOW_S * (SAMPLES - 1) / SAMPLES


def watched(seconds: float, picture_at: Callable[[float], Frame]) -> MedianBackground:
    background = MedianBackground((8, 8))
    for t in range(int(25 * seconds)):
        if background.is_due(t / 25):
            background.add(picture_at(t / 25), t / 25)
    return background


def grey(level: float) -> Frame:
    return np.full((8, 8, 3), level, np.uint8)


@pytest.mark.parametrize("seconds", [20.0, 70.0, 150.0])
def test_who_came_after_a_quarter_of_the_watch_and_stayed_is_missing_in_the_older_background_alone(
    seconds: float,
) -> None:
    background = watched(seconds, lambda now: grey(200 if now > 0.3 * seconds else 100))
    assert background.median[0, 0, 0] == 200
    assert background.older[0, 0, 0] == 100


def test_the_older_background_lags_by_minutes_and_not_by_more() -> None:
    background = watched(900.0, lambda now: grey(now / 4))
    lag_s = [900 - 4.0 * picture[0, 0, 0] for picture in (background.median, background.older)]
    assert lag_s[0] == pytest.approx(WINDOW_S / 2, abs=15)
    assert WINDOW_S + 40 < lag_s[1] < 2 * WINDOW_S


def test_a_young_scene_has_one_background() -> None:
    background = watched(SAMPLES / 25, lambda now: grey(10 + 100 * now))
    assert (background.older == background.median).all()
    background.add(grey(0), 10.0)
    assert background.older[0, 0, 0] == 10
    background.clear()
    background.add(grey(77), 11.0)
    assert (background.older == 77).all()


def test_an_object_stays_out_of_the_background_for_half_of_the_window() -> None:
    background = MedianBackground((16, 16))
    empty, parked = np.full((16, 16, 3), 100, np.uint8), np.full((16, 16, 3), 100, np.uint8)
    parked[4:9, 4:9] = 200
    absorbed_after = None
    start = 2 * WINDOW_S
    for t in range(0, int(25 * (start + WINDOW_S)), 5):
        seconds = t / 25
        if background.is_due(seconds):
            background.add(parked if seconds >= start else empty, seconds)
        if seconds >= start and absorbed_after is None and background.median[6, 6, 0] == 200:
            absorbed_after = seconds - start
    assert absorbed_after is not None
    assert 0.4 * WINDOW_S < absorbed_after < 0.65 * WINDOW_S


@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.0, -1.0), (-0.6, 0.4), (5.5, 3.25)])
def test_the_shake_of_the_camera_is_found(shift: tuple[float, float]) -> None:
    picture = texture()
    camera = CameraShift()
    camera.look_at(view(picture, 0, 0))
    shifted = view(picture, *shift)
    shifted[40:80, 50:90] = 30  # something large that moves otherwise
    found = camera.of(cv2.cvtColor(shifted, cv2.COLOR_BGR2GRAY))
    assert found == pytest.approx(shift, abs=0.25)


def test_a_wall_without_texture_tells_no_shake() -> None:
    camera = CameraShift()
    camera.look_at(np.full((*SIZE, 3), 90, np.uint8))
    assert camera.of(np.full(SIZE, 120, np.uint8)) == (0.0, 0.0)


def test_a_moved_picture_leaves_the_rest_as_it_was() -> None:
    picture, below = texture(1, (20, 30)), np.zeros((20, 30, 3), np.uint8)
    result = moved(picture, (3.0, 2.0), below)
    assert (result[2:, 3:] == picture[:-2, :-3]).all()
    assert (result[:2] == 0).all()
    assert (result[:, :3] == 0).all()
    assert moved(picture, (0.0, 0.0)) is picture


def scene(t: int, shake: tuple[float, float] = (0.0, 0.0)) -> Frame:
    """A block of 24 pixels that walks 1 pixel a frame."""
    picture = view(texture(), *shake)
    left = 10 + t + round(shake[0])
    picture[50 : 50 + 24, left : left + 24] = view(texture(7), 0, 0)[:24, :24]
    return picture


def cues(frames: list[Frame]) -> Array:
    cue = open_cue(settings(), SIZE, None)
    for t, frame in enumerate(frames):
        output = cue.update(frame, t / 25)
    assert not output.warming_up
    assert cue.description.startswith("OpenCV")
    return output.tensors["cue"].copy()


def test_the_cue_holds_flow_background_spread_and_age() -> None:
    frames = [scene(t) for t in range(60)]
    cue = cues(frames)
    assert cue.shape == (1, 11, *SIZE)
    block = cue[0, :, 55:69, 75:87]
    assert np.median(block[0]) == pytest.approx(1.0, abs=0.3)
    assert np.median(block[1]) == pytest.approx(5.0, abs=1.0)
    assert np.median(cue[0, :3, 100:, :]) < 0.05
    clean = view(texture(), 0, 0)
    assert np.abs(cue[0, 3:6].transpose(1, 2, 0) - clean)[:, 100:].max() == 0
    assert np.ptp(cue[0, 7]) == 0
    assert 0 < cue[0, 7, 0, 0] < 255
    assert np.abs(cue[0, 8:11].transpose(1, 2, 0) - clean)[:, 100:].max() == 0


def test_a_shaking_camera_gives_the_same_cue_as_a_still_one_where_nothing_moves() -> None:
    rng = np.random.default_rng(3)
    shakes = rng.integers(-3, 4, (60, 2)).tolist()
    cue = cues([scene(t, (float(x), float(y))) for t, (x, y) in enumerate(shakes)])
    still = (slice(90, 120), slice(20, 140))
    assert np.median(cue[0, 2][still]) < 0.2
    now = scene(59, (float(shakes[59][0]), float(shakes[59][1]))).astype(np.float32)
    difference = np.abs(cue[0, 3:6].transpose(1, 2, 0) - now)[still]
    assert np.median(difference) < 3


def test_a_scene_starts_again_after_a_reset_a_jump_in_time_and_a_turn_of_the_camera() -> None:
    cue = open_cue(settings(), SIZE, None)
    first = view(texture(0), 0, 0)
    for t in range(30):
        cue.update(first, t / 25)
    other = view(texture(5), 0, 0)
    cue.reset()
    assert (cue.update(other, 20.0).tensors["cue"][0, 3:6].transpose(1, 2, 0) == other).all()
    output = cue.update(first, 1.0)
    assert output.warming_up
    assert (output.tensors["cue"][0, 3:6].transpose(1, 2, 0) == first).all()
    assert output.tensors["cue"][0, 7].max() == 0
    cue.close()
    cue.close()


def test_a_pan_leaves_no_motion_behind_when_the_background_starts_again() -> None:
    cue = open_cue(settings(), SIZE, None)
    picture = texture(size=(256, 640))
    for t in range(45):
        output = cue.update(view(picture, -1.0 * t, 0), t / 25)
        if t > 10:
            still = output.tensors["cue"][0, :3, 20:-20, 30:-30]
            assert np.median(still, axis=(1, 2)).max() < 0.5, t


def test_a_clock_that_is_set_back_a_little_forgets_no_background() -> None:
    cue = open_cue(settings(), SIZE, None)
    first = view(texture(0), 0, 0)
    for t in range(100):
        before = cue.update(first, t / 25).tensors["cue"][0, 7, 0, 0]
    assert cue.update(first, 98.9 / 25).tensors["cue"][0, 7, 0, 0] == before


def test_a_pause_is_not_time_in_which_anybody_watched() -> None:
    cue = open_cue(settings(), SIZE, None)
    first = view(texture(0), 0, 0)
    for t in range(12):
        cue.update(first, t / 25)
    after = cue.update(first, 600.0).tensors["cue"][0, 7, 0, 0]
    assert after < 255 * np.log1p(25 * 13) / np.log1p(25 * WINDOW_S)


def test_remembered_frames_count_as_seen() -> None:
    seen, remembered = open_cue(settings(), SIZE, None), open_cue(settings(), SIZE, None)
    for t in range(20):
        seen.update(scene(t), None)
        remembered.remember(scene(t), None)
    expected, found = (cue.update(scene(20), None).tensors["cue"] for cue in (seen, remembered))
    assert (expected == found).all()


def test_an_unknown_preset_or_kind_is_named() -> None:
    with pytest.raises(BundleError, match="preset 'quick'"):
        open_cue(settings(preset="quick"), SIZE, None)
    with pytest.raises(BundleError, match="kind 'smell'"):
        open_cue(settings(kind="smell"), SIZE, None)


def last_cue(cue: HopBackground, frames: list[Frame]) -> Array:
    """Planes behind the flow, after these frames."""
    for picture in frames:
        output = cue.update(picture, None)
    return output.tensors["cue"][0, 3:].copy()


def test_a_background_that_was_saved_goes_on_where_it_was() -> None:
    frames = [scene(t % 120) for t in range(150)]
    watched, restored = HopBackground(settings(), SIZE), HopBackground(settings(), SIZE)
    last_cue(watched, frames[:100])
    saved = watched.background()
    assert len(saved["samples"]) == SAMPLES
    assert len(saved["older"]) > 0
    restored.restore(saved)
    for count in (101, 150):
        assert np.array_equal(last_cue(restored, frames[100:count]), last_cue(watched, frames[100:count]))


def test_a_frozen_background_and_its_age_stay_also_after_a_reset() -> None:
    cue = HopBackground(settings(), SIZE)
    before = last_cue(cue, [scene(t) for t in range(40)])
    cue.freeze(True)
    cue.reset()
    assert np.array_equal(last_cue(cue, [scene(39)])[:4], before[:4])
    other = [np.full((*SIZE, 3), 200, np.uint8)] * 40
    assert np.array_equal(last_cue(cue, other)[:3], before[:3])
    cue.freeze(False)
    cue.reset()
    assert (last_cue(cue, other[:3])[:3] == 200).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": np.zeros((2, 4, 4, 3), np.uint8)},
        {"times_s": np.zeros(1)},
        {"watch_s": np.array([0.0, np.nan])},
        {"now_s": np.array(np.inf)},
        {"now_s": np.array(np.nan)},
        {"now_s": np.array(-1.0)},  # before its own samples
    ],
)
def test_arrays_that_cannot_be_a_background_are_refused_and_change_nothing(changes: dict[str, Array]) -> None:
    cue = HopBackground(settings(), SIZE)
    last_cue(cue, [scene(t) for t in range(20)])
    before = cue.background()
    with pytest.raises(ValueError, match=r"samples|seen for"):
        cue.restore({**before, **changes})
    assert all(np.array_equal(array, before[name]) for name, array in cue.background().items())
