"""The rendered street is deterministic, its masks and its flow are exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.scenes.street.motion import Path as Route
from bench.scenes.street.motion import stop_and_go
from bench.scenes.street.street import SceneOptions, StreetScene, scene_video
from edgebs.errors import SinkError
from edgebs.tensors import Array

CLEAN = {"noise": 0.0, "light_change": 0.0, "shadows": 0.0}
STILL = {"jitter_px": 0.0, "wind": 0.0}
CROSS = np.ones((3, 3), np.uint8)


def small(**changes: object) -> StreetScene:
    """A scene of 96x128 pixels."""
    return StreetScene(SceneOptions(**{"size": (96, 128), "frames": 400, **changes}))


@pytest.fixture(scope="module")
def calm() -> StreetScene:
    """No noise, light change, shadows, wind or shake."""
    return StreetScene(
        SceneOptions(size=(240, 320), frames=900, n_people=9, n_cars=6, seed=3, **CLEAN, **STILL)
    )


# --- frames


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    one, same, other = small(seed=4).frame(9), small(seed=4).frame(9), small(seed=5).frame(9)
    for name in ("image", "mask", "background"):
        assert getattr(one, name).tobytes() == getattr(same, name).tobytes()
    assert np.mean(one.image != other.image) > 0.5


def test_a_frame_does_not_depend_on_the_frames_asked_before() -> None:
    in_order = list(small(frames=8))
    alone = small(frames=8).frame(7)
    assert np.array_equal(in_order[7].image, alone.image)
    assert np.array_equal(in_order[7].mask, alone.mask)
    assert np.array_equal(in_order[7].background, alone.background)
    assert [frame.index for frame in in_order] == list(range(8))


def test_frames_carry_their_time_and_count() -> None:
    scene = small(frames=10_000, fps=20.0)
    assert len(scene) == 10_000
    assert scene.frame(9_999).captured_s == pytest.approx(499.95)


def test_a_frame_outside_the_scene_is_an_index_error() -> None:
    scene = small(frames=3)
    for t in (-1, 3):
        with pytest.raises(IndexError, match="frames 0 to 2"):
            scene.frame(t)
    with pytest.raises(IndexError):
        scene.flow(0, 3)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 129), (121, 77), (128, 128), (90, 161)])
def test_any_size_is_rendered(size: tuple[int, int]) -> None:
    scene = StreetScene(SceneOptions(size=size, frames=50, jitter_px=1.3))
    frame = scene.frame(30)
    assert frame.image.shape == frame.background.shape == (*size, 3)
    assert frame.image.dtype == frame.background.dtype == frame.mask.dtype == np.uint8
    assert frame.mask.shape == size
    assert set(np.unique(frame.mask)) <= {0, 255}
    assert scene.flow(30, 35).shape == (2, *size)
    assert scene.flow(30, 35).dtype == np.float32


def test_a_street_without_people_and_cars_has_an_empty_mask_though_its_trees_wave() -> None:
    scene = small(n_people=0, n_cars=0, jitter_px=0.0, **CLEAN)
    first, later = scene.frame(0), scene.frame(20)
    assert not first.mask.any()
    assert not later.mask.any()
    assert np.array_equal(later.image, later.background)
    assert np.mean(np.abs(first.image.astype(int) - later.image) > 8) > 0.01
    assert np.abs(scene.flow(0, 20)).max() > 0.2


# --- masks


@pytest.mark.parametrize("jitter_px", [0.0, 1.5])
def test_mask_is_where_the_image_differs_from_its_background(jitter_px: float) -> None:
    scene = StreetScene(SceneOptions(size=(240, 320), frames=400, jitter_px=jitter_px, **CLEAN))
    for t in (5, 150, 300):
        frame = scene.frame(t)
        difference = np.abs(frame.image.astype(int) - frame.background).max(axis=2)
        outside = cv2.dilate(frame.mask, np.ones((5, 5), np.uint8)) == 0
        inside = frame.mask == 255
        assert inside.sum() > 300
        # Slivers in the gaps of a bench or a tree cover less than half of their pixels.
        assert np.mean(difference[outside] > 0) < 0.002
        assert np.mean(difference[inside] > 4) > 0.93  # the rest has the colour of what it hides


def test_shadows_darken_but_are_not_foreground() -> None:
    dark = small(seed=2, n_cars=6, noise=0.0, light_change=0.0, shadows=0.6)
    frame = dark.frame(60)
    free = cv2.dilate(frame.mask, np.ones((5, 5), np.uint8)) == 0
    drop = frame.background.astype(int)[free] - frame.image.astype(int)[free]
    assert np.mean(drop.min(axis=1) < 0) < 0.005  # slivers of people behind leaves
    assert np.mean(drop.min(axis=1) > 10) > 0.01
    light = small(seed=2, n_cars=6, noise=0.0, light_change=0.0, shadows=0.0)
    assert np.array_equal(frame.mask, light.frame(60).mask)


def test_noise_has_the_asked_size_and_changes_each_frame() -> None:
    scene = small(noise=4.0, n_people=0, n_cars=0, light_change=0.0, **STILL)
    first, second = scene.frame(0), scene.frame(1)
    assert np.array_equal(first.background, second.background)
    grain = [f.image.astype(float) - f.background for f in (first, second)]
    middle = np.abs(first.background.astype(int) - 128) < 25
    assert grain[0][middle].std() == pytest.approx(4.0, rel=0.1)
    assert abs(np.corrcoef(grain[0].ravel(), grain[1].ravel())[0, 1]) < 0.05


def test_a_cloud_takes_the_asked_share_of_the_light_from_image_and_background() -> None:
    scene = small(light_change=0.4, noise=0.0, shadows=0.0, n_people=0, n_cars=0, **STILL)
    light = [float(scene.frame(t).image.mean()) for t in range(0, 400, 8)]
    assert 0.5 < min(light) / max(light) < 0.7
    frame = scene.frame(int(np.argmin(light)) * 8)
    assert np.array_equal(frame.image, frame.background)


# --- motion


def test_still_background_under_a_fixed_camera_has_exactly_zero_flow(calm: StreetScene) -> None:
    flow = calm.flow(100, 110)
    background = calm.frame(100).mask == 0
    assert not flow[:, background].any()


def test_moving_objects_have_flow(calm: StreetScene) -> None:
    speed = np.hypot(*calm.flow(100, 105))
    foreground = calm.frame(100).mask == 255
    assert np.mean(speed[foreground] > 0.5) > 0.2


def test_a_shaken_camera_moves_the_background_as_one() -> None:
    scene = small(jitter_px=2.0, wind=0.0, n_people=0, n_cars=0)
    flow = scene.flow(3, 9)
    assert 0.05 < np.abs(flow).max() <= 4.0
    assert np.ptp(flow.reshape(2, -1), axis=1).max() < 1e-4


def test_a_panning_camera_takes_everything_along() -> None:
    scene = small(pan_px=20.0, jitter_px=0.0, wind=0.0, n_people=0, n_cars=0)
    flow = scene.flow(0, 100)
    assert np.abs(flow[0]).max() > 1
    assert np.ptp(flow[0]) < 1e-4
    assert not flow[1].any()


def warp_errors(scene: StreetScene, t0: int, t1: int, off_px: float) -> tuple[Array, Array]:
    """Grey levels between frame `t0` and `t1` warped back, for visible background and moving foreground.

    Pixels that mix two surfaces (edges, joints) have no one flow and are left out.
    """
    first, second, motion = scene.frame(t0), scene.frame(t1), scene.motion(t0, t1)
    y, x = np.mgrid[: first.mask.shape[0], : first.mask.shape[1]].astype(np.float32)
    warped = cv2.remap(second.image, x + motion.flow[0] + off_px, y + motion.flow[1], cv2.INTER_CUBIC)
    error = np.abs(warped.astype(np.float32) - first.image).mean(axis=2)
    jumps = sum(cv2.dilate(axis, CROSS) - cv2.erode(axis, CROSS) for axis in motion.flow) > 1
    edges = cv2.morphologyEx(first.mask, cv2.MORPH_GRADIENT, CROSS) > 0
    sure = motion.visible & ~jumps & ~edges
    moving = (first.mask == 255) & (np.hypot(*motion.flow) > 0.5)
    return error[sure & (first.mask == 0)], error[sure & moving]


@pytest.mark.parametrize("gap", [1, 5, 10])
@pytest.mark.parametrize("camera", [STILL, {"jitter_px": 1.5, "wind": 1.0}])
def test_warping_a_frame_back_by_its_flow_gives_the_frame_before(gap: int, camera: dict[str, float]) -> None:
    options = SceneOptions(size=(240, 320), frames=400, n_people=9, n_cars=6, seed=3, **CLEAN, **camera)
    scene = StreetScene(options)
    starts = (20, 100, 180, 260)
    exact = [warp_errors(scene, t, t + gap, 0.0) for t in starts]
    shifted = [warp_errors(scene, t, t + gap, 0.5) for t in starts]
    for surface, limit in ((0, 1.2), (1, 1.6)):  # grey levels; what is left is resampling
        right = np.concatenate([errors[surface] for errors in exact])
        wrong = np.concatenate([errors[surface] for errors in shifted])
        assert right.size > 3000
        assert right.mean() < limit
        assert right.mean() < 0.5 * wrong.mean()  # half a pixel beside the truth is far worse


def test_flow_there_and_back_is_nothing(calm: StreetScene) -> None:
    motion, back = calm.motion(100, 105), calm.flow(105, 100)
    y, x = np.mgrid[:240, :320].astype(np.float32)
    columns, rows = np.rint(x + motion.flow[0]).astype(int), np.rint(y + motion.flow[1]).astype(int)
    seen = motion.visible
    returned = back[:, rows[seen], columns[seen]]
    # The point lies up to half a pixel beside the pixel that is asked: a bit of flow on a turning limb.
    assert np.abs(returned + motion.flow[:, seen]).mean() < 0.02


def test_points_that_go_behind_something_are_not_visible(calm: StreetScene) -> None:
    hidden = 0
    for t in range(0, 800, 100):
        motion = calm.motion(t, t + 10)
        y, x = np.mgrid[:240, :320]
        there = (x + motion.flow[0], y + motion.flow[1])
        inside = (there[0] > 0) & (there[0] < 319) & (there[1] > 0) & (there[1] < 239)
        hidden += int((inside & ~motion.visible & (calm.frame(t).mask == 255)).sum())
    assert hidden > 200


def test_the_background_behind_an_object_is_not_visible_later(calm: StreetScene) -> None:
    motion = calm.motion(100, 110)
    covered = (calm.frame(100).mask == 0) & (calm.frame(110).mask == 255)
    assert covered.sum() > 50
    assert not motion.visible[covered].any()


@pytest.mark.parametrize("kind", ["person", "car"])
def test_objects_stop_and_start_again(calm: StreetScene, kind: str) -> None:
    timelines: dict[tuple[int, int], list[float]] = {}
    for t in range(0, 900, 5):
        for state in calm.objects(t):
            if state.kind == kind:
                timelines.setdefault((state.number, state.lap), []).append(state.speed)

    def stops_and_starts(speeds: list[float]) -> bool:
        still = [speed == 0 for speed in speeds]
        runs = "".join("0" if s else "1" for s in still)
        return "1" + "0" * 5 in runs and "00001" in runs  # a second of standing, and moving on both sides

    assert sum(stops_and_starts(speeds) for speeds in timelines.values()) >= 2


def test_an_object_that_stands_stays_foreground_without_flow(calm: StreetScene) -> None:
    for t in range(0, 800, 10):
        for state in calm.objects(t):
            column, row = round(state.foot[0]), round(state.foot[1] - 10)
            stands = (
                state.kind == "car" and state.speed == 0 and calm.objects(t + 10)[state.number].speed == 0
            )
            if stands and 30 < column < 290:
                frame, motion = calm.frame(t), calm.motion(t, t + 10)
                if frame.mask[row, column] and not motion.flow[:, row, column].any():
                    return
    pytest.fail("no car stood in the picture")


def test_nobody_crosses_where_a_car_is() -> None:
    scene = StreetScene(SceneOptions(size=(48, 96), frames=1200, fps=10, n_people=6, n_cars=6, seed=1))
    crossings = 0
    for t in range(0, 1200, 2):
        states = scene.objects(t)
        cars = [state for state in states if state.kind == "car"]
        for person in (state for state in states if state.kind == "person"):
            level = [car for car in cars if car.z < person.z < car.z + 1.8]
            crossings += bool(level)
            # Half a car and half a person, in pixels at this depth.
            reach = (2.0 + 0.2) * 48 * 1.25 / person.z
            assert all(abs(car.foot[0] - person.foot[0]) > reach for car in level)
    assert crossings > 10


def test_a_track_keeps_its_lap_length_and_stands_at_its_stop() -> None:
    track = stop_and_go(20.0, 2.0, [(8.0, 3.0)], 1.0)
    assert track.at(0.0) == (0.0, 2.0)
    assert track.at(3.0 + 2.0) == (8.0, 0.0)  # 6 m at 2 m/s, 2 s of braking
    assert track.at(8.0) == (8.0, 0.0)
    assert track.at(track.period)[0] == pytest.approx(20.0)
    with pytest.raises(ValueError, match="do not fit"):
        stop_and_go(20.0, 2.0, [(1.0, 3.0)], 1.0)


def test_a_path_goes_straight_on_beyond_its_ends() -> None:
    path = Route(((0.0, 5.0), (4.0, 5.0), (4.0, 9.0)))
    assert path.length == 8.0
    assert path.at(-2.0)[:2] == pytest.approx((-2.0, 5.0))
    assert path.at(10.0)[:2] == pytest.approx((4.0, 11.0))
    assert path.at(2.0) == pytest.approx((2.0, 5.0, 1.0, 0.0))


# --- options, video


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", (15, 64)),
        ("size", (64,)),
        ("frames", 0),
        ("fps", 0.0),
        ("fps", float("inf")),
        ("seed", -1),
        ("n_people", -1),
        ("n_cars", -2),
        ("jitter_px", -0.1),
        ("jitter_px", float("nan")),
        ("pan_px", -1.0),
        ("noise", -1.0),
        ("light_change", 1.0),
        ("wind", -1.0),
        ("shadows", 1.5),
    ],
)
def test_an_option_out_of_range_is_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"scene option {name} must be .*, got"):
        SceneOptions(**{name: value})


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_scene_is_written_as_video(tmp_path: Path, suffix: str) -> None:
    seen: list[tuple[int, int]] = []
    options = SceneOptions(size=(96, 128), frames=6, fps=10.0)
    report: Callable[[int, int], None] = lambda done, total: seen.append((done, total))  # noqa: E731
    target = scene_video(options, tmp_path / f"street{suffix}", report)
    assert [path.name for path in tmp_path.iterdir()] == [f"street{suffix}"]
    assert seen == [(n, 6) for n in range(1, 7)]
    video = cv2.VideoCapture(str(target))
    frames = [video.read() for _ in range(7)]
    assert [ok for ok, _ in frames] == [True] * 6 + [False]
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    truth = StreetScene(options).frame(3).image
    assert np.abs(frames[3][1].astype(int) - truth).mean() < 8  # a lossy codec and sensor noise


def test_a_video_that_cannot_be_written_is_a_sink_error(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"\.mp4 or \.avi"):
        scene_video(SceneOptions(frames=1), tmp_path / "street.gif")
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot be written"):
        scene_video(SceneOptions(size=(32, 32), frames=1), tmp_path / "file" / "street.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
