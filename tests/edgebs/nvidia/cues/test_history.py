"""edgebs/nvidia/cues.py against `History` of the frames themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import pytest
from fakes.gpu.cuda import FakeCuda, install

from edgebs.cues.history import History
from edgebs.nvidia import cuda
from edgebs.nvidia.cues import DeviceHistory

INTERVALS = (1, 5, 10)
Times = Callable[[int, np.random.Generator], float | None]


def counted(index: int, random: np.random.Generator) -> None:
    """No times at all."""


def steady(index: int, random: np.random.Generator) -> float:  # noqa: ARG001
    return index / 25


def very_fast(index: int, random: np.random.Generator) -> float:
    return index / 1000 + random.uniform(0, 1e-4)


def stuttering(index: int, random: np.random.Generator) -> float:
    return index / 60 + random.choice([0, 0.01, 0.3])


def set_back(index: int, random: np.random.Generator) -> float | None:
    return None if random.uniform() < 0.02 else (index % 137) / 30


@pytest.mark.parametrize("times", [counted, steady, very_fast, stuttering, set_back])
def test_pasts_on_the_device_are_those_of_the_history(times: Times, monkeypatch: pytest.MonkeyPatch) -> None:
    fake, random = FakeCuda(), np.random.default_rng(3)
    install(fake, monkeypatch)
    plain: History[int] = History(INTERVALS, 25.0)
    with ExitStack() as owned:
        stream = owned.enter_context(cuda.Stream())
        history = DeviceHistory(owned, INTERVALS, 25.0, 8, stream)
        pinned = owned.enter_context(cuda.PinnedBuffer((1,), "int64"))
        frame = owned.enter_context(cuda.DeviceBuffer(8))
        pasts = {tau: owned.enter_context(cuda.DeviceBuffer(8)) for tau in INTERVALS}
        for index in range(600):
            captured_s = times(index, random)
            pinned.array[:] = index
            cuda.copy_to_device(frame, pinned, stream)
            history.push(frame.part(0, 8), captured_s)
            history.bring({tau: buffer.part(0, 8) for tau, buffer in pasts.items()})
            stream.synchronize()
            plain.push(index, captured_s)
            for tau, buffer in pasts.items():
                assert int.from_bytes(fake.at(buffer.handle, 8), "little") == plain.past(tau)
            assert history.warming_up == plain.warming_up
        history.clear()
        assert history.warming_up
    assert fake.held == 0


def test_a_time_that_is_none_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    install(FakeCuda(), monkeypatch)
    with ExitStack() as owned:
        stream = owned.enter_context(cuda.Stream())
        history = DeviceHistory(owned, (1,), 25.0, 8, stream)
        frame = owned.enter_context(cuda.DeviceBuffer(8))
        for _ in range(20):
            with pytest.raises(ValueError, match="finite seconds"):
                history.push(frame.part(0, 8), float("nan"))
        history.push(frame.part(0, 8), 0.0)
        stream.synchronize()


def test_a_part_lies_inside_its_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    install(FakeCuda(), monkeypatch)
    with cuda.DeviceBuffer(16) as buffer:
        assert buffer.part(8, 8).handle == buffer.handle + 8
        for start, nbytes in ((-1, 4), (9, 8)):
            with pytest.raises(ValueError, match="do not lie in 16"):
                buffer.part(start, nbytes)
