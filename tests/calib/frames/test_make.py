"""Calibration sets: what is stored, that it can be trusted, and what is said about bad clips."""

from __future__ import annotations

import itertools
import json
import logging
import shutil
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from calib.frames import CalibrationSample, set_hash
from calib.frames import survey as survey_module
from calib.frames.content import require_usable
from calib.frames.make import load_calibration_set, make_calibration_set
from calib.frames.write import contact_sheet, thumbnail
from edgebs.errors import CalibrationError, SourceError

CLIPS = Path(__file__).parents[3].parent / "shared" / "data" / "clips"
BACKDROP = cv2.resize(np.random.default_rng(1).integers(40, 200, (9, 12, 3), dtype=np.uint8), (128, 96))


def scene(number: int, *, moves: bool = True) -> np.ndarray:
    """A square that walks through a street; its level says the frame number."""
    frame = BACKDROP.copy()
    if moves:
        x, y = (3 * number) % 110, 10 + (number // 36) * 12 % 60
        frame[y : y + 16, x : x + 16] = (number * 5) % 256
    return frame


def write_clip(file: Path, frames: int = 80, *, fps: float = 25.0, moves: bool = True) -> Path:
    writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), fps, (128, 96))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(scene(number, moves=moves))
    writer.release()
    return file


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "yard.mkv")


@pytest.fixture(scope="module")
def made(clip, tmp_path_factory):
    return make_calibration_set([clip], tmp_path_factory.mktemp("sets") / "set", frames=20)


@pytest.fixture
def copied(made, tmp_path):
    """A set that a test may damage."""
    shutil.copytree(made.folder, tmp_path / "copy")
    return tmp_path / "copy"


def close(first: np.ndarray, second: np.ndarray) -> bool:
    return bool(np.abs(first.astype(int) - second).mean() < 3)


def test_samples_hold_the_frame_and_the_frames_that_its_cue_looks_back_to(made):
    assert len(made.samples) == 20
    for sample in made.samples:
        assert close(sample.frame, scene(sample.frame_number))
        assert list(sample.pasts) == [1, 5, 10]
        for interval, past in sample.pasts.items():
            assert close(past, scene(sample.frame_number - interval))
        assert sample.source == "yard"
        assert sample.frame_number >= 10


def test_samples_come_in_order_and_cover_the_clip(made):
    numbers = [sample.frame_number for sample in made.samples]
    assert numbers == sorted(set(numbers))
    assert numbers[0] < 25
    assert numbers[-1] > 65
    assert [sample.frame_number for sample in made.samples[:3]] == numbers[:3]


def test_the_past_lies_back_by_time_where_the_clip_has_another_rate(tmp_path):
    fast = write_clip(tmp_path / "fast.mkv", 80, fps=50.0)
    for sample in make_calibration_set([fast], tmp_path / "set", frames=5).samples:
        assert close(sample.pasts[5], scene(sample.frame_number - 10))


def test_the_folder_says_where_everything_comes_from(made, clip):
    document = json.loads((made.folder / "calibration.json").read_text())
    assert document["format"] == 1
    assert document["tool"].startswith("edgebs ")
    (source,) = document["sources"]
    assert (source["name"], source["file"], source["frames"], source["size"]) == (
        "yard",
        "yard.mkv",
        80,
        [96, 128],
    )
    assert len(source["sha256"]) == 64
    sample = document["samples"][0]
    assert sample["pasts"]["5"]["frame_number"] == sample["frame_number"] - 5
    stored = {f"images/{file.name}" for file in (made.folder / "images").iterdir()}
    assert stored == set(document["images"])
    assert {entry.name for entry in made.folder.iterdir()} == {
        "calibration.json",
        "contact-sheet.jpg",
        "images",
    }
    assert str(clip.parent) not in json.dumps(document)


def test_facts_are_what_a_manifest_keeps(made):
    facts = made.facts()
    assert facts["hash"] == made.hash
    assert facts["frames"] == 20
    assert [source["name"] for source in facts["sources"]] == ["yard"]
    json.dumps(facts)


def test_images_are_bounded_and_shared_between_samples(tmp_path):
    folder = tmp_path / "big"
    folder.mkdir()
    for number in range(16):
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(scene(number), (768, 576)))
    made = make_calibration_set([folder], tmp_path / "set", frames=5)
    assert made.samples[0].frame.shape == (384, 512, 3)
    assert len(list((tmp_path / "set" / "images").iterdir())) <= 16


def test_equal_seeds_make_equal_sets(made, clip, tmp_path):
    again = make_calibration_set([clip], tmp_path / "again", frames=20)
    other = make_calibration_set([clip], tmp_path / "other", frames=20, seed=1)
    assert again.hash == made.hash != other.hash


def test_several_sources_share_the_budget_and_keep_their_names_apart(tmp_path):
    clips = []
    for name in ("day", "night"):
        (tmp_path / name).mkdir()
        clips.append(write_clip(tmp_path / name / "yard.mkv", 60))
    folder = tmp_path / "sequence" / "input"
    folder.mkdir(parents=True)
    for number in range(20):
        cv2.imwrite(str(folder / f"in{number:06d}.jpg"), 255 - scene(number))
    made = make_calibration_set([*clips, folder], tmp_path / "set", frames=30)
    assert [source["name"] for source in made.sources] == ["yard", "yard-2", "sequence-input"]
    assert sum(source["samples"] for source in made.sources) == len(made.samples) <= 30
    assert made.sources[0]["samples"] > 0
    assert made.sources[2]["samples"] >= 5


def test_progress_rises_to_its_total(clip, tmp_path):
    seen: list[tuple[int, int]] = []
    make_calibration_set(
        [clip], tmp_path / "set", frames=5, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (160, 160)
    assert all(later >= earlier for earlier, later in itertools.pairwise(seen))


def test_a_long_video_needs_no_more_candidates_than_a_short_one(clip, monkeypatch):
    monkeypatch.setattr(survey_module, "CANDIDATES", 8)
    seen = survey_module.survey(clip, (1, 5, 10), 25.0, lambda _: None)
    numbers = [candidate.number for candidate in seen.candidates]
    assert 8 <= len(numbers) < 16
    assert len({after - before for before, after in itertools.pairwise(numbers)}) == 1
    assert numbers[-1] > 70
    assert seen.frames == 80


def test_the_contact_sheet_shows_every_sample(made):
    sheet = cv2.imread(str(made.folder / "contact-sheet.jpg"))
    assert sheet.shape[0] > 4 * 120
    assert sheet.shape[1] >= 5 * 160
    page = contact_sheet([thumbnail(np.full((90, 160, 3), 200, np.uint8))] * 5, ["a"] * 5, ["title", "é"])
    assert (page == 200).all(axis=2).sum() >= 5 * 90 * 160


def test_a_clip_shorter_than_the_history_is_an_error_with_the_counts(tmp_path):
    short = write_clip(tmp_path / "short.mkv", 10)
    with pytest.raises(
        CalibrationError, match=r"short.mkv has 10 frames at 25 frames/s .0.40 s.*takes 10 frames"
    ):
        make_calibration_set([short], tmp_path / "set")
    assert not (tmp_path / "set").exists()
    assert len(make_calibration_set([short], tmp_path / "set", frames=1, intervals=(1, 5)).samples) == 1


def test_a_clip_without_motion_is_a_warning_and_still_a_set(tmp_path, caplog):
    still = write_clip(tmp_path / "still.mkv", 40, moves=False)
    with caplog.at_level(logging.WARNING):
        made = make_calibration_set([still], tmp_path / "set", frames=10)
    assert len(made.samples) == 1
    assert "nothing moves in still.mkv" in caplog.text
    assert "only 1 distinct frame was found of 10" in caplog.text
    assert len(made.warnings) == 2


def write_flat(file: Path, levels: list[int]) -> Path:
    """A clip whose frames are even areas of the given grey levels."""
    writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 25, (128, 96))
    for level in levels:
        writer.write(np.full((96, 128, 3), level, np.uint8))
    writer.release()
    return file


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ([0] * 40, r"flat\.mkv: all 30 frames are black \(mean 0\.0, deviation 0\.0 of 255 grey levels\)"),
        ([255] * 40, r"all 30 frames are white \(mean 255\.0, deviation 0\.0"),
        ([128] * 40, r"all 30 frames are one even colour \(mean 128\.0"),
        ([0] * 40 + [200] * 40, r"all 70 frames are one even colour"),  # each level with each past
    ],
)
def test_a_clip_that_shows_nothing_is_an_error_with_its_brightness_and_the_repair(tmp_path, levels, said):
    flat = write_flat(tmp_path / "flat.mkv", levels)
    with pytest.raises(CalibrationError, match=said) as caught:
        make_calibration_set([flat], tmp_path / "set", frames=4)
    assert "edgebs calibrate VIDEO --out DIR" in str(caught.value)
    assert not (tmp_path / "set").exists()


def test_a_covered_lens_with_its_noise_shows_nothing_either(tmp_path):
    rng = np.random.default_rng(0)
    dark = tmp_path / "dark"
    dark.mkdir()
    for number in range(20):
        cv2.imwrite(str(dark / f"{number:03d}.png"), rng.integers(0, 9, (240, 320, 3)).astype(np.uint8))
    with pytest.raises(
        CalibrationError, match=r"dark: all 10 frames are black \(mean 4\.\d, deviation 0\.\d of"
    ):
        make_calibration_set([dark], tmp_path / "set")


def test_a_black_clip_beside_a_good_one_is_a_warning(clip, tmp_path):
    black = write_flat(tmp_path / "black.mkv", [0] * 20)
    made = make_calibration_set([clip, black], tmp_path / "set", frames=20)
    assert any("the only frame is black (mean 0.0" in text and "black.mkv" in text for text in made.warnings)


def write_times(file: Path, times_s: list[float]) -> Path:
    """A clip whose frames have these time stamps."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, seconds in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(scene(number), format="bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file


@pytest.mark.parametrize(
    ("times_s", "said"),
    [
        ([100.0 * n for n in range(20)], r"20 frames over 32 min, 100 s apart \(median\), and 19 pauses"),
        ([3600.0 * n for n in range(12)], r"12 frames over 11\.0 h, 60 min apart"),
        (  # a camera that records five frames at each alarm
            [60.0 * burst + 0.04 * n for burst in range(8) for n in range(5)],
            r"40 frames over 420 s, 0\.04 s apart \(median\), and 7 pauses of more than 2 s",
        ),
    ],
)
def test_a_time_lapse_is_told_from_a_short_clip(tmp_path, times_s, said):
    lapse = write_times(tmp_path / "lapse.mkv", times_s)
    with pytest.raises(CalibrationError, match=said) as caught:
        make_calibration_set([lapse], tmp_path / "set")
    assert "with one 0.4 s before it" in str(caught.value)
    assert "longer clip" not in str(caught.value)
    assert "record video, at best 25 frames/s" in str(caught.value)


@pytest.mark.parametrize(
    ("level", "count", "said"),
    [
        (0, 64, r"yard: all 64 frames are black \(mean 0\.0, deviation 0\.0 of 255 grey levels\)"),
        (255, 64, r"all 64 frames are white \(mean 255\.0"),
        (90, 1, r"the only frame is one even colour \(mean 90\.0"),
        (None, 64, r"nothing moves in any of its 64 frames: the flow is 0 everywhere"),
        (None, 1, r"nothing moves in its only frame"),
    ],
)
def test_a_set_on_which_no_range_can_be_measured_is_refused(level, count, said):
    image = BACKDROP if level is None else np.full((96, 128, 3), level, np.uint8)
    with pytest.raises(CalibrationError, match=said) as caught:
        require_usable([sample(image, image, n) for n in range(count)], "yard", has_flow=True)
    assert "edgebs calibrate VIDEO --out DIR" in str(caught.value)


def sample(frame: np.ndarray, past: np.ndarray, number: int = 0) -> CalibrationSample:
    return CalibrationSample(frame=frame, pasts={10: past}, source="yard", frame_number=number)


def test_without_flow_samples_that_differ_are_enough_and_one_is_not():
    still, other = scene(0), scene(20)
    apart = [sample(still, still), sample(other, other, 20)]
    assert "2 frames only" in require_usable(apart, "yard", has_flow=False)
    with pytest.raises(CalibrationError, match="nothing moves in any of its 2 frames"):
        require_usable(apart, "yard", has_flow=True)
    with pytest.raises(CalibrationError, match="no frame differs from its background"):
        require_usable(apart[:1] * 12, "yard", has_flow=False)


def test_what_is_weak_about_a_usable_set_is_stated(made):
    assert require_usable(made.samples, "yard", has_flow=True) == ""
    black = np.zeros((96, 128, 3), np.uint8)
    mixed = [*made.samples, sample(black, black)]
    assert "1 of 21 frames are black" in require_usable(mixed, "yard", has_flow=True)
    assert "holds 1 frame only" in require_usable(made.samples[:1], "yard", has_flow=True)


def test_fewer_distinct_frames_than_asked_is_a_warning_with_the_count(clip, tmp_path):
    made = make_calibration_set([clip], tmp_path / "set", frames=500)
    assert 30 < len(made.samples) <= 70
    assert made.warnings[0].startswith(f"only {len(made.samples)} distinct frames were found of 500")


def test_an_unreadable_file_is_named_before_anything_is_made(clip, tmp_path):
    (tmp_path / "noise.avi").write_bytes(bytes(range(256)) * 50)
    with pytest.raises(SourceError, match=r"noise.avi cannot be read"):
        make_calibration_set([clip, tmp_path / "noise.avi"], tmp_path / "set")
    with pytest.raises(SourceError, match="no such file"):
        make_calibration_set([tmp_path / "nosuch.avi"], tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_truncated_clip_is_an_error(tmp_path):
    file = write_clip(tmp_path / "cut.mkv")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match="truncated"):
        make_calibration_set([file], tmp_path / "set")
    assert [entry.name for entry in tmp_path.iterdir()] == ["cut.mkv"]


@pytest.mark.parametrize("live", ["0", "rtsp://10.0.0.1/live", "videotestsrc ! appsink"])
def test_a_live_source_must_be_recorded_first(live, tmp_path):
    with pytest.raises(CalibrationError, match=r"is live.*ffmpeg"):
        make_calibration_set([live], tmp_path / "set")


def test_an_existing_set_is_kept_unless_forced(clip, copied):
    with pytest.raises(CalibrationError, match=r"exists already.*--force"):
        make_calibration_set([clip], copied)
    assert len(make_calibration_set([clip], copied, frames=3, force=True).samples) == 3


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_other_things_is_not_replaced_even_when_forced(clip, tmp_path, force):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(CalibrationError, match="is no calibration set, so it is not replaced") as caught:
        make_calibration_set([clip], tmp_path, force=force)
    assert "--force" not in str(caught.value)
    with pytest.raises(CalibrationError, match=rf"edgebs calibrate VIDEO --out {tmp_path}-calibration"):
        load_calibration_set(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_an_unwritable_place_is_an_error(clip):
    with pytest.raises(CalibrationError, match="/proc/set cannot be written"):
        make_calibration_set([clip], "/proc/set")


@pytest.mark.parametrize("arguments", [{"frames": 0}, {"intervals": (0, 1)}, {"nominal_fps": 0}])
def test_wrong_numbers_are_refused(clip, tmp_path, arguments):
    with pytest.raises((ValueError, CalibrationError), match=r"at least|nominal-fps"):
        make_calibration_set([clip], tmp_path / "set", **arguments)


def test_a_missing_set_says_how_to_make_one(tmp_path):
    with pytest.raises(CalibrationError, match="edgebs calibrate VIDEO --out"):
        load_calibration_set(tmp_path / "nosuch")


def test_a_loaded_set_is_the_one_that_was_made(made):
    loaded = load_calibration_set(made.folder)
    assert loaded.hash == made.hash
    assert np.array_equal(loaded.samples[3].frame, made.samples[3].frame)


def test_one_changed_byte_in_an_image_is_found(copied):
    image = sorted((copied / "images").iterdir())[4]
    content = bytearray(image.read_bytes())
    content[len(content) // 2] ^= 1
    image.write_bytes(content)
    with pytest.raises(CalibrationError, match=f"{image.name} was changed"):
        load_calibration_set(copied)


def test_a_missing_image_is_named(copied):
    image = sorted((copied / "images").iterdir())[4]
    image.unlink()
    with pytest.raises(CalibrationError, match=f"{image.name} is missing"):
        load_calibration_set(copied)


def changed(folder: Path, **values: object) -> Path:
    document = json.loads((folder / "calibration.json").read_text())
    (folder / "calibration.json").write_text(json.dumps({**document, **values}))
    return folder


def test_another_order_of_the_samples_is_another_set(copied):
    document = json.loads((copied / "calibration.json").read_text())
    with pytest.raises(CalibrationError, match="hash does not fit"):
        load_calibration_set(changed(copied, samples=document["samples"][::-1]))


def test_a_set_of_another_format_is_refused(copied):
    with pytest.raises(CalibrationError, match="of format 99; this version reads 1"):
        load_calibration_set(changed(copied, format=99))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"samples": []}, "holds no samples"),
        ({"images": {}}, "is damaged"),  # samples whose pictures are not in the set
        ({"samples": [{"source": "yard"}]}, "is damaged"),
        ({"samples": 3}, "is damaged"),
    ],
)
def test_a_set_whose_hash_fits_and_whose_samples_do_not_is_refused(copied, values, said):
    document = {**json.loads((copied / "calibration.json").read_text()), **values}
    document["hash"] = set_hash(document)
    with pytest.raises(CalibrationError, match=said):
        load_calibration_set(changed(copied, **document))


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', '{"format": 1, "hash": 3, "images": []}'])
def test_a_damaged_document_is_refused(copied, content):
    (copied / "calibration.json").write_text(content)
    with pytest.raises(CalibrationError, match=r"calibration.json (is damaged|cannot be read)"):
        load_calibration_set(copied)


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips are not here")
def test_the_real_escalator_makes_a_set(tmp_path):
    made = make_calibration_set(
        [CLIPS / "I2R_escalator_lrslibrary" / "escalator.avi"], tmp_path / "set", frames=30
    )
    assert len(made.samples) == 30
    assert made.sources[0]["frames"] == 198
    assert made.warnings == []
