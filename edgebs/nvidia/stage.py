"""One network in its stream: a context, and a CUDA graph per slot where a run can be captured."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from edgebs.errors import CaptureFailed
from edgebs.image import CUE_REPAIR, require_finite
from edgebs.nvidia import Graphs, cuda
from edgebs.tensors import TensorSpec

SLOTS = 3
"""Frames on the device at once: one going in, one being computed, one coming out."""

MARKS = ("uploaded", "cued", "segmented", "done")


class Slot:
    """Memory of one frame of each camera, and the events that say how far it has come.

    The addresses never change, so work on a slot can be captured.
    """

    def __init__(
        self,
        owned: ExitStack,
        host: Mapping[str, TensorSpec],
        device: Mapping[str, TensorSpec],
        *,
        timed: bool,
    ) -> None:
        """owned: takes what is allocated. host: tensors that cross the bus; device: all tensors."""
        self.host = {
            name: owned.enter_context(cuda.PinnedBuffer(spec.shape, spec.dtype))
            for name, spec in host.items()
        }
        self.device = {
            name: owned.enter_context(cuda.DeviceBuffer(spec.nbytes)) for name, spec in device.items()
        }
        self.uploaded, self.cued, self.segmented, self.done = (
            owned.enter_context(cuda.Event(timed=timed)) for _ in MARKS
        )
        self.started = {
            stage: owned.enter_context(cuda.Event(timed=True))
            for stage in (("upload", "cue", "segment", "download") if timed else ())
        }
        self.slot_id = -1
        """The run that it is used for."""
        self.is_running = False
        """Whether the device may still work on it."""

    def device_ms(self, *, has_cue: bool) -> dict[str, float]:
        """How long each stage of the last run took on the device; empty where it is not timed."""
        ends = {"upload": self.uploaded, "segment": self.segmented, "download": self.done}
        if has_cue:
            ends["cue"] = self.cued
        return {
            f"device_{stage}": start.elapsed_ms(ends[stage])
            for stage, start in self.started.items()
            if stage in ends
        }


def open_slots(
    segment: DeviceEngine, cue: DeviceEngine | None, owned: ExitStack, *, timed: bool
) -> list[Slot]:
    """The slots of a segmentation network, with a cue network before it or a cue that is uploaded."""
    device: dict[str, TensorSpec] = {**segment.inputs, **segment.outputs}
    host = dict(device)
    if cue is not None:
        del host["cue"]
        device |= {**cue.inputs, **cue.outputs}
    return [Slot(owned, host, device, timed=timed) for _ in range(SLOTS)]


class DeviceContext(Protocol):
    """Runs a network on device memory: one per stream, one thread at a time."""

    def bind(self, buffers: Mapping[str, cuda.DeviceBuffer]) -> None:
        """Let the tensors lie in `buffers` from the next run on."""

    def enqueue(self, stream: cuda.Stream) -> None:
        """Queue one run. Raises EnqueueRefused: the outputs then hold what they held before."""

    def captured(self, stream: cuda.Stream) -> cuda.Graph:
        """One run with the present addresses as a graph. Raises CaptureFailed with the reason."""

    def close(self) -> None:
        """Free it. May be called twice."""


class DeviceEngine(Protocol):
    """One network, shared by those who run it."""

    name: str
    """For messages: the plan's file."""
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    description: str
    scratch_bytes: int
    """Device memory that a context works in."""

    def context(self, scratch: cuda.DeviceBuffer | None = None) -> DeviceContext:
        """A context. scratch: memory of `scratch_bytes` that it works in; without it, its own."""

    def close(self) -> None:
        """Give it up, after its contexts were closed. May be called twice."""


log = logging.getLogger(__name__)
Buffers = Mapping[str, cuda.DeviceBuffer]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphCount:
    """How many slots run as CUDA graphs."""

    captured: int
    fallen_back: int
    """Slots that run call by call because their capture failed."""
    reason: str
    """Why the first of those failed; empty without any."""

    def __str__(self) -> str:
        """For reports."""
        slots = self.captured + self.fallen_back
        if not slots:
            return "CUDA graphs off"
        text = f"CUDA graphs in {self.captured} of {slots} slots"
        return f"{text} ({self.reason})" if self.reason else text


class DeviceStage:
    """Runs one engine on the buffers of any slot, always in the same stream."""

    def __init__(
        self,
        engine: DeviceEngine,
        stream: cuda.Stream,
        scratch: cuda.DeviceBuffer,
        slots: Sequence[Buffers],
        graphs: Graphs,
        owned: ExitStack,
    ) -> None:
        """slots: each slot's tensors by name. scratch: shared only with stages of the same stream.

        owned: takes context and graphs. Raises CaptureFailed where graphs are required and one fails.
        """
        names = (*engine.inputs, *engine.outputs)
        self._engine, self._stream = engine, stream
        self._slots = [{name: slot[name] for name in names} for slot in slots]
        self._context = engine.context(scratch)
        owned.callback(self._context.close)
        self._graphs: dict[int, cuda.Graph] = {}
        self._reason = ""
        self._is_off = graphs is Graphs.OFF
        if not self._is_off:
            self._capture(graphs, owned)

    @property
    def description(self) -> str:
        """What runs, and whether as graphs."""
        return f"{self._engine.description}, {self.graphs}"

    @property
    def graphs(self) -> GraphCount:
        """How the slots run."""
        total = 0 if self._is_off else len(self._slots)
        captured = len(self._graphs)
        return GraphCount(captured=captured, fallen_back=total - captured, reason=self._reason)

    def queue(self, slot: int) -> None:
        """Queue one run on a slot's tensors. Raises EnqueueRefused."""
        if slot in self._graphs:
            self._graphs[slot].launch(self._stream)
        else:
            self._context.bind(self._slots[slot])
            self._context.enqueue(self._stream)

    def _capture(self, graphs: Graphs, owned: ExitStack) -> None:
        for index, slot in enumerate(self._slots):
            self._context.bind(slot)
            # TensorRT finishes its preparations in a first run, and those cannot be captured.
            self._context.enqueue(self._stream)
            self._stream.synchronize()
            try:
                self._graphs[index] = owned.enter_context(self._context.captured(self._stream))
            except CaptureFailed as error:
                if graphs is Graphs.REQUIRED:
                    raise
                self._reason = self._reason or str(error)
        if self._reason:
            log.warning("%s runs call by call: %s", self._engine.name, self._reason)


EVERY = 100
"""Frames from one look to the next: a copy of the cue to the host each time."""

FIRST = 10
"""The first frame that is looked at."""


class CueWatch:
    """Copies the cue of every hundredth frame to the host and checks it there.

    A network can make a sound probability of NaN: clipping and INT8 turn it into a number. So a flow network
    that fails would not be noticed.
    """

    def __init__(self, spec: TensorSpec, owned: ExitStack) -> None:
        """spec: of the cue. owned: takes the memory."""
        self._cue = owned.enter_context(cuda.PinnedBuffer(spec.shape, spec.dtype))
        self._ticket = -1

    def queue(self, slot: Slot, stream: cuda.Stream) -> None:
        """Copy the slot's cue, where its turn has come. The stream is behind the cue, and before `done`."""
        if slot.slot_id % EVERY == FIRST:
            cuda.copy_to_host(self._cue, slot.device["cue"], stream)
            self._ticket = slot.slot_id

    def check(self, slot: Slot) -> None:
        """Raise NotFinite for NaN in the cue that was copied for this slot, once the slot is done."""
        if slot.slot_id == self._ticket:
            require_finite(self._cue.array, "the cue network's flow", CUE_REPAIR)
