"""Flow from a frame to past ones, whoever computes it, and its magnitudes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgebs.errors import BundleError
from edgebs.image import CUE_REPAIR, require_finite
from edgebs.tensors import Array, Frame

if TYPE_CHECKING:
    from edgebs.backends import Backend
    from edgebs.bundle.manifest import CueSettings


class FlowVectors(Protocol):
    """Computes flow. One thread at a time."""

    description: str
    """What computes it, for reports."""

    def picture(self, frame: Frame, grey: Frame) -> Frame:
        """What of a frame it compares, to be kept for later: the frame, (h, w, 3) BGR, or its grey levels."""

    def vectors(self, now: Frame, pasts: Sequence[Frame]) -> Iterable[Array]:
        """From one picture to each past one, in pixels, x first: (h, w, 2) float32.

        The caller may change them, and is done with them before the next call. Pasts that are one object may
        share one array.
        """

    def close(self) -> None:
        """Free what is held. May be called twice."""


def flow_magnitudes(
    flows: Iterable[Array], out: Array, correct: Callable[[Array, int], None] | None = None
) -> None:
    """|flow| of each of `flows`, as `FlowVectors.vectors` gives them; out: (K, h, w) float32.

    correct: called with each flow and its channel; may change the flow in place.
    """
    seen: list[Array] = []
    for channel, flow in enumerate(flows):
        twin = next((index for index, other in enumerate(seen) if other is flow), None)
        seen.append(flow)
        if twin is not None:
            out[channel] = out[twin]
            continue
        if correct is not None:
            correct(flow, channel)
        squares = np.square(flow)  # a quarter of the time of np.einsum, and the same bits
        np.sqrt(squares[..., 0] + squares[..., 1], out=out[channel])


class NetworkFlow:
    """`FlowVectors` of a network; inputs see `EngineHop`, output `flow`, (1, 2 K, H, W), x first."""

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
        self._backend.close()
