"""Background maps are computed seldom, kept, saved, given back and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.networks.backends import FakeCue, FakeSegment, fake_manifest

from edgebs.bundle.manifest import CueSettings, Manifest
from edgebs.cues import open_cue
from edgebs.cues.background_maps import BackgroundMaps
from edgebs.errors import BundleError, SinkError
from edgebs.pipeline import Pipeline
from edgebs.recording import run_to_files
from edgebs.tensors import Array, Frame, TensorSpec

SIZE = (8, 16)
SETTINGS = CueSettings(
    kind="background-maps", provider="bmn", intervals=(), max_magnitude=1.0, nominal_fps=25.0, references=4,
    maps=1, spacing_s=5.0, refresh_s=10.0,
)  # fmt: skip


class MeanOfReferences:
    """A cue network: the mean of the blue channel over the references."""

    def __init__(self) -> None:
        self.inputs = {"references": TensorSpec((1, 4, *SIZE, 3), "uint8")}
        self.outputs = {"cue": TensorSpec((1, 1, *SIZE), "float32")}
        self.description = "mean"
        self.runs = 0
        self.closed = 0
        self._out = np.zeros((1, 1, *SIZE), np.float32)

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        self.inputs["references"].check("references", feed["references"])
        self.runs += 1
        self._out[:, 0] = feed["references"][..., 0].mean(axis=1)
        return {"cue": self._out}

    def close(self) -> None:
        self.closed += 1


def frame(level: int) -> Frame:
    return np.full((*SIZE, 3), level, np.uint8)


def cue() -> tuple[BackgroundMaps, MeanOfReferences]:
    network = MeanOfReferences()
    return BackgroundMaps(SETTINGS, network), network


def level_of(output: Array) -> float:
    return float(output[0, 0, 0, 0])


def test_the_first_frame_has_maps_and_the_scene_is_warming_up_until_there_are_enough() -> None:
    maps, _ = cue()
    outputs = [maps.update(frame(10 * (index + 1)), index / 25) for index in range(4)]
    assert level_of(outputs[0].tensors["cue"]) == 10.0
    assert [output.warming_up for output in outputs] == [True, True, True, False]


def test_maps_that_were_handed_out_do_not_change_when_new_ones_are_computed() -> None:
    maps, _ = cue()
    first = maps.update(frame(10), 0.0).tensors["cue"]
    for index in range(1, 20):
        maps.update(frame(200), index / 25)
    assert level_of(first) == 10.0


def test_the_network_runs_often_only_in_a_young_scene() -> None:
    maps, network = cue()
    runs = []
    for index in range(25 * 120):
        maps.update(frame(index % 250), index / 25)
        runs.append(network.runs)
    assert runs[25] <= 12
    # Twelve refreshes would fit into two minutes; none is for a frame of its own.
    assert runs[-1] - runs[25 * 60] == pytest.approx(6, abs=1)


def test_without_new_references_the_network_does_not_run() -> None:
    maps, network = cue()
    maps.update(frame(5), 0.0)
    maps.freeze(True)
    for index in range(1, 500):
        maps.update(frame(index % 250), float(index))
    assert network.runs == 1


def test_frames_that_are_remembered_join_the_background_without_a_run() -> None:
    maps, network = cue()
    for index in range(4):
        maps.remember(frame(100), index / 25)
    assert network.runs == 0
    output = maps.update(frame(100), 4 / 25)
    assert level_of(output.tensors["cue"]) == 100.0
    assert not output.warming_up


def test_a_recording_that_starts_anew_has_another_background() -> None:
    maps, _ = cue()
    for index in range(50):
        maps.update(frame(10), index / 25)
    assert level_of(maps.update(frame(200), -100.0).tensors["cue"]) == 200.0


def test_what_is_frozen_outlives_a_reset_and_other_backgrounds_do_not() -> None:
    maps, _ = cue()
    maps.update(frame(10), 0.0)
    maps.freeze(True)
    maps.reset()
    assert level_of(maps.update(frame(200), 0.0).tensors["cue"]) == 10.0
    maps.freeze(False)
    maps.reset()
    assert level_of(maps.update(frame(200), 0.0).tensors["cue"]) == 200.0


def test_a_bundle_without_its_cue_network_is_named() -> None:
    with pytest.raises(BundleError, match=r"'bmn' needs a cue network.*Export the bundle again"):
        open_cue(SETTINGS, SIZE, None)
    assert isinstance(open_cue(SETTINGS, SIZE, MeanOfReferences()), BackgroundMaps)


def pipeline(**changes: object) -> Pipeline:
    manifest: Manifest = fake_manifest(cue=SETTINGS, **changes)
    return Pipeline(manifest, FakeSegment(), BackgroundMaps(SETTINGS, MeanOfReferences()))


def watched(tmp_path: Path, level: int = 40) -> Path:
    """A background file of a grey scene."""
    with pipeline() as camera:
        for _ in range(10):
            camera.process(frame(level))
        camera.save_background(tmp_path / "yard.npz")
    return tmp_path / "yard.npz"


def probability(camera: Pipeline, level: int) -> float:
    """Blue / 255 + maps / 100, see FakeSegment."""
    return float(camera.process(frame(level)).probability[0, 0])


def test_a_restored_background_is_there_at_once_also_in_a_run(tmp_path: Path) -> None:
    file = watched(tmp_path)
    with pipeline() as camera:
        camera.restore_background(file)
        result = camera.process(frame(0))
        assert float(result.probability[0, 0]) == pytest.approx(0.4)
        assert not result.warming_up
        (first, *_) = list(camera.run([frame(0)] * 3))
        assert float(first.probability[0, 0]) == pytest.approx(0.4)


def test_a_restored_scene_changes_as_slowly_as_one_that_was_watched_for_so_long(tmp_path: Path) -> None:
    with pipeline() as camera:
        for index in range(200):
            camera.process(frame(40), float(index))
        camera.save_background(tmp_path / "yard.npz")
    with pipeline() as camera:
        camera.restore_background(tmp_path / "yard.npz")
        for index in range(25):
            camera.process(frame(250), index / 25)
        assert probability(camera, 0) == pytest.approx(0.4)


def test_a_frozen_background_ignores_what_it_sees_until_it_is_let_go(tmp_path: Path) -> None:
    file = watched(tmp_path)
    with pipeline() as camera:
        camera.restore_background(file)
        camera.freeze_background()
        for _ in range(200):
            camera.process(frame(250))
        assert probability(camera, 0) == pytest.approx(0.4)
        camera.unfreeze_background()
        for index in range(200):
            camera.process(frame(250), float(index))
        assert probability(camera, 0) > 1.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "other"}, "background of model fake; the bundle has other"),
        ({"size": (16, 16)}, "background of size 16x8; the bundle has 16x16"),
    ],
)
def test_a_background_of_another_bundle_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    file = watched(tmp_path)
    with pipeline(**changes) as camera, pytest.raises(BundleError, match=said):
        camera.restore_background(file)


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_cut_file_is_damaged_and_nothing_of_it_is_taken(tmp_path: Path, keep: int) -> None:
    file = watched(tmp_path)
    file.write_bytes(file.read_bytes()[:keep])
    with pipeline() as camera:
        with pytest.raises(BundleError, match=r"yard\.npz is no background file, or damaged"):
            camera.restore_background(file)
        assert probability(camera, 0) == 0.0


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    file = watched(tmp_path)
    data = bytearray(file.read_bytes())
    data[data.index(bytes([40] * 50)) + 20] ^= 1
    file.write_bytes(data)
    with pipeline() as camera, pytest.raises(BundleError, match="damaged"):
        camera.restore_background(file)


@pytest.mark.parametrize("seen_s", [np.nan, np.inf, -np.inf, -1.0])
def test_a_scene_that_was_seen_for_no_time_that_could_be_is_damage(seen_s: float) -> None:
    maps, _ = cue()
    with pytest.raises(ValueError, match="seen for"):
        maps.restore({"references": np.zeros((2, *SIZE, 3), np.uint8), "seen_s": np.array(seen_s)})
    assert level_of(maps.update(frame(7), 0.0).tensors["cue"]) == 7.0


def test_arrays_of_another_shape_are_damage() -> None:
    maps, _ = cue()
    with pytest.raises(ValueError, match="references"):
        maps.restore({"references": np.zeros((2, 4, 4, 3), np.uint8), "seen_s": np.array(1.0)})


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    with pipeline() as camera:
        with pytest.raises(BundleError, match="no background yet"):
            camera.save_background(tmp_path / "yard.npz")
        with pytest.raises(BundleError, match="no background yet"):
            camera.freeze_background()
        with pytest.raises(BundleError, match=r"no background at .*absent"):
            camera.restore_background(tmp_path / "absent.npz")
        camera.process(frame(1))
        (tmp_path / "folder").mkdir()
        with pytest.raises(SinkError, match="is a folder"):
            camera.save_background(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    said = "cue 'hop' of fake-cpu-fp32 keeps no background"
    with (
        Pipeline(fake_manifest(), FakeSegment(), FakeCue()) as camera,
        pytest.raises(BundleError, match=said),
    ):
        camera.restore_background(tmp_path / "yard.npz")


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pictures, and `run` with the pipeline of this file."""
    monkeypatch.setattr("edgebs.recording.load", lambda *_, **__: pipeline())
    folder = tmp_path / "yard"
    folder.mkdir()
    for index in range(6):
        cv2.imwrite(str(folder / f"{index}.png"), frame(40))
    return folder


def test_a_run_leaves_the_background_for_the_next_one_which_may_freeze_it(tmp_path: Path, yard: Path) -> None:
    file = tmp_path / "yard.npz"
    run_to_files("any", yard, background=file)
    written = file.read_bytes()
    with pipeline() as camera:
        camera.restore_background(file)
        assert probability(camera, 0) == pytest.approx(0.4)
    run_to_files("any", yard, background=file, freeze_background=True)
    assert file.read_bytes() == written


def test_a_background_cannot_be_frozen_before_it_was_made(tmp_path: Path, yard: Path) -> None:
    with pytest.raises(BundleError, match=r"no background to freeze.*--background FILE"):
        run_to_files("any", yard, freeze_background=True)
    with pytest.raises(BundleError, match="no background at"):
        run_to_files("any", yard, background=tmp_path / "absent.npz", freeze_background=True)
    assert not (tmp_path / "absent.npz").exists()


def test_a_damaged_background_stops_a_run_before_it_writes(tmp_path: Path, yard: Path) -> None:
    file = tmp_path / "yard.npz"
    file.write_bytes(b"no background")
    with pytest.raises(BundleError, match="damaged"):
        run_to_files("any", yard, mask=tmp_path / "masks", background=file)
    assert file.read_bytes() == b"no background"
    assert not (tmp_path / "masks").exists()
