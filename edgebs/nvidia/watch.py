"""A look at the cue on the device now and then, for NaN that the segmentation network hides."""

from __future__ import annotations

from contextlib import ExitStack

from edgebs.finite import CUE_REPAIR, require_finite
from edgebs.nvidia import cuda
from edgebs.nvidia.slots import Slot
from edgebs.tensors import TensorSpec

EVERY = 100
"""Frames from one look to the next: a copy of the cue to the host each time."""
FIRST = 10
"""The first frame that is looked at."""


class CueWatch:
    """Copies the cue of every hundredth frame to the host and checks it there.

    A network can make a sound probability of NaN: clipping and INT8 turn it into a number. So a flow network
    that fails would be noticed by nobody.
    """

    def __init__(self, spec: TensorSpec, owned: ExitStack) -> None:
        """spec: of the cue. owned: takes the memory."""
        self._cue = owned.enter_context(cuda.PinnedBuffer(spec.shape, spec.dtype))
        self._ticket = -1

    def queue(self, slot: Slot, stream: cuda.Stream) -> None:
        """Copy the slot's cue, where its turn has come. The stream is behind the cue, and before `done`."""
        if slot.ticket % EVERY == FIRST:
            cuda.copy_to_host(self._cue, slot.device["cue"], stream)
            self._ticket = slot.ticket

    def check(self, slot: Slot) -> None:
        """Raise NotFinite for NaN in the cue that was copied for this slot, once the slot is done."""
        if slot.ticket == self._ticket:
            require_finite(self._cue.array, "the cue network's flow", CUE_REPAIR)
