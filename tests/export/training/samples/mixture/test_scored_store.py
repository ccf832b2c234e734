import json

import cv2
import numpy as np
import pytest

from edgebs.bundle.manifest import CueSettings
from edgebs.cues import open_cue
from edgebs.errors import ExportError, SinkError, SourceError
from export.training.samples import mixture as scored_store
from export.training.samples.mixture import (
    DataOptions,
    Mixture,
    StoredSequences,
    all_samples,
    build_store,
    data_share,
    evenly,
    open_part,
    resized_labels,
    split,
)

CUE = CueSettings(
    kind="hop", provider="dis", intervals=(1, 2), max_magnitude=20.0, nominal_fps=25.0, preset="ultrafast"
)
SIZE = (32, 48)


def write_sequence(folder, frames=12, size=(64, 96), labels=None, region=None):
    """A bright square that moves by 2 px a frame; CDnet layout, every frame labelled."""
    rng = np.random.default_rng(len(folder.name))
    ground = rng.integers(0, 120, (*size, 3)).astype(np.uint8)
    for kind in ("input", "groundtruth"):
        (folder / kind).mkdir(parents=True)
    for t in range(frames):
        frame, truth = ground.copy(), np.zeros(size, np.uint8)
        frame[20:36, 10 + 2 * t : 26 + 2 * t] = 220
        truth[20:36, 10 + 2 * t : 26 + 2 * t] = 255
        cv2.imwrite(str(folder / "input" / f"in{t + 1:06d}.png"), frame)
        cv2.imwrite(str(folder / "groundtruth" / f"gt{t + 1:06d}.png"), truth if labels is None else labels)
    if region is not None:
        cv2.imwrite(str(folder / "ROI.bmp"), region)
    return folder


def options(root, **changes):
    return DataOptions(root=root, **{"size": SIZE, **changes})


def build(root, out, **changes):
    return build_store(options(root, **changes), CUE, out, lambda _done, _total: None)


@pytest.fixture
def root(tmp_path):
    for name in ("c", "a", "b"):
        write_sequence(tmp_path / "data" / name)
    return tmp_path / "data"


def test_numbers_are_chosen_evenly():
    assert evenly(100, 5) == {10, 30, 50, 70, 90}
    assert evenly(3, 1) == {1}
    assert evenly(4, 9) == {0, 1, 2, 3}


def test_the_share_counts_for_each_sequence(root, tmp_path):
    part = open_part(build(root, tmp_path / "out", share=0.25) / "train")
    assert part.ends == (3, 6, 9)
    assert part.frame.shape == (9, *SIZE, 3)


def test_a_fold_holds_every_nth_sequence_by_name_back(root, tmp_path):
    training, held = split(options(root, fold=(2, 3)))
    assert ([s.name for s in training], [s.name for s in held]) == (["a", "c"], ["b"])
    store = build(root, tmp_path / "out", fold=(2, 3))
    assert list(json.loads((store / "train" / "sequences.json").read_text())) == ["a", "c"]
    assert list(json.loads((store / "held" / "sequences.json").read_text())) == ["b"]


def test_the_folds_hold_every_sequence_once(root):
    names = [s.name for k in (1, 2) for s in split(options(root, fold=(k, 2)))[1]]
    assert sorted(names) == ["a", "b", "c"]


def test_the_cue_is_what_the_runtime_computes_over_the_whole_sequence(root, tmp_path):
    part = open_part(build(root, tmp_path / "out", share=0.25) / "train")
    cue = open_cue(CUE, SIZE, None)
    chosen = sorted(evenly(12, 3))
    expected = []
    for t in range(12):
        picture = cv2.imread(str(root / "a" / "input" / f"in{t + 1:06d}.png"))
        frame = cv2.resize(picture, SIZE[::-1], interpolation=cv2.INTER_AREA)
        output = cue.update(frame, None)
        if t in chosen:
            expected.append((frame, output.tensors["cue"][0].astype(np.float16)))
    for place, (frame, magnitudes) in enumerate(expected):
        assert np.array_equal(part.frame[place], frame)
        assert np.array_equal(part.cue[place], magnitudes)


def test_labels_are_resized_by_what_covers_most_and_the_region_is_kept():
    truth = np.zeros((4, 8), np.uint8)
    truth[:2, :2], truth[0, 2], truth[2:, 4:6] = 255, 255, 170
    valid = np.ones((4, 8), bool)
    valid[:, 6:] = False
    assert resized_labels(truth, valid & (truth != 170), (2, 4)).tolist() == [
        [255, 0, 0, 85],
        [0, 0, 170, 85],
    ]


def test_a_store_is_computed_once_and_a_change_of_the_data_makes_another(root, tmp_path):
    first = build(root, tmp_path / "out")
    stamp = (first / "train" / "frame.npy").stat().st_mtime_ns
    assert build(root, tmp_path / "out") == first
    assert (first / "train" / "frame.npy").stat().st_mtime_ns == stamp
    assert build(root, tmp_path / "out", share=0.5) != first
    write_sequence(root / "d")
    assert build(root, tmp_path / "out") != first


@pytest.mark.parametrize("name", ["CUE_REVISION", "SAMPLES", "WINDOW_S"])
def test_a_cue_that_is_computed_otherwise_makes_another_store(root, monkeypatch, name):
    sequences, _ = split(options(root))
    before = scored_store.store_key(options(root), CUE, sequences)
    assert scored_store.store_key(options(root), CUE, sequences) == before
    monkeypatch.setattr(scored_store, name, 99)
    assert scored_store.store_key(options(root), CUE, sequences) != before


def test_another_opencv_makes_another_store(root, monkeypatch):
    sequences, _ = split(options(root))
    before = scored_store.store_key(options(root), CUE, sequences)
    monkeypatch.setattr(scored_store.cv2, "__version__", "0.1")
    assert scored_store.store_key(options(root), CUE, sequences) != before


def test_crops_hold_frame_cue_and_labels_of_one_place(root, tmp_path):
    folder = build(root, tmp_path / "out") / "train"
    draw = StoredSequences(folder=folder, size=(16, 16), count=20)
    samples, again = draw(3, 7), draw(3, 7)
    assert len(samples) == 20
    for (frame, cue, labels), other in zip(samples, again, strict=True):
        assert frame.shape == (16, 16, 3)
        assert cue.shape == (2, 16, 16)
        assert labels.shape == (16, 16)
        assert np.array_equal(frame, other[0])
        bright = frame.min(axis=-1) > 200
        assert np.array_equal(bright, labels == 255)
    assert len({frame.tobytes() for frame, _, _ in samples}) > 10


def test_a_mixture_keeps_its_share_and_its_seed():
    mixture = Mixture(rendered=lambda _s, _i: ["r"], data=lambda _s, _i: ["d"], data_share=0.2)
    drawn = [mixture(1, index)[0] for index in range(2000)]
    assert drawn == [mixture(1, index)[0] for index in range(2000)]
    assert 0.15 < drawn.count("d") / 2000 < 0.25


@pytest.mark.parametrize(
    ("text", "share"),
    [("rendered=0.8,data=0.2", 0.2), ("data=1", 1.0), ("rendered=3, data=1", 0.25), ("rendered=1", 0.0)],
)
def test_a_mix_is_a_share_of_data(text, share):
    assert data_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "data", "data=x", "video=1", "rendered=0,data=0", "rendered=2,data=-1"])
def test_a_mix_that_is_none_shows_what_one_looks_like(text):
    with pytest.raises(ExportError, match=r"--mix must be like rendered=0.8,data=0.2, got"):
        data_share(text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"share": 0.0}, "--share"), ({"share": 1.5}, "--share"), ({"fold": (4, 3)}, "--fold"),
     ({"fold": (1, 1)}, "--fold")],
)  # fmt: skip
def test_options_out_of_range_are_named(tmp_path, changes, said):
    with pytest.raises(ExportError, match=said):
        options(tmp_path, **changes)


def test_more_folds_than_sequences_are_refused(root):
    with pytest.raises(ExportError, match=r"--fold 1/4 needs 4 sequences; below .* are 3"):
        split(options(root, fold=(1, 4)))


def broken(tmp_path, **how):
    write_sequence(tmp_path / "data" / "yard", frames=3, **how)
    return tmp_path / "data"


def test_masks_of_another_size_are_named(tmp_path):
    root = broken(tmp_path, labels=np.zeros((64, 64), np.uint8))
    with pytest.raises(SourceError, match=r"gt000001.png is \(64, 64\), its frame \(64, 96\)"):
        build(root, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_labels_outside_the_convention_are_counted(tmp_path):
    root = broken(tmp_path, labels=np.full((64, 96), 77, np.uint8))
    with pytest.raises(SourceError, match="outside the convention: 77"):
        build(root, tmp_path / "out")


def test_an_empty_region_is_named(tmp_path):
    root = broken(tmp_path, region=np.zeros((64, 96), np.uint8))
    with pytest.raises(SourceError, match="region of interest is empty"):
        build(root, tmp_path / "out")


@pytest.mark.parametrize("label", [85, 170])
def test_ground_truth_without_a_pixel_that_counts_names_the_sequence(tmp_path, label):
    root = broken(tmp_path, labels=np.full((64, 96), label, np.uint8))
    with pytest.raises(SourceError, match="yard: no labelled frame has a pixel that counts"):
        build(root, tmp_path / "out")


def test_no_ground_truth_says_what_is_expected(tmp_path):
    (tmp_path / "data" / "yard" / "input").mkdir(parents=True)
    with pytest.raises(SourceError, match="input/ and groundtruth/"):
        build(tmp_path / "data", tmp_path / "out")


def test_a_frame_without_a_pixel_that_counts_gives_way_to_the_next(tmp_path):
    folder = write_sequence(tmp_path / "data" / "yard", frames=9)
    cv2.imwrite(str(folder / "groundtruth" / "gt000005.png"), np.full((64, 96), 170, np.uint8))
    store = build(tmp_path / "data", tmp_path / "out", share=1 / 9)  # frame 5 alone is chosen
    ((frame, _, labels),) = all_samples(store / "train")
    expected = cv2.imread(str(folder / "input" / "in000006.png"))
    assert np.array_equal(frame, cv2.resize(expected, SIZE[::-1], interpolation=cv2.INTER_AREA))
    assert (labels == 255).any()


def test_too_little_room_is_said_before_anything_is_computed(root, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(scored_store.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(SinkError, match="--share"):
        build(root, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
