"""The slots that frames go through on the device: memory at both ends of the bus, and marks between."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from edgebs.nvidia import cuda
from edgebs.nvidia.engine import DeviceEngine
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
        self.ticket = -1
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
