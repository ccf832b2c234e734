from itertools import islice

import numpy as np
import pytest
from fakes.networks.toy_task import draw

from export.training.samples import as_it_is, flipped_and_tinted
from export.training.stream import Feed, Prefetcher, batches


def first(count, *, workers=0, start=0, seed=4, augment=flipped_and_tinted, replay=2):
    feed = Feed(per_sequence=3, replay=replay, reservoir=60, workers=workers)
    stream = batches(draw, augment, feed, seed, 5, start)
    try:
        return list(islice(stream, count))
    finally:
        stream.close()


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in ("frame", "cue", "labels"))


def test_a_batch_holds_frames_cues_and_labels():
    batch = first(1)[0]
    assert {name: (array.shape, array.dtype.name) for name, array in batch.items()} == {
        "frame": ((5, 16, 16, 3), "uint8"),
        "cue": ((5, 3, 16, 16), "float16"),
        "labels": ((5, 16, 16), "uint8"),
    }


@pytest.mark.parametrize("workers", [1, 3])
def test_the_batches_are_the_same_however_many_processes_render(workers):
    assert all(map(same, first(12, workers=workers), first(12)))


@pytest.mark.parametrize("start", [1, 7, 40])
def test_batches_from_a_later_step_are_those_of_the_whole_stream(start):
    assert all(map(same, first(6, start=start), first(start + 6)[start:]))


def test_another_seed_gives_other_batches():
    assert not same(first(1)[0], first(1, seed=5)[0])


def test_no_more_samples_are_held_than_the_reservoir_allows():
    feed = Feed(per_sequence=6, replay=4, reservoir=4096)
    assert feed.order(0).held * feed.per_sequence <= feed.reservoir


def test_mirrors_move_frame_cue_and_labels_together():
    plain, changed = first(8, augment=as_it_is), first(8)
    mirrored = 0
    for before, after in zip(plain, changed, strict=True):
        for sample in range(5):
            is_mirrored = not np.array_equal(before["labels"][sample], after["labels"][sample])
            mirrored += is_mirrored
            step = -1 if is_mirrored else 1
            assert np.array_equal(before["labels"][sample][:, ::step], after["labels"][sample])
            assert np.array_equal(before["cue"][sample][..., ::step], after["cue"][sample])
            bright = after["frame"][sample].mean(axis=-1) > 100
            assert np.array_equal(bright, np.isin(after["labels"][sample], (170, 255)))
    assert 8 <= mirrored <= 32


def test_what_the_reading_thread_raises_reaches_the_caller():
    def failing():
        yield 1
        raise ValueError("no more")

    with Prefetcher(failing()) as ahead:
        assert ahead.take(lambda: False) == 1
        with pytest.raises(ValueError, match="no more"):
            ahead.take(lambda: False)


def test_a_wait_ends_when_somebody_asks_to_stop():
    asked = []

    def endless():
        while True:
            if asked:
                return
            yield 1

    with Prefetcher(endless()) as ahead:
        asked.append(1)
        assert ahead.take(lambda: True) is None


def test_closing_ends_the_iterator():
    closed = []

    def counting():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    with Prefetcher(counting()) as ahead:
        ahead.take(lambda: False)
    assert closed == [True]
