"""HOP by a flow network: one engine call gives the magnitudes over all intervals."""

from __future__ import annotations

import numpy as np

from edgebs.backends import Backend
from edgebs.bundle.manifest import CueSettings
from edgebs.cues import CueOutput, TensorRing
from edgebs.cues.history import History
from edgebs.finite import CUE_REPAIR, require_finite
from edgebs.tensors import Frame


class EngineHop:
    """Feeds the current frame and one past frame per interval to the cue network.

    The network's inputs are `frame` and `past_<interval>`, (1, H, W, 3) uint8; its output is `cue`,
    (1, K, H, W) float32 in pixels.
    """

    def __init__(self, settings: CueSettings, backend: Backend) -> None:
        """Own `backend` from here on: it is closed with the cue."""
        self._backend = backend
        self.description = backend.description
        self._intervals = settings.intervals
        self._history: History[Frame] = History(settings.intervals, settings.nominal_fps)
        self._ring = TensorRing(backend.outputs["cue"].shape)

    def update(self, frame: Frame, captured_s: float | None) -> CueOutput:
        """See `Cue.update`."""
        self.remember(frame, captured_s)
        feed = {"frame": frame[np.newaxis]}
        for interval in self._intervals:
            feed[f"past_{interval}"] = self._history.past(interval)[np.newaxis]
        found = self._backend.infer(feed)["cue"]
        require_finite(found, "the cue network's flow", CUE_REPAIR)
        cue = self._ring.take()
        np.copyto(cue, found)
        return CueOutput({"cue": cue}, self._history.warming_up)

    def remember(self, frame: Frame, captured_s: float | None) -> None:
        """See `Cue.remember`."""
        self._history.push(frame, captured_s)

    def reset(self) -> None:
        """See `Cue.reset`."""
        self._history.clear()

    def close(self) -> None:
        """See `Cue.close`."""
        self._history.clear()
        self._backend.close()
