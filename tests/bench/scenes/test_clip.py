"""The street of demo, parity and tests: the same bytes, true masks, and a scale that holds together."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.scenes.bank import PictureBank
from bench.scenes.clip import Clip, ClipOptions, clip_video
from bench.scenes.mix import STREET
from bench.scenes.motion import FOREVER
from bench.scenes.scene import Scene
from bench.scenes.street import BRAKE, queued, random_avenue
from edgebs.errors import SinkError


def small(**changes: object) -> Clip:
    return Clip(ClipOptions(**{"size": (96, 128), "frames": 200, **changes}))


def test_the_same_options_give_the_same_bytes_in_any_order_and_another_seed_does_not() -> None:
    first = small(frames=3)
    frames = list(first)
    again = small(frames=3)
    for index in (2, 0):
        assert np.array_equal(frames[index].image, again.frame(index).image)
        assert np.array_equal(frames[index].mask, again.frame(index).mask)
    assert not np.array_equal(frames[0].image, small(frames=3, seed=1).frame(0).image)
    assert [(frame.index, frame.captured_s) for frame in frames] == [(0, 0.0), (1, 0.04), (2, 0.08)]
    assert frames[0].image.shape == (96, 128, 3)
    assert set(np.unique(frames[0].mask)) <= {0, 255}


@pytest.mark.parametrize("seed", range(4))
def test_masks_lie_where_the_frame_differs_from_the_empty_street(seed: int) -> None:
    scene = Scene((seed, 0xC11B), (180, 320), PictureBank(None), STREET)
    seen = scene.frame(3.0)
    differs = np.abs(seen.image.astype(int) - seen.background).max(axis=2) > 30
    assert (seen.labels == 255).any()
    assert differs[seen.labels == 255].mean() > 0.7
    assert differs[seen.labels == 0].mean() < 0.02


@pytest.mark.parametrize("seed", range(6))
def test_people_and_cars_move_in_every_clip(seed: int) -> None:
    clip = small(seed=seed)
    shares = [np.mean(clip.frame(t).mask > 0) for t in range(0, 200, 20)]
    assert max(shares) > 0.005
    assert not all(np.array_equal(clip.frame(t).mask, clip.frame(t + 20).mask) for t in range(0, 160, 20))


def test_things_of_the_street_are_as_large_as_the_ground_says() -> None:
    rng = np.random.default_rng(3)
    avenue = random_avenue(rng, PictureBank(None), (180, 320), 2)
    for mover in avenue.cast(rng):
        assert mover.metre == pytest.approx(avenue.plate.view.metre(mover.place[1]))
    still = [mover for mover in avenue.cast(rng) if mover.foreground_from == FOREVER]
    assert len(still) >= 5


def test_a_car_brakes_stands_and_drives_on() -> None:
    table = queued(8.0, 2.0, 5.0)
    assert table.at(1.0 - 8.0 / BRAKE)[1] == pytest.approx(8.0)
    assert table.at(3.0) == (0.0, 0.0)
    assert table.at(5.5)[0] == pytest.approx(BRAKE * 0.25 / 2, abs=0.1)
    assert table.at(30.0)[1] == pytest.approx(8.0)
    assert list(table.times) == sorted(set(table.times))


def test_a_frame_outside_the_clip_is_an_index_error() -> None:
    clip = small(frames=4)
    assert len(clip) == 4
    for index in (-1, 4):
        with pytest.raises(IndexError, match=rf"frame {index} is outside the clip: it has frames 0 to 3"):
            clip.frame(index)


@pytest.mark.parametrize(
    ("name", "value"), [("size", (31, 64)), ("frames", 0), ("fps", 0.0), ("seed", -1), ("frames", 1651)]
)
def test_an_option_out_of_range_is_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"option {name}|has at most 66 s, got 1651 frames at 25"):
        ClipOptions(**{name: value})


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_clip_is_written_as_video(tmp_path: Path, suffix: str) -> None:
    done: list[tuple[int, int]] = []
    options = ClipOptions(size=(96, 128), frames=3, fps=10)
    video = clip_video(options, tmp_path / f"a{suffix}", progress=lambda *count: done.append(count))
    capture = cv2.VideoCapture(str(video))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    for frame in Clip(options):
        good, image = capture.read()
        assert good
        assert np.abs(image.astype(int) - frame.image).mean() < 12
    assert not capture.read()[0]
    capture.release()
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert [file.name for file in tmp_path.iterdir()] == [video.name]


def test_a_video_that_cannot_be_written_is_a_sink_error(tmp_path: Path) -> None:
    options = ClipOptions(size=(32, 32), frames=1)
    with pytest.raises(SinkError, match=r"\.mp4 or \.avi"):
        clip_video(options, tmp_path / "a.mkv")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SinkError):
        clip_video(options, tmp_path / "file" / "a.mp4")
