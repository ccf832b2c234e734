"""A corpus in a device's memory gives what the corpus gives, and takes in what comes meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.scenes.scene import PictureBank
from edgebs.bundle.manifest import CueSettings
from edgebs.errors import ExportError, OptionError
from edgebs.tensors import Frame
from export.models.request import ModelRequest
from export.training import LoopOptions, Schedule, TrainRequest
from export.training import resident as resident_corpus
from export.training.corpus import FRAMES, Shard, shard_file, write_shard
from export.training.corpus.clip import ClipOptions, render_clip
from export.training.corpus.samples import sample_of
from export.training.loop import train
from export.training.resident import STATES, Looks, ResidentCorpus, changed, decoded, resident_batches
from export.training.stream import Feed
from export.training.task import tensors_from
from export.training.tasks import task_for

SIZE = (64, 64)
CUE: CueSettings = ModelRequest(model="edge", weights="random", size=SIZE).cue
CLIPS = ClipOptions(cue=CUE, size=SIZE, blind=0.0, settled=0.0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("corpus")
    bank = PictureBank.open()
    for number in range(2):
        clips = [render_clip(CLIPS, 5, 6 * number + k, bank) for k in range(6)]
        write_shard(shard_file(made, number), clips)
    return made


def neutral(count: int = FRAMES) -> Looks:
    looks = Looks(np.random.default_rng(0), count, SIZE)
    for name, value in {
        "gain": 1, "lift": 0, "noise": 0, "is_grey": 0, "light": 1, "is_mirrored": 0, "zoom": 1, "off": 0,
        "scale": 1, "centre": 0, "magnified": 1, "leak": 0,
    }.items():  # fmt: skip
        getattr(looks, name)[...] = value
    return looks


def test_without_a_change_a_sample_is_that_of_the_corpus(folder: Path) -> None:
    shard, compared = Shard(shard_file(folder, 0)), 0
    for clip in range(len(shard)):
        if shard.facts[clip][:, 0].max() >= STATES:
            continue
        arrays = decoded(shard, clip, holds=CUE.hold > 0)
        facts = torch.from_numpy(arrays.facts)
        states = torch.from_numpy(arrays.states)[facts[:, 0].long()]
        made = changed(torch.from_numpy(arrays.frames), states, facts, neutral(), CUE.max_magnitude)
        for place in range(FRAMES):
            frame, cue, labels = sample_of(shard, clip, place, CUE, None)
            assert np.array_equal(made["frame"][place], frame)
            assert np.array_equal(made["labels"][place], labels)
            apart = np.abs(made["cue"][place].numpy() - cue.astype(np.float32))
            # float16 has 11 bits; OpenCV shifts by 1/32 of a pixel, PyTorch exactly.
            assert apart[[0, 1, 2, 7]].max() < 0.07
            is_shifted = shard.facts[clip][place, 1:3].any()
            assert apart[3:].mean() < 0.5 if is_shifted else apart[[3, 4, 5, 6, 8, 9, 10]].max() == 0
            compared += 1
    assert compared >= FRAMES


def test_of_many_states_the_newest_are_kept_with_frames_that_see_them(folder: Path) -> None:
    shard = Shard(shard_file(folder, 0))
    shard.facts = np.array(shard.facts)
    shard.facts[0][:, 0] = [0, 0, 1, 1, 2, 3, 4, 4]

    def picture(_clip: int, name: str, place: int) -> Frame:
        return np.full(SIZE if name == "labels" else (*SIZE, 3), 10 * place, np.uint8)

    shard.picture = picture  # type: ignore[method-assign]
    arrays = decoded(shard, 0, holds=True)
    # States 2, 3 and 4; the frames 4 to 7 see them.
    assert arrays.states[:, 0, 0, 0].tolist() == [20, 30, 40]
    assert set(arrays.frames[:, 0, 0, 0].tolist()) == {40, 50, 60, 70}
    seen = dict(zip(arrays.frames[:, 0, 0, 0].tolist(), arrays.facts[:, 0].tolist(), strict=True))
    assert seen == {40: 0, 50: 1, 60: 2, 70: 2}


def test_what_is_enlarged_or_mirrored_keeps_its_labels() -> None:
    count = 60
    seen = torch.zeros((count, 7, *SIZE), dtype=torch.uint8)
    seen[:, :3, 20:40, 10:30], seen[:, 3, 20:40, 10:30], seen[:, 4:] = 200, 255, 51
    state = torch.zeros((count, 7, *SIZE), dtype=torch.uint8)
    looks = Looks(np.random.default_rng(1), count, SIZE)
    looks.gain[:], looks.lift[:], looks.noise[:], looks.leak[:] = 1, 0, 0, 0
    made = changed(seen, state, torch.zeros(count, 6), looks, 20.0)
    foreground = made["labels"] == 255
    agrees = (made["frame"][..., 0] > 100) == foreground
    assert float(agrees.float().mean()) > 0.99
    areas = foreground.sum((1, 2))
    assert len(set(areas.tolist())) > 5
    assert len({tuple(row.tolist()) for row in foreground.any(1)}) > 5
    # (51 / 255)^2 of 20 px, as many times as large as the scene.
    assert np.allclose(made["cue"][:, 0, 0, 0].numpy(), 0.8 * looks.magnified, atol=1e-4)
    assert looks.magnified.max() > 1.2


def test_looks_change_frame_and_background_alike() -> None:
    picture = torch.randint(60, 190, (40, 3, *SIZE), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )
    seen = torch.cat([picture, torch.zeros((40, 4, *SIZE), dtype=torch.uint8)], 1)
    state = torch.cat([picture, picture, torch.zeros((40, 1, *SIZE), dtype=torch.uint8)], 1)
    looks = Looks(np.random.default_rng(2), 40, SIZE)
    looks.light[:], looks.noise[:], looks.off[:], looks.zoom[:] = 1, 0, 0, 1
    made = changed(seen, state, torch.zeros(40, 6), looks, 20.0)
    frame = made["frame"].permute(0, 3, 1, 2).float()
    assert float((frame - made["cue"][:, 3:6]).abs().max()) <= 1
    assert float((frame - made["cue"][:, 8:]).abs().max()) <= 1
    assert (frame - picture).abs().amax((1, 2, 3)).gt(5).sum() > 10


def test_flow_leaks_where_nothing_moves_and_hides_none() -> None:
    count = 40
    seen = torch.zeros((count, 7, *SIZE), dtype=torch.uint8)
    seen[:, 4:, 30:] = 255
    looks = Looks(np.random.default_rng(3), count, SIZE)
    looks.scale[:], looks.centre[:], looks.magnified[:] = 1, 0, 1
    flow = changed(seen, seen, torch.zeros(count, 6), looks, 20.0)["cue"][:, :3]
    assert flow[:, :, 32:].min() > 19.9
    leaks = flow[:, :, :28].amax((2, 3))
    is_leaking = leaks[:, 0] > 0.05
    assert 5 < int(is_leaking.sum()) < 25
    assert bool((leaks[is_leaking].diff(dim=1) >= 0).all())


@contextmanager
def in_memory(folder: Path, clips: int) -> Iterator[ResidentCorpus]:
    with ResidentCorpus((folder,), CPU, SIZE, holds=True, clips=clips, workers=1) as corpus:
        yield corpus


def test_clips_come_in_while_the_corpus_grows_and_the_oldest_make_way(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident_corpus, "FEWEST", 6)
    (tmp_path / "s").mkdir()
    shard_file(tmp_path / "s", 0).write_bytes(shard_file(folder, 0).read_bytes())
    with in_memory(tmp_path / "s", 8) as corpus:
        corpus.take_in(6)
        assert (corpus.count, corpus.seen) == (6, 6)
        batch = corpus.batch(np.random.default_rng(0), 5, 20.0)
        assert batch["frame"].shape == (5, *SIZE, 3)
        assert batch["cue"].shape == (5, 11, *SIZE)
        assert batch["labels"].dtype == torch.uint8
        again = corpus.batch(np.random.default_rng(0), 5, 20.0)
        assert all(torch.equal(batch[name], again[name]) for name in batch)
        first = corpus._frames[0].clone()
        shard_file(tmp_path / "s", 1).write_bytes(shard_file(folder, 1).read_bytes())
        monkeypatch.setattr(resident_corpus, "FEWEST", 13)  # wait for them
        while corpus.seen < 12:
            corpus.take_in(1)
        assert corpus.count == 8
        assert not torch.equal(corpus._frames[0], first)


def test_a_dead_reader_is_named(folder: Path) -> None:
    with in_memory(folder, 8) as corpus:
        corpus.take_in(1)
        for process in corpus._processes:
            process.kill()
            process.join()
        with pytest.raises(ExportError, match="reads the corpus ended: use fewer --workers"):
            _drain(corpus)


def _drain(corpus: ResidentCorpus) -> None:
    corpus.count = resident_corpus.FEWEST
    while True:
        corpus.take_in(100)


def test_a_model_is_trained_from_memory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.training.tasks.corpus_clips", lambda *_: _clips(folder))
    model = ModelRequest(model="edge-nano", weights="random", size=SIZE)
    loop = LoopOptions(
        out=tmp_path / "out", schedule=Schedule(steps=2), batch=4, device="cpu", precision="fp32"
    )
    request = TrainRequest(
        model=model, loop=loop, feed=Feed(workers=1), loss="shadows", corpus=(folder,), resident=12,
        validation_sequences=1,
    )  # fmt: skip
    summary = train(task_for(request), loop, say=lambda _: None, bar=_no_bar)
    assert (summary["steps"], summary["samples"]) == (2, 8)
    with pytest.raises(OptionError, match="--resident must be 0 without --corpus, got 12"):
        replace(request, corpus=())


def test_batches_may_be_tensors_already(folder: Path) -> None:
    corpus = ResidentCorpus((folder,), CPU, SIZE, holds=True, clips=12, workers=1)
    stream = resident_batches(corpus, 1, 3, 0, 20.0)
    tensors = tensors_from(next(stream), CPU)
    assert tensors["cue"].dtype == torch.float32
    stream.close()  # type: ignore[attr-defined]
    assert not any(process.is_alive() for process in corpus._processes)


def _clips(folder: Path):  # type: ignore[no-untyped-def]
    from export.training.corpus.samples import CorpusClips

    return CorpusClips(folders=(folder,), shards=(2,), cue=CUE)


@contextmanager
def _no_bar(_: str):  # type: ignore[no-untyped-def]
    yield lambda _done, _total: None
