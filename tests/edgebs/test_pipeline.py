import gc
import itertools
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from fakes.networks.backends import FakeCue, FakeSegment, fake_manifest, fake_pipeline, grey_frame
from fakes.process.waiting import WATCHDOG_S

from bench.speed.memory import resident_mb
from edgebs.errors import SourceError, StageError
from edgebs.pipeline import Pipeline
from edgebs.video.open import SourceFrame


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("edgebs-")]


def assert_workers_end():
    for worker in workers():
        worker.join(WATCHDOG_S)
    assert not workers()


def test_run_yields_every_frame_in_order_at_its_own_size():
    with fake_pipeline() as pipeline:
        results = list(pipeline.run([grey_frame(level) for level in (0, 100, 200, 255)]))
    assert [result.index for result in results] == [0, 1, 2, 3]
    assert [result.mask.shape for result in results] == [(16, 32)] * 4
    assert [int(result.mask[0, 0]) for result in results] == [0, 0, 255, 255]
    assert [result.probability.shape for result in results] == [(8, 16)] * 4
    assert [result.warming_up for result in results] == [True, True, False, False]


def test_results_do_not_share_the_buffer_of_the_backend():
    with fake_pipeline() as pipeline:
        results = list(pipeline.run([grey_frame(51), grey_frame(255)]))
    assert results[0].probability[0, 0] == pytest.approx(0.2)
    assert results[1].probability[0, 0] == pytest.approx(1.0)


def test_process_gives_what_run_gives():
    frames = [grey_frame(level) for level in (10, 140, 250)]
    with fake_pipeline() as pipeline:
        run = [result.mask for result in pipeline.run(frames)]
        pipeline.reset()
        single = [pipeline.process(frame).mask for frame in frames]
    np.testing.assert_array_equal(run, single)


def test_process_keeps_counting_and_reset_starts_again():
    with fake_pipeline() as pipeline:
        assert [pipeline.process(grey_frame(1)).index for _ in range(3)] == [0, 1, 2]
        pipeline.reset()
        assert pipeline.process(grey_frame(1)).index == 0


def test_every_stage_is_timed_and_latency_covers_them():
    with fake_pipeline() as pipeline:
        (result,) = pipeline.run([grey_frame(1)])
    assert set(result.stages_ms) == {"read", "pre", "cue", "segment", "post"}
    inside = sum(result.stages_ms[stage] for stage in ("pre", "cue", "segment", "post"))
    assert result.latency_ms >= inside


def test_a_new_run_starts_with_an_empty_history():
    cue = FakeCue()
    with Pipeline(fake_manifest(), FakeSegment(), cue) as pipeline:
        list(pipeline.run([grey_frame(1), grey_frame(2)]))
        assert next(iter(pipeline.run([grey_frame(3)]))).warming_up
        assert cue.seen == [3]


def test_leaving_the_loop_ends_the_workers_and_counts_what_was_dropped():
    with fake_pipeline() as pipeline:
        for result in pipeline.run(itertools.repeat(grey_frame(1))):
            if result.index == 5:
                break
        gc.collect()
        assert_workers_end()
        counters = pipeline.counters
        assert counters.frames_out == 6
        assert counters.frames_in == counters.frames_out + counters.frames_dropped
        assert len(list(pipeline.run([grey_frame(1)]))) == 1


def test_an_abandoned_run_is_ended_by_close():
    pipeline = fake_pipeline()
    results = pipeline.run(itertools.repeat(grey_frame(1)))
    next(results)
    pipeline.close()
    assert_workers_end()
    assert list(results) == []


@pytest.mark.parametrize(("level", "stage"), [(66, "cue"), (13, "segment")])
def test_an_error_in_a_stage_reaches_the_caller_after_the_frames_before_it(level, stage):
    frames = [grey_frame(1), grey_frame(2), grey_frame(level), grey_frame(3), grey_frame(4), grey_frame(5)]
    seen = []
    with fake_pipeline() as pipeline:
        with pytest.raises(StageError, match=f"frame 2: stage '{stage}' failed: ArithmeticError") as caught:
            seen.extend(result.index for result in pipeline.run(frames))
        assert_workers_end()
        counters = pipeline.counters
    assert seen == [0, 1]
    assert (caught.value.index, caught.value.stage) == (2, stage)
    assert isinstance(caught.value.__cause__, ArithmeticError)
    assert counters.frames_in == counters.frames_out + counters.frames_dropped


def test_a_source_that_dies_mid_stream_is_named_with_the_frame():
    def dying():
        yield from (grey_frame(1), grey_frame(2))
        raise ConnectionError("camera unplugged")

    seen = []
    with fake_pipeline() as pipeline:
        with pytest.raises(StageError, match=r"frame 2: stage 'source' failed: .*camera unplugged"):
            seen.extend(result.index for result in pipeline.run(dying()))
        assert_workers_end()
    assert seen == [0, 1]


def test_a_wrong_frame_in_mid_stream_names_index_shape_and_repair():
    with fake_pipeline() as pipeline, pytest.raises(StageError, match=r"frame 1.*\(16, 32\).*COLOR_GRAY2BGR"):
        list(pipeline.run([grey_frame(1), grey_frame(2)[..., 0]]))


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8)]
)
def test_process_refuses_what_is_no_frame(frame):
    with fake_pipeline() as pipeline, pytest.raises(SourceError, match="uint8"):
        pipeline.process(frame)


@contextmanager
def used_by_another_thread(results):
    """A thread that has taken the first result and lives on."""
    has_begun, may_end = threading.Event(), threading.Event()

    def use():
        next(results)
        has_begun.set()
        may_end.wait(WATCHDOG_S)

    thread = threading.Thread(target=use)
    thread.start()
    has_begun.wait(WATCHDOG_S)
    try:
        yield
    finally:
        may_end.set()
        thread.join()


def test_process_and_a_second_run_are_refused_while_another_thread_uses_a_run():
    with fake_pipeline() as pipeline:
        results = pipeline.run(itertools.repeat(grey_frame(1)))
        with used_by_another_thread(results):
            with pytest.raises(RuntimeError, match="cannot overlap"):
                pipeline.process(grey_frame(1))
            with pytest.raises(RuntimeError, match="already running"):
                next(pipeline.run([grey_frame(1)]))
            results.close()
            assert pipeline.process(grey_frame(1)).index == 0


@pytest.mark.parametrize("later", [lambda p: p.process(grey_frame(1)), lambda p: p.run([grey_frame(1)])])
def test_a_later_call_ends_a_run_of_the_same_thread_and_the_run_says_so(later):
    with fake_pipeline() as pipeline:
        older = pipeline.run(itertools.repeat(grey_frame(1)))
        next(older)
        kept = later(pipeline)
        with pytest.raises(RuntimeError, match=r"ended by a later run\(\) or process\(\)"):
            next(older)
        del kept
    assert_workers_end()


def test_a_later_run_ends_one_whose_thread_has_ended():
    with fake_pipeline() as pipeline:
        older = pipeline.run(itertools.repeat(grey_frame(1)))
        with used_by_another_thread(older):
            pass
        assert len(list(pipeline.run([grey_frame(1)]))) == 1
        with pytest.raises(RuntimeError, match="ended by a later"):
            next(older)


def interrupted_in_the_loop(pipeline):
    run = pipeline.run(itertools.repeat(grey_frame(1)))
    for _ in run:
        raise KeyboardInterrupt


def interrupted_while_waiting(pipeline):
    def frames():
        yield grey_frame(1)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        yield from itertools.repeat(grey_frame(1))

    for _ in pipeline.run(frames()):
        pass


@pytest.mark.parametrize("cell", [interrupted_in_the_loop, interrupted_while_waiting])
def test_an_interrupted_notebook_cell_leaves_the_pipeline_usable(cell):
    with fake_pipeline() as pipeline:
        with pytest.raises(KeyboardInterrupt) as kept:  # as sys.last_value keeps it, and with it the run
            cell(pipeline)
        assert [result.index for result in pipeline.run([grey_frame(1)] * 3)] == [0, 1, 2]
        assert pipeline.process(grey_frame(1)).index == 0
        assert_workers_end()
        del kept


def test_an_iteration_that_was_interrupted_is_over():
    with fake_pipeline() as pipeline:
        run = pipeline.run(itertools.chain([grey_frame(1)], interrupting(), itertools.repeat(grey_frame(1))))
        with pytest.raises(KeyboardInterrupt):
            for _ in run:
                pass
        assert_workers_end()
        assert list(run) == []


def interrupting():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.3)
    yield grey_frame(1)


class InterruptedAt:
    """Raises KeyboardInterrupt in the n-th line, call or return of edgebs's own code in this thread.

    Not in the n-th bytecode: an exception of a trace function there corrupts the stack of CPython 3.11.
    """

    def __init__(self, number):
        self.left = number

    def __enter__(self):
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_):
        sys.settrace(None)

    def _trace(self, frame, _event, _argument):
        if "/edgebs/" not in frame.f_code.co_filename or "/tests/" in frame.f_code.co_filename:
            return None
        self.left -= 1
        if self.left < 0:
            sys.settrace(None)
            raise KeyboardInterrupt
        return self._trace


def a_loop(pipeline):
    for result in pipeline.run([grey_frame(1)] * 9):
        if result.index == 1:
            break


def a_run_closed(pipeline):
    with pipeline.run([grey_frame(1)] * 9) as run:
        next(run)


def a_run_to_its_end(pipeline):
    list(pipeline.run([grey_frame(1)]))


def one_frame(pipeline):
    pipeline.process(grey_frame(1))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Run.__del__ was interrupted
@pytest.mark.parametrize("use", [a_loop, a_run_closed, a_run_to_its_end, one_frame])
def test_an_interruption_anywhere_leaves_the_pipeline_usable_and_no_worker(use):
    kept, hit = [], 0  # the tracebacks, which keep the runs
    with fake_pipeline() as pipeline:
        for number in itertools.count():
            try:
                with InterruptedAt(number) as interruption:
                    use(pipeline)
                if interruption.left >= 0:
                    break
            except KeyboardInterrupt as error:
                kept.append(error)
            hit += 1
            assert len(list(pipeline.run([grey_frame(1)] * 2))) == 2
            assert pipeline.process(grey_frame(1)).index == 0
        assert hit > 30
        assert closes(pipeline)
    assert_workers_end()


def test_a_source_that_blocks_does_not_hold_the_caller_nor_touch_the_next_run():
    is_blocked, release = threading.Event(), threading.Event()

    def blocking():
        yield grey_frame(1)
        is_blocked.set()
        release.wait(WATCHDOG_S)
        yield grey_frame(99)

    cue = FakeCue()
    with Pipeline(fake_manifest(), FakeSegment(), cue) as pipeline:
        results = pipeline.run(blocking())
        next(results)
        assert is_blocked.wait(WATCHDOG_S)
        results.close()
        assert [worker.name for worker in workers()] == ["edgebs-cue_stage"]  # still inside its source
        list(pipeline.run([grey_frame(2)]))
        release.set()
        assert_workers_end()
        assert cue.seen == [2]


def test_at_most_a_handful_of_frames_is_in_flight():
    taken = []

    def counted():
        for level in itertools.count():
            taken.append(level)
            yield grey_frame(level % 10)

    with fake_pipeline() as pipeline:
        results = pipeline.run(counted())
        in_flight = []
        for result in itertools.islice(results, 20):
            time.sleep(0.01)  # time to read ahead; a busy machine reads less far, never farther
            in_flight.append(len(taken) - result.index - 1)
        results.close()
    # queue 1, segment stage 1, queue of results 1, and one in the cue stage
    assert max(in_flight) <= 4


def test_the_time_of_a_frame_reaches_the_result():
    frames = [SourceFrame(image=grey_frame(1), captured_s=index / 10, index=index) for index in range(3)]
    with fake_pipeline() as pipeline:
        assert [result.captured_s for result in pipeline.run(frames)] == [0.0, 0.1, 0.2]


def test_close_twice_closes_what_it_owns():
    segment, cue = FakeSegment(), FakeCue()
    pipeline = Pipeline(fake_manifest(), segment, cue)
    pipeline.close()
    pipeline.close()
    assert segment.closed >= 1
    assert cue.closed >= 1


def test_ten_thousand_frames_neither_lose_a_frame_nor_grow():
    frame = grey_frame(7, (64, 64))
    with fake_pipeline() as pipeline:
        before_mb = 0.0
        last = -1
        for result in pipeline.run(itertools.repeat(frame), frames=10_000):
            assert result.index == last + 1
            last = result.index
            if last == 2000:
                before_mb = resident_mb()
        grown_mb = resident_mb() - before_mb
        counters = pipeline.counters
    assert (last, counters.frames_in, counters.frames_out, counters.frames_dropped) == (
        9999,
        10_000,
        10_000,
        0,
    )
    assert grown_mb < 5


def test_no_stage_polls_or_sleeps_between_frames(monkeypatch):
    """Each side is woken by the other. A sleep, or a wait with a limit, would add itself to the latency."""
    idled, wait = [], threading.Condition.wait

    def noted_wait(condition, timeout=None):
        idled.extend([] if timeout is None else [timeout])
        return wait(condition, timeout)

    with fake_pipeline() as pipeline, monkeypatch.context() as patch:
        patch.setattr(time, "sleep", idled.append)
        patch.setattr(threading.Condition, "wait", noted_wait)
        results = pipeline.run(itertools.repeat(grey_frame(7)))
        assert [result.index for result in itertools.islice(results, 200)] == list(range(200))
    assert idled == []


class Slow(FakeSegment):
    """Stays inside until it is let out, and notices when it is closed meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.is_inside, self.may_leave = threading.Event(), threading.Event()
        self.was_closed_inside = False

    def infer(self, feed):
        self.is_inside.set()
        self.may_leave.wait(WATCHDOG_S)
        self.was_closed_inside |= bool(self.closed)
        return super().infer(feed)


def close_while_inside(pipeline, segment):
    """Close in another thread while the network runs; let the network out afterwards."""
    assert segment.is_inside.wait(WATCHDOG_S)
    closing = threading.Thread(target=pipeline.close)
    closing.start()
    time.sleep(0.2)  # time to close too early; a busy machine closes later, never earlier
    assert segment.closed == 0
    segment.may_leave.set()
    closing.join(WATCHDOG_S)
    assert not closing.is_alive()


def test_an_engine_is_never_freed_while_it_runs(monkeypatch):
    monkeypatch.setattr("edgebs.workers.LEAVE_S", 0.01)
    segment = Slow()
    pipeline = Pipeline(fake_manifest(), segment, FakeCue())
    results = pipeline.run(itertools.repeat(grey_frame(1)))
    reader = threading.Thread(target=lambda: next(results, None))
    reader.start()
    close_while_inside(pipeline, segment)
    reader.join(WATCHDOG_S)
    assert not segment.was_closed_inside
    assert segment.closed == 1


def test_close_waits_for_a_frame_in_process():
    segment = Slow()
    pipeline = Pipeline(fake_manifest(), segment, FakeCue())
    caller = threading.Thread(target=pipeline.process, args=(grey_frame(1),))
    caller.start()
    close_while_inside(pipeline, segment)
    caller.join(WATCHDOG_S)
    assert not segment.was_closed_inside


def test_a_source_that_exits_is_an_error_and_not_the_end():
    def exiting():
        yield grey_frame(1)
        raise SystemExit(3)

    with fake_pipeline() as pipeline, pytest.raises(StageError, match=r"frame 1: stage 'source'.*SystemExit"):
        list(pipeline.run(exiting()))


def test_a_run_that_nobody_reads_holds_nothing(tmp_path):
    with fake_pipeline() as pipeline:
        with pytest.raises(SourceError, match=r"no-such\.mp4"):
            pipeline.run(tmp_path / "no-such.mp4")
        pipeline.run([grey_frame(1)])
        gc.collect()
        assert len(list(pipeline.run([grey_frame(1)]))) == 1


def test_a_run_that_its_own_source_closes_frees_the_pipeline():
    holder = {}

    def closing_itself():
        yield grey_frame(1)
        holder["run"].close()
        yield grey_frame(2)

    with fake_pipeline() as pipeline:
        holder["run"] = pipeline.run(closing_itself())
        list(holder["run"])
        holder["run"].close()
        assert_workers_end()
        assert len(list(pipeline.run([grey_frame(1)]))) == 1


def closes(pipeline):
    """Whether closing comes back."""
    closing = threading.Thread(target=pipeline.close, daemon=True)
    closing.start()
    closing.join(WATCHDOG_S)
    return not closing.is_alive()


def test_a_run_that_another_thread_closes_while_it_starts_frees_the_pipeline(monkeypatch):
    pipeline = fake_pipeline()
    run = pipeline.run([grey_frame(1)] * 9)
    stopping = threading.Thread(target=run.close)
    start = threading.Thread.start

    def closed_between_the_workers(thread):
        if thread.name == "edgebs-segment_stage":
            start(stopping)
            stopping.join(0.2)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", closed_between_the_workers)
    list(run)
    stopping.join()
    assert closes(pipeline)
    assert_workers_end()


def test_a_run_whose_threads_cannot_be_started_frees_the_pipeline(monkeypatch):
    pipeline = fake_pipeline()
    start = threading.Thread.start

    def refused(thread):
        if thread.name == "edgebs-segment_stage":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        with pytest.raises(StageError, match="'start' failed: RuntimeError: can't start new thread"):
            list(pipeline.run([grey_frame(1)] * 9))
    assert closes(pipeline)
    assert_workers_end()


def test_a_run_that_was_closed_reads_nothing():
    read = []
    with fake_pipeline() as pipeline:
        run = pipeline.run(read.append(level) or grey_frame(level) for level in range(9))
        run.close()
        assert list(run) == []
        assert len(list(pipeline.run([grey_frame(1)]))) == 1
    assert read == []
