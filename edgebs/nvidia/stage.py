"""One network in its stream: a context, and a CUDA graph per slot where a run can be captured."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from edgebs.errors import CaptureFailed
from edgebs.nvidia import cuda
from edgebs.nvidia.engine import DeviceEngine
from edgebs.nvidia.options import Graphs

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
