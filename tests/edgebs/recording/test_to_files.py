import itertools
import json
import signal

import cv2
import numpy as np
import pytest
from fakes.process.programs import program
from fakes.process.waiting import WATCHDOG_S, wait_until
from fakes.video.picture_folders import masks_of, moving_bar, picture_folder

from edgebs.errors import SinkError, SourceError, StageError
from edgebs.machine.interrupts import StopRequest
from edgebs.pipeline import Pipeline
from edgebs.recording import run_to_files
from edgebs.video.open import open_source


def test_masks_and_overlay_have_every_frame_at_the_size_of_the_source(tiny_bundle, street_video, tmp_path):
    said: list[tuple[int, int]] = []
    summary = run_to_files(
        tiny_bundle.path,
        street_video,
        mask=tmp_path / "mask.avi",
        overlay=tmp_path / "overlay.mp4",
        progress=lambda done, total: said.append((done, total)),
    )
    assert (summary["frames_in"], summary["frames_out"], summary["frames_dropped"]) == (30, 30, 0)
    assert said[-1] == (30, 30)
    for name in ("mask.avi", "overlay.mp4"):
        with open_source(tmp_path / name) as written:
            assert [frame.image.shape for frame in written] == [(120, 160, 3)] * 30


def test_another_threshold_than_the_bundles_decides(tiny_bundle, street_video):
    shares = [
        run_to_files(tiny_bundle.path, street_video, frames=2, threshold=threshold)["foreground_share"]
        for threshold in (0.0, 1.0)
    ]
    assert shares == [1.0, 0.0]


def test_the_written_masks_are_the_masks(tiny_bundle, street_video, tmp_path):
    summary = run_to_files(tiny_bundle.path, street_video, mask=tmp_path / "masks", frames=4)
    pictures = [
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted((tmp_path / "masks").iterdir())
    ]
    assert len(pictures) == 4
    assert all(set(np.unique(picture)) <= {0, 255} for picture in pictures)
    share = np.mean([np.count_nonzero(picture) / picture.size for picture in pictures])
    assert summary["foreground_share"] == pytest.approx(share)


def test_a_source_that_breaks_off_keeps_the_masks_before_it(tiny_bundle, street_video, tmp_path):
    broken = tmp_path / "pictures"
    broken.mkdir()
    with open_source(street_video) as street:
        for frame in itertools.islice(street, 5):
            cv2.imwrite(str(broken / f"{frame.index}.png"), frame.image)
    cv2.imwrite(str(broken / "3.png"), frame.image[:8])
    with pytest.raises(StageError, match=r"frame 3.*3\.png"):
        run_to_files(tiny_bundle.path, broken, mask=tmp_path / "masks")
    assert len(list((tmp_path / "masks").iterdir())) == 3


def test_masks_are_not_lost_with_a_background_that_cannot_be_saved(tmp_path, monkeypatch):
    def full(*_):
        raise SinkError("the disk is full")

    monkeypatch.setattr(Pipeline, "save_background", full)
    source = picture_folder(tmp_path / "pictures", moving_bar(2))
    with pytest.raises(SinkError, match="the disk is full"):
        run_to_files("edge", source, mask=tmp_path / "masks", background=tmp_path / "yard.npz")
    assert len(masks_of(tmp_path / "masks")) == 2


def test_an_output_that_exists_is_refused_before_the_run(tiny_bundle, street_video, tmp_path):
    (tmp_path / "mask.avi").write_bytes(b"mine")
    with pytest.raises(SinkError, match=r"mask\.avi"):
        run_to_files(tiny_bundle.path, street_video, mask=tmp_path / "mask.avi")
    assert (tmp_path / "mask.avi").read_bytes() == b"mine"


def test_a_source_that_is_not_there_is_named_before_a_network_is_loaded(tmp_path):
    with pytest.raises(SourceError, match=r"no-such\.mp4"):
        run_to_files(tmp_path / "no-bundle", tmp_path / "no-such.mp4")


def test_a_source_is_never_replaced_by_its_masks(tiny_bundle, street_video, tmp_path):
    video = tmp_path / "street.avi"
    video.write_bytes(street_video.read_bytes())
    (tmp_path / "link.avi").symlink_to(video)
    for output in (video, tmp_path / "link.avi"):
        with pytest.raises(SinkError, match="is the source"):
            run_to_files(tiny_bundle.path, video, mask=output, force=True)
    with pytest.raises(SinkError, match="same name"):
        run_to_files(tiny_bundle.path, video, mask=tmp_path / "a.avi", overlay=tmp_path / "a.avi")
    assert video.read_bytes() == street_video.read_bytes()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_keeps_its_masks_and_says_so(tiny_bundle, street_video, tmp_path, stop):
    masks = tmp_path / "masks"
    code = (
        "import sys, edgebs.recording as r; from edgebs.video.open import open_source; "
        "r.open_source = lambda source, **_: open_source(source, loop=True); "
        "from edgebs.cli import main; main()"
    )
    command = ["run", str(tiny_bundle.path), "--source", str(street_video), "--mask", str(masks), "--json"]
    with program(code, *command) as process:
        wait_until(lambda: list(tmp_path.glob(".*/*.png")), "a mask")
        process.send_signal(stop)
        out, err = process.communicate(timeout=WATCHDOG_S)
    assert process.returncode == 130, err
    summary = json.loads(out)
    assert summary["interrupted"]
    assert "Traceback" not in err
    assert len(list(masks.iterdir())) >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["masks"]


def test_a_run_that_is_stopped_before_its_first_mask_claims_none(
    tiny_bundle, street_video, tmp_path, monkeypatch, caplog
):
    stop = StopRequest()
    stop.ask()
    monkeypatch.setattr("edgebs.recording.ask_first", lambda: stop)
    summary = run_to_files(tiny_bundle.path, street_video, mask=tmp_path / "m.avi")
    assert (summary["frames_out"], summary["interrupted"]) == (0, True)
    assert "kept" not in caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damaged", [0, 4])
def test_masks_of_a_folder_with_a_damaged_picture_stay_in_step(tiny_bundle, tmp_path, damaged):
    pictures = picture_folder(tmp_path / "pictures", moving_bar(9))
    (pictures / f"{damaged}.png").write_bytes(b"")
    summary = run_to_files(tiny_bundle.path, pictures, mask=tmp_path / "masks")
    masks = masks_of(tmp_path / "masks")
    assert (summary["frames_out"], summary["frames_missing"], len(masks)) == (8, 1, 9)
    before = masks[damaged - 1] if damaged else np.zeros_like(masks[0])
    np.testing.assert_array_equal(masks[damaged], before)
    (pictures / f"{damaged}.png").unlink()
    run_to_files(tiny_bundle.path, pictures, mask=tmp_path / "others")
    np.testing.assert_array_equal([*masks[:damaged], *masks[damaged + 1 :]], masks_of(tmp_path / "others"))
