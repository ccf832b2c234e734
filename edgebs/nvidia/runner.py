"""Frames through both networks on an NVIDIA GPU, with copies and networks side by side.

Frame t, in slot t % 3:

    upload    ── frame (and a cue of the CPU) ──┐ uploaded
    cue            past frames, cue network ────┴──┐ cued
    segment             segmentation network ──────┴──┐ segmented
    download                         probability ─────┴──┐ done
    CPU       resize, pinned memory                      └── waits

Each line is a stream. While frame t is segmented, the cue of t + 1 is computed and t + 2 is uploaded. A slot
is used again when the CPU has seen its `done`, so nothing else has to wait for slots to be free.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

import numpy as np

from edgebs.bundle.manifest import CueSettings
from edgebs.cues.cue import Cue
from edgebs.errors import BackendError
from edgebs.nvidia import DeviceOptions, cuda
from edgebs.nvidia.cues import Frames, HostCues, NetworkCues, Times
from edgebs.nvidia.stage import SLOTS, CueWatch, DeviceEngine, DeviceStage, GraphCount, Slot, open_slots
from edgebs.pipeline import FrameInFlight
from edgebs.tensors import Array, Frame

log = logging.getLogger(__name__)


class DeviceRunner:
    """Both networks of one camera, or of several whose frames go through them in one call."""

    def __init__(
        self,
        segment: DeviceEngine,
        cue: DeviceEngine | list[Cue],
        settings: CueSettings,
        options: DeviceOptions,
    ) -> None:
        """Own a share of the engines, and the cues, from here on, also when this fails.

        cue: the network that computes the cue from past frames, or one cue on the CPU per camera.
        The number of cameras is that of the frames that the engines take at once.
        """
        self._device, self._options = options.device, options
        self.cameras = segment.inputs["frame"].shape[0]
        self._next_ticket = 0
        self._cue_spec = segment.inputs["cue"]
        self._results = np.zeros(segment.outputs["probability"].shape, np.float32)
        with cuda.on_device(self._device), ExitStack() as owned:
            owned.callback(segment.close)
            for each in cue if isinstance(cue, list) else [cue]:
                owned.callback(each.close)
            self._open(segment, cue, settings, owned)
            self._owned = owned.pop_all()

    def _open(
        self,
        segment: DeviceEngine,
        cue: DeviceEngine | list[Cue],
        settings: CueSettings,
        owned: ExitStack,
    ) -> None:
        options = self._options
        self._upload, self._download, self._segment = (owned.enter_context(cuda.Stream()) for _ in range(3))
        beside = not isinstance(cue, list) and options.overlap
        self._cue_stream = owned.enter_context(cuda.Stream()) if beside else self._segment
        network = None if isinstance(cue, list) else cue
        self._slots = open_slots(segment, network, owned, timed=options.timed)
        scratch_bytes = segment.scratch_bytes
        if not isinstance(cue, list) and not beside:
            scratch_bytes = max(scratch_bytes, cue.scratch_bytes)
        scratch = owned.enter_context(cuda.DeviceBuffer(max(scratch_bytes, 1)))
        buffers: list[Mapping[str, cuda.DeviceBuffer]] = [slot.device for slot in self._slots]
        self._stage = DeviceStage(segment, self._segment, scratch, buffers, options.graphs, owned)
        self._cues: HostCues | NetworkCues
        self._watch: CueWatch | None = None
        if isinstance(cue, list):
            self._cues = HostCues(cue)
            return
        self._watch = CueWatch(self._cue_spec, owned)
        if beside:
            # The two may run at the same time: each works in memory of its own.
            scratch = owned.enter_context(cuda.DeviceBuffer(max(cue.scratch_bytes, 1)))
        self._cues = NetworkCues(cue, settings, self._cue_stream, scratch, self._slots, options.graphs, owned)

    @property
    def cue(self) -> Cue | None:
        """The first camera's cue on the CPU; None where a network computes it on the device."""
        return self._cues.cues[0] if isinstance(self._cues, HostCues) else None

    @property
    def graphs(self) -> dict[str, GraphCount]:
        """How many slots of each stage run as CUDA graphs, and why not all."""
        counts = {"segment": self._stage.graphs}
        if isinstance(self._cues, NetworkCues):
            counts["cue"] = self._cues.stage.graphs
        return counts

    def begin(self, small: Frame, captured_s: float | None) -> FrameInFlight:
        """See `Runner.begin`: of the only camera."""
        return self.begin_all([small], [captured_s])[0]

    def finish(self, begun: FrameInFlight) -> Array:
        """See `Runner.finish`: of the only camera."""
        probability: Array = self.finish_all([begun])[0]
        return probability

    def begin_all(self, frames: Frames, times: Times) -> list[FrameInFlight]:
        """Queue everything for the next frame of each camera, (h, w, 3) uint8 at network size.

        frames: None for a camera that has ended: what is computed for it means nothing.
        Raises BackendError; nothing is left running then.
        """
        with cuda.on_device(self._device):
            index, slot = self._take()
            try:
                self._cues.before_upload(slot, frames, times)
                self._send(slot, frames)
                ready = self._cues.after_upload(index, slot, times)
                self._run(index, slot, ready)
            except BaseException:
                self._give_up(slot)
                raise
        device_ms: dict[str, float] = {}
        return [
            FrameInFlight(warming_up=warming_up, slot_id=slot.slot_id, device_ms=device_ms)
            for warming_up in self._cues.warming_up()
        ]

    def finish_all(self, begun: Sequence[FrameInFlight]) -> Array:
        """Wait for the cameras' probabilities, (N, h, w) float32. Overwritten by the next call.

        Raises NotFinite for NaN in the cue, of the frames whose cue is looked at (see `CueWatch`).
        """
        slot = self._slots[begun[0].slot_id % SLOTS]
        if slot.slot_id != begun[0].slot_id:
            raise BackendError(f"at most {SLOTS} frames may be on the device: this one's slot was used again")
        with cuda.on_device(self._device):
            slot.done.synchronize()
            has_cue = isinstance(self._cues, NetworkCues)
            begun[0].device_ms.update(slot.device_ms(has_cue=has_cue))
        # Before the slot is free: the next frame in it is written by the device.
        np.copyto(self._results, slot.host["probability"].array)
        slot.is_running = False
        if self._watch is not None:
            self._watch.check(slot)
        self._cues.found(slot.slot_id, self._results)
        return self._results

    def trace(self, small: Frame, captured_s: float | None) -> tuple[Array, Array]:
        begun = self.begin(small, captured_s)
        probability = self.finish(begun)
        return self._fetched(self._slots[begun.slot_id % SLOTS].device["cue"]), probability

    def segment(self, small: Frame, cue: Mapping[str, Array]) -> Array:
        with cuda.on_device(self._device), ExitStack() as given:
            index, slot = self._take()
            try:
                for name, array in cue.items():
                    pinned = given.enter_context(cuda.PinnedBuffer(array.shape, str(array.dtype)))
                    np.copyto(pinned.array, array)
                    # Before the frame, whose mark stands for all of it.
                    cuda.copy_to_device(slot.device[name], pinned, self._upload)
                self._send(slot, [small], only_frames=True)
                self._run(index, slot, slot.uploaded)
                probability: Array = self.finish_all([FrameInFlight(warming_up=False, slot_id=slot.slot_id)])[
                    0
                ]
            except BaseException:
                self._give_up(slot)
                raise
        return probability

    def remember(self, small: Frame, captured_s: float | None) -> None:
        if isinstance(self._cues, HostCues):
            self._cues.remember(small, captured_s)
            return
        with cuda.on_device(self._device):
            _index, slot = self._take()
            try:
                self._send(slot, [small])
                self._cues.remember(slot, [captured_s])
            except BaseException:
                self._give_up(slot)
                raise

    def reset(self) -> None:
        self._cues.clear()

    def descriptions(self) -> dict[str, str]:
        return {"segment": self._stage.description, "cue": self._cues.description}

    def close(self) -> None:
        """Wait for what is queued, and free everything; also on a GPU that is lost. May be called twice."""
        with cuda.on_device(self._device, to_close=True):
            if self._slots:
                self._drain()
            self._slots = []
            self._owned.close()

    def _take(self) -> tuple[int, Slot]:
        """The next slot, for a new slot_id. It is free unless its frame was given up before `finish`."""
        if not self._slots:
            raise BackendError("the pipeline on the device is closed")
        index = self._next_ticket % SLOTS
        slot = self._slots[index]
        if slot.is_running:
            slot.done.synchronize()
        slot.slot_id, slot.is_running = self._next_ticket, True
        self._next_ticket += 1
        return index, slot

    def _send(self, slot: Slot, frames: Frames, *, only_frames: bool = False) -> None:
        for place, frame in enumerate(frames):
            if frame is not None:
                np.copyto(slot.host["frame"].array[place], frame)
        self._mark(slot, "upload", self._upload)
        for name, pinned in slot.host.items():
            if name == "frame" or (name != "probability" and not only_frames):
                cuda.copy_to_device(slot.device[name], pinned, self._upload)
        self._upload.record(slot.uploaded)

    def _run(self, index: int, slot: Slot, ready: cuda.Event) -> None:
        self._segment.wait(ready)
        self._mark(slot, "segment", self._segment)
        self._stage.queue(index)
        self._segment.record(slot.segmented)
        self._download.wait(slot.segmented)
        self._mark(slot, "download", self._download)
        cuda.copy_to_host(slot.host["probability"], slot.device["probability"], self._download)
        if self._watch is not None:
            self._watch.queue(slot, self._download)
        self._download.record(slot.done)

    def _mark(self, slot: Slot, stage: str, stream: cuda.Stream) -> None:
        if stage in slot.started:
            stream.record(slot.started[stage])

    def _fetched(self, buffer: cuda.DeviceBuffer) -> Array:
        spec = self._cue_spec
        with cuda.on_device(self._device), cuda.PinnedBuffer(spec.shape, spec.dtype) as pinned:
            cuda.copy_to_host(pinned, buffer, self._download)
            self._download.synchronize()
            fetched: Array = pinned.array.copy()
            return fetched

    def _give_up(self, slot: Slot) -> None:
        self._drain()
        slot.is_running = False

    def _drain(self) -> None:
        for stream in (self._upload, self._cue_stream, self._segment, self._download):
            # The caller reports the failure; here the work must only be stopped.
            with suppress(BackendError):
                stream.synchronize()
