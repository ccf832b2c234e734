"""The past frames of one camera, in device memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from edgebs.cues.history import STEPS_PER_INTERVAL, History
from edgebs.nvidia import cuda


class DeviceHistory:
    """Keeps frames where the cue network reads them. All copies are in one stream, so they need no marks.

    What is kept, and which frame is how far back, is `History`'s business: it holds positions in a pool.
    """

    def __init__(
        self,
        owned: ExitStack,
        intervals: Sequence[int],
        nominal_fps: float,
        frame_bytes: int,
        stream: cuda.Stream,
    ) -> None:
        """owned: takes the memory. frame_bytes: of one frame at network size."""
        # With times, History keeps frames a quarter of a frame time apart; four more are the present, the
        # one before it, one beyond the horizon, and the one that comes in.
        count = max(intervals) * STEPS_PER_INTERVAL + 4
        self._frames = [owned.enter_context(cuda.DeviceBuffer(frame_bytes)) for _ in range(count)]
        self._free = deque(range(count))
        self._history: History[int] = History(intervals, nominal_fps)
        self._stream = stream

    @property
    def warming_up(self) -> bool:
        """See `History.warming_up`."""
        return self._history.warming_up

    def push(self, frame: cuda.DevicePart, captured_s: float | None) -> None:
        """Queue a copy of the present frame. Raises ValueError for a time that is none."""
        place = self._free.popleft()
        try:
            self._history.push(place, captured_s)
        except ValueError:
            self._free.appendleft(place)
            raise
        cuda.copy_on_device(self._frames[place], frame, self._stream)
        self._release()

    def bring(self, pasts: Mapping[int, cuda.DevicePart]) -> None:
        """Queue copies of the frames `interval` before the present, to where the cue network reads them."""
        for interval, target in pasts.items():
            cuda.copy_on_device(target, self._frames[self._history.past(interval)], self._stream)

    def clear(self) -> None:
        """Forget everything."""
        self._history.clear()
        self._release()

    def _release(self) -> None:
        taken = {*self._history, *self._free}
        self._free.extend(place for place in range(len(self._frames)) if place not in taken)
