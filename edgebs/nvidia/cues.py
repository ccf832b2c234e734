"""Where the cue of a frame on the device comes from: the host, or a network that reads past frames there."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from edgebs.bundle.manifest import CueSettings
from edgebs.cues.cue import Cue
from edgebs.cues.held import Feedback
from edgebs.cues.history import STEPS_PER_INTERVAL, History
from edgebs.nvidia import Graphs, cuda
from edgebs.nvidia.stage import DeviceEngine, DeviceStage, Slot
from edgebs.tensors import Array, Frame, TensorSpec


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
        return self._history.warming_up

    def push(self, frame: cuda.DevicePart, captured_s: float | None) -> None:
        """Queue a copy of the present frame. Raises ValueError if the time is not finite."""
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
        self._history.clear()
        self._release()

    def _release(self) -> None:
        taken = {*self._history, *self._free}
        self._free.extend(place for place in range(len(self._frames)) if place not in taken)


Times = Sequence[float | None]

Frames = Sequence[Frame | None]
"""One of each camera; None for a camera that has ended."""


class HostCues:
    """One cue per camera on the CPU (DIS flow, backgrounds): computed in `begin`, and uploaded."""

    def __init__(self, cues: Sequence[Cue]) -> None:
        """Own the cues."""
        self.cues = list(cues)
        self._feedback = [Feedback(cue) for cue in self.cues]
        self._numbers: dict[int, int] = {}
        self._warming_up = [True] * len(self.cues)

    @property
    def description(self) -> str:
        return self.cues[0].description

    def before_upload(self, slot: Slot, frames: Frames, times: Times) -> None:
        """Put what crosses the bus beside the frames into the slot's pinned memory."""
        self._numbers[slot.slot_id] = max([feedback.before_frame() for feedback in self._feedback])
        for place, (cue, frame, captured_s) in enumerate(zip(self.cues, frames, times, strict=True)):
            if frame is None:
                continue
            output = cue.update(frame, captured_s)
            self._warming_up[place] = output.warming_up
            for name, tensor in output.tensors.items():
                if name in slot.host:
                    np.copyto(slot.host[name].array[place], tensor[0])

    def after_upload(self, index: int, slot: Slot, times: Times) -> cuda.Event:  # noqa: ARG002
        """The mark after which the slot holds the cue: nothing is queued."""
        return slot.uploaded

    def found(self, slot_id: int, probabilities: Array) -> None:
        """Take the masks of a run's frames, (N, h, w), for cues that use earlier masks."""
        number = self._numbers.pop(slot_id, None)
        # None of a frame that was given with its cue.
        for feedback, probability in zip(self._feedback, probabilities, strict=True):
            if number is not None:
                feedback.found(number, probability)

    def remember(self, frame: Frame, captured_s: float | None) -> None:
        """Put a frame of the first camera into its history."""
        self._feedback[0].before_frame()
        self.cues[0].remember(frame, captured_s)

    def clear(self) -> None:
        self._numbers.clear()
        for feedback, cue in zip(self._feedback, self.cues, strict=True):
            feedback.clear()
            cue.reset()

    def warming_up(self) -> list[bool]:
        """Of each camera, after its last frame."""
        return list(self._warming_up)


class NetworkCues:
    """A cue network that reads the present and past frames on the device; the cue stays there."""

    def __init__(
        self,
        engine: DeviceEngine,
        settings: CueSettings,
        stream: cuda.Stream,
        scratch: cuda.DeviceBuffer,
        slots: Sequence[Slot],
        graphs: Graphs,
        owned: ExitStack,
    ) -> None:
        """owned: takes what is allocated. The engine's inputs are `frame` and `past_<interval>`."""
        cameras, *frame_shape = engine.inputs["frame"].shape
        self._frame_bytes = TensorSpec(tuple(frame_shape), "uint8").nbytes
        self._intervals = settings.intervals
        self._stream = stream
        self._histories = [
            DeviceHistory(owned, settings.intervals, settings.nominal_fps, self._frame_bytes, stream)
            for _ in range(cameras)
        ]
        tensors: list[Mapping[str, cuda.DeviceBuffer]] = [slot.device for slot in slots]
        self.stage = DeviceStage(engine, stream, scratch, tensors, graphs, owned)

    @property
    def description(self) -> str:
        return self.stage.description

    def before_upload(self, slot: Slot, frames: Frames, times: Times) -> None:
        """Nothing: only frames cross the bus."""

    def after_upload(self, index: int, slot: Slot, times: Times) -> cuda.Event:
        """Queue the cue network; returns the mark after which the slot holds the cue."""
        self._stream.wait(slot.uploaded)
        if "cue" in slot.started:
            self._stream.record(slot.started["cue"])
        for place, (history, captured_s) in enumerate(zip(self._histories, times, strict=True)):
            history.push(self._part(slot, "frame", place), captured_s)
            history.bring({tau: self._part(slot, f"past_{tau}", place) for tau in self._intervals})
        self.stage.queue(index)
        self._stream.record(slot.cued)
        return slot.cued

    def found(self, slot_id: int, probabilities: Array) -> None:
        """Nothing: the cue is made of frames alone."""

    def remember(self, slot: Slot, times: Times) -> None:
        """Take uploaded frames into the histories; the slot is done with that."""
        self._stream.wait(slot.uploaded)
        for place, (history, captured_s) in enumerate(zip(self._histories, times, strict=True)):
            history.push(self._part(slot, "frame", place), captured_s)
        self._stream.record(slot.done)

    def warming_up(self) -> list[bool]:
        """Of each camera, after its last frame."""
        return [history.warming_up for history in self._histories]

    def clear(self) -> None:
        for history in self._histories:
            history.clear()

    def _part(self, slot: Slot, name: str, place: int) -> cuda.DevicePart:
        return slot.device[name].part(place * self._frame_bytes, self._frame_bytes)
