"""Flow by a network: one engine call gives the vectors over all intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from edgebs.backends import Backend
from edgebs.bundle.manifest import CueSettings
from edgebs.errors import BundleError
from edgebs.finite import CUE_REPAIR, require_finite
from edgebs.tensors import Array, Frame


class NetworkFlow:
    """`FlowVectors` of a network; inputs as of `EngineHop`, output `flow`, (1, 2 K, H, W), x first."""

    def __init__(self, settings: CueSettings, backend: Backend) -> None:
        """Own `backend` from here on. Raises BundleError for one that gives no flow over these intervals."""
        self._backend = backend
        self.description = backend.description
        self._inputs = [f"past_{interval}" for interval in settings.intervals]
        found = backend.outputs.get("flow")
        if found is None or found.shape[1] != 2 * len(self._inputs):
            raise BundleError(
                f"the cue network of provider '{settings.provider}' gives {sorted(backend.outputs)}, not "
                f"the flow over {len(self._inputs)} intervals that {settings.kind} needs. Export the "
                "bundle again."
            )
        self._flow = np.zeros(found.shape, np.float32)

    def picture(self, frame: Frame, grey: Frame) -> Frame:  # noqa: ARG002
        """See `FlowVectors.picture`."""
        return frame

    def vectors(self, now: Frame, pasts: Sequence[Frame]) -> Iterable[Array]:
        """See `FlowVectors.vectors`. Raises NotFinite."""
        feed = {"frame": now[np.newaxis]}
        feed.update((name, past[np.newaxis]) for name, past in zip(self._inputs, pasts, strict=True))
        np.copyto(self._flow, self._backend.infer(feed)["flow"])
        require_finite(self._flow, "the cue network's flow", CUE_REPAIR)
        _, _, height, width = self._flow.shape
        return iter(np.moveaxis(self._flow.reshape(len(pasts), 2, height, width), 1, -1))

    def close(self) -> None:
        """See `FlowVectors.close`."""
        self._backend.close()
