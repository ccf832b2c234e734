"""A corpus holds what the runtime's cue says, survives interruption, and is read back as samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from bench.scenes.scene import Mix, PictureBank
from edgebs.bundle.manifest import CueSettings
from edgebs.cues.cue import CueOutput
from edgebs.errors import ExportError, SourceError
from edgebs.tensors import Array, Frame
from export.models.request import ModelRequest
from export.training import LoopOptions, Schedule, TrainRequest
from export.training.corpus import (
    FRAMES,
    OF_FRAME,
    PICTURES,
    RUN,
    Clip,
    coded,
    coded_flow,
    flow_of,
    open_shard,
    shard_file,
    write_shard,
)
from export.training.corpus import clip as corpus_clip
from export.training.corpus import render as corpus_render
from export.training.corpus import samples as corpus_samples
from export.training.corpus.__main__ import main
from export.training.corpus.clip import ClipOptions, render_clip
from export.training.corpus.render import CorpusOptions, render_corpus
from export.training.corpus.samples import Look, corpus_clips, sample_of
from export.training.samples.scenes import FaultyMasks
from export.training.stream import Feed
from export.training.tasks import task_for

SIZE = (64, 64)
CUE = CueSettings(
    kind="hop-background",
    provider="dis",
    intervals=(1, 5, 10),
    max_magnitude=20.0,
    nominal_fps=25.0,
    preset="fine",
    hold=0.7,
)
CLIPS = ClipOptions(cue=CUE, size=SIZE, blind=0.0)


@pytest.fixture(scope="module")
def bank() -> PictureBank:
    return PictureBank.open()


@pytest.fixture
def two_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (corpus_render, corpus_samples):
        monkeypatch.setattr(module, "SHARD_CLIPS", 2)


def corpus(folder: Path, count: int = 4, seed: int = 3) -> list[Path]:
    options = CorpusOptions(out=folder, clips=CLIPS, count=count, seed=seed, workers=0)
    return render_corpus(options, lambda _done, _total: None)


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_a_sample_is_what_the_cue_said_when_it_was_rendered(
    index: int, bank: PictureBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[Frame, Array]] = []
    update = corpus_clip._ShownCue.update

    def listened(self: Any, frame: Frame, captured_s: float | None) -> CueOutput:
        output = update(self, frame, captured_s)
        said.append((frame, output.tensors["cue"][0].copy()))
        return output

    monkeypatch.setattr(corpus_clip._ShownCue, "update", listened)
    write_shard(tmp_path / "shard-00000.safetensors", [render_clip(CLIPS, 5, index, bank)])
    assert len(said) == FRAMES
    for place, (frame, cue) in enumerate(said):
        stored = sample_of(open_shard(tmp_path / "shard-00000.safetensors"), 0, place, CUE, None)
        assert np.array_equal(stored[0], frame)
        assert np.array_equal(stored[1][3:], cue[3:].astype(np.float16))
        # 255 steps of the root: half a step is 0.04 px where the flow is 5 px, and less below.
        assert np.abs(stored[1][:3] - cue[:3].clip(0, 20)).max() < 0.09
        assert set(np.unique(stored[2])) <= {0, 50, 170, 255}


def test_a_clip_depends_on_its_seed_and_number_alone(bank: PictureBank) -> None:
    first = render_clip(CLIPS, 1, 7, bank)
    render_clip(CLIPS, 1, 8, bank)
    again, other = render_clip(CLIPS, 1, 7, bank), render_clip(CLIPS, 2, 7, bank)
    assert _same(first, again)
    assert not _same(first, other)


def _same(one: Clip, other: Clip) -> bool:
    return np.array_equal(one.facts, other.facts) and all(
        len(one.pictures[name]) == len(other.pictures[name])
        and all(map(np.array_equal, one.pictures[name], other.pictures[name]))
        for name in one.pictures
    )


def test_a_held_background_differs_from_the_plain_one_and_a_blind_one_never_does(bank: PictureBank) -> None:
    def differing(options: ClipOptions) -> int:
        clips = [render_clip(options, 4, index, bank) for index in range(6)]
        pairs = [zip(c.pictures["held"], c.pictures["plain"], strict=True) for c in clips]
        return sum(not np.array_equal(held, plain) for pair in pairs for held, plain in pair)

    still = replace(CLIPS, settled=1.0, cold=0.0)
    assert differing(still) > 0
    assert differing(replace(still, blind=1.0)) == 0


def test_ordinary_clips_are_neither_dark_nor_white(bank: PictureBank) -> None:
    def levels(ordinary: float) -> list[float]:
        options = replace(CLIPS, ordinary=ordinary, overexposed=1.0, cold=1.0, settled=0.0, hard=0.0)
        options = replace(options, others=Mix(night=0.5, fogged=0.5))
        return [float(_frame(render_clip(options, 12, index, bank)).mean()) for index in range(8)]

    ordinary, other = levels(1.0), levels(0.0)
    assert all(40 < level < 220 for level in ordinary)
    assert not all(40 < level < 220 for level in other)


def _frame(clip: Clip) -> Frame:
    return np.asarray(cv2.imdecode(clip.pictures["frame"][0], cv2.IMREAD_COLOR), np.uint8)


def test_runs_are_consecutive_frames(bank: PictureBank) -> None:
    for index in range(4):
        facts = render_clip(replace(CLIPS, cold=0.5), 6, index, bank).facts
        numbers = facts[:, 4].reshape(2, RUN)
        assert (np.diff(numbers, axis=1) == 1).all()
        assert numbers[0, -1] < numbers[1, 0]


def test_flow_comes_back_within_half_a_step_of_its_root() -> None:
    flow = np.linspace(0, 25, 3 * 16).reshape(3, 4, 4).astype(np.float32)
    back = flow_of(coded_flow(flow, 20.0), 20.0)
    assert np.abs(np.sqrt(back / 20) - np.sqrt(flow.clip(0, 20) / 20)).max() <= 0.5 / 255 + 1e-6


@pytest.mark.usefixtures("two_clips")
def test_rendering_goes_on_where_it_was_and_refuses_another_corpus(tmp_path: Path) -> None:
    files = corpus(tmp_path / "c")
    bytes_before = [file.read_bytes() for file in files]
    stamp = files[0].stat().st_mtime_ns
    files[1].unlink()
    (tmp_path / "c" / "shard-00001.safetensors.half").write_bytes(b"left by a kill")
    assert [file.read_bytes() for file in corpus(tmp_path / "c")] == bytes_before
    assert files[0].stat().st_mtime_ns == stamp
    assert len(corpus(tmp_path / "c", count=5)) == 3
    with pytest.raises(ExportError, match="another seed"):
        corpus(tmp_path / "c", seed=4)
    changed = CorpusOptions(out=tmp_path / "c", clips=replace(CLIPS, cold=0.9), count=2, seed=3, workers=0)
    with pytest.raises(ExportError, match="another shares"):
        render_corpus(changed, lambda _done, _total: None)


def test_processes_render_what_one_does(tmp_path: Path) -> None:
    options = CorpusOptions(out=tmp_path / "a", clips=replace(CLIPS, size=(32, 32)), count=64, seed=1)
    (tmp_path / "a").mkdir()
    corpus_render._render_shard(options, 1)
    together = render_corpus(replace(options, out=tmp_path / "b", workers=2), lambda _done, _total: None)
    assert together[1].read_bytes() == shard_file(tmp_path / "a", 1).read_bytes()


@pytest.mark.usefixtures("two_clips")
def test_every_clip_is_drawn_once_before_any_is_drawn_again(tmp_path: Path) -> None:
    corpus(tmp_path / "a", count=2)
    corpus(tmp_path / "b", count=4, seed=9)
    clips = corpus_clips((tmp_path / "a", tmp_path / "b"), CUE, SIZE)
    assert clips.shards == (1, 2)
    plain = replace(clips, augment=False)
    for epoch in range(2):
        # Both frames of a draw are of one clip: its number in the scene tells the run.
        drawn = {plain(1, 6 * epoch + k)[0][1][3:6].tobytes() for k in range(6)}
        assert len(drawn) >= 5
    assert np.array_equal(clips(1, 3)[0][1], clips(1, 3)[0][1])
    # A corpus that grows meanwhile changes nothing.
    before = clips(1, 3)[0][0]
    corpus(tmp_path / "b", count=6, seed=9)
    corpus_samples._files.cache_clear()
    assert np.array_equal(clips(1, 3)[0][0], before)


def test_a_look_changes_the_frame_and_what_it_is_compared_with_alike() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    looks = [Look(np.random.default_rng(n)) for n in range(40)]
    changed = [not np.array_equal(look.coloured(picture), picture) for look in looks]
    assert 10 < sum(changed) < 35
    misplaced = [look for look in looks if not np.array_equal(look.misplaced(picture), picture)]
    assert 3 < len(misplaced) < 18
    for look in looks:
        assert look.coloured(picture).shape == look.past(picture).shape == picture.shape


def test_flow_leaks_in_some_looks_and_hides_none() -> None:
    flow = np.zeros((3, *SIZE), np.float32)
    flow[:, 40:] = 19
    leaking = [Look(np.random.default_rng(n)).leaking(flow) for n in range(60)]
    assert all((seen >= flow).all() and seen.shape == flow.shape for seen in leaking)
    assert 12 < sum(bool((seen[:, :40] > 0.05).any()) for seen in leaking) < 36


def test_the_cue_of_the_training_chooses_the_background(bank: PictureBank, tmp_path: Path) -> None:
    file = tmp_path / "shard-00000.safetensors"
    options = replace(CLIPS, settled=1.0)
    write_shard(file, [render_clip(options, 4, index, bank) for index in range(6)])
    shard = open_shard(file)
    planes = [
        [sample_of(shard, c, 7, cue, None)[1] for c in range(6)] for cue in (CUE, replace(CUE, hold=0.0))
    ]
    assert any(not np.array_equal(a[3:7], b[3:7]) for a, b in zip(*planes, strict=True))
    assert all(np.array_equal(a[7:], b[7:]) for a, b in zip(*planes, strict=True))


def test_masks_are_the_truth_with_faults() -> None:
    labels = np.zeros(SIZE, np.uint8)
    labels[10:50, 10:50] = 255
    shares = []
    for seed in range(60):
        masks = FaultyMasks(np.random.default_rng(seed), SIZE, 0.3)
        found = masks.probability(labels) > 0.7
        shares.append(float(found[10:50, 10:50].mean()))
        assert found.mean() < 0.6
    assert np.mean(np.array(shares) == 0) == pytest.approx(0.4, abs=0.15)
    assert np.mean(np.array(shares) > 0.9) > 0.15
    blind = FaultyMasks(np.random.default_rng(0), SIZE, 1.0)
    assert not any(blind.probability(labels).any() for _ in range(5))


@pytest.mark.usefixtures("two_clips")
def test_what_is_no_corpus_or_another_ones_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is no corpus"):
        corpus_clips((tmp_path,), CUE, SIZE)
    files = corpus(tmp_path / "c", count=2)
    with pytest.raises(SourceError, match="frames of 64x64, and the training is for 128x64"):
        corpus_clips((tmp_path / "c",), CUE, (64, 128))
    with pytest.raises(SourceError, match="rendered for preset fine"):
        corpus_clips((tmp_path / "c",), replace(CUE, preset="fast"), SIZE)
    files[0].write_bytes(files[0].read_bytes()[:2000])
    with pytest.raises(SourceError, match="no shard of a corpus"):
        open_shard(files[0])
    files[0].unlink()
    with pytest.raises(SourceError, match="holds no clip yet"):
        corpus_clips((tmp_path / "c",), CUE, SIZE)


def test_a_picture_that_is_missing_names_the_shard(tmp_path: Path) -> None:
    pictures: dict[str, list[Array]] = {name: [] for name in PICTURES}
    for name in OF_FRAME:
        pictures[name] = [coded(np.zeros((8, 8, 3), np.uint8))] * FRAMES
    write_shard(shard_file(tmp_path, 0), [Clip(pictures, np.zeros((FRAMES, 6), np.float32))])
    shard = open_shard(shard_file(tmp_path, 0))
    assert shard.picture(0, "frame", 7).shape == (8, 8, 3)
    with pytest.raises(SourceError, match=r"shard-00000.safetensors: no held 0 of clip 0"):
        shard.picture(0, "held", 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "--clips must be at least 1"),
        ({"seed": 2_000_000_000}, "--seed must be below"),
        ({"workers": -1}, "--workers must be at least 0"),
    ],
)
def test_wrong_options_are_named(changes: dict[str, int], message: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"out": tmp_path, "clips": CLIPS, "count": 1, "seed": 1, **changes}
    with pytest.raises(ExportError, match=message):
        CorpusOptions(**given)
    with pytest.raises(ExportError, match="--cold must be from 0 to 1"):
        replace(CLIPS, cold=1.5)


@pytest.mark.usefixtures("two_clips")
def test_edge_is_trained_from_a_corpus(tmp_path: Path) -> None:
    corpus(tmp_path / "c")
    task = task_for(_request(tmp_path, corpus=(tmp_path / "c",)))
    settings = task.settings()
    assert settings["corpus"] == [str(tmp_path / "c")]
    assert settings["shards"] == [2]
    batch = next(task.batches(1, 4, 0))
    assert {name: array.shape for name, array in batch.items()} == {
        "frame": (4, *SIZE, 3),
        "cue": (4, 11, *SIZE),
        "labels": (4, *SIZE),
    }
    tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
    loss = task.loss(task.forward(task.graph, tensors), tensors)["loss"]
    assert bool(torch.isfinite(loss))


def _request(out: Path, **changes: Any) -> TrainRequest:
    model = changes.pop("model", ModelRequest(model="edge", weights="random", size=SIZE))
    loop = LoopOptions(out=out, schedule=Schedule(steps=1))
    return TrainRequest(model=model, loop=loop, feed=Feed(workers=0), validation_sequences=1, **changes)


def test_a_corpus_takes_no_options_of_what_is_rendered_already(tmp_path: Path) -> None:
    for changes in ({"settled": 0.5}, {"images": tmp_path}):
        with pytest.raises(ExportError, match="a corpus is rendered already: leave --data, --images"):
            _request(tmp_path, corpus=(tmp_path,), **changes)
    with pytest.raises(ExportError, match="leave --corpus out for crossnet"):
        _request(tmp_path, corpus=(tmp_path,), model=ModelRequest(width=1))


def test_the_command_renders_and_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(corpus_render, "SHARD_CLIPS", 1)
    out = tmp_path / "c"
    main([str(out), "--clips", "2", "--size", "64x64", "--workers", "0", "--seed", "8"])
    assert capsys.readouterr().out == f"2 shards in {out}\n"
    with pytest.raises(SystemExit) as ended:
        main([str(out), "--clips", "1", "--size", "64x64", "--workers", "0", "--seed", "9"])
    assert ended.value.code == 1
    assert "another seed" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), "--clips", "1", "--size", "64"])
    assert ended.value.code == 2
