"""Flow from a frame to past ones, whoever computes it, and its magnitudes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np

from edgebs.tensors import Array, Frame


class FlowVectors(Protocol):
    """Computes flow. One thread at a time."""

    description: str
    """What computes it, for reports."""

    def picture(self, frame: Frame, grey: Frame) -> Frame:
        """What of a frame it compares, to be kept for later: the frame, (h, w, 3) BGR, or its grey levels."""
        ...

    def vectors(self, now: Frame, pasts: Sequence[Frame]) -> Iterable[Array]:
        """From one picture to each past one, in pixels, x first: (h, w, 2) float32.

        The caller may change them, and is done with them before the next call. Pasts that are one object may
        share one array.
        """
        ...

    def close(self) -> None:
        """Free what is held. May be called twice."""
        ...


def flow_magnitudes(
    flows: Iterable[Array], out: Array, correct: Callable[[Array, int], None] | None = None
) -> None:
    """|flow| of each of `flows`, as `FlowVectors.vectors` gives them; out: (K, h, w) float32.

    correct: is told each flow and its channel, and may change it in place.
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
        np.sqrt(np.einsum("hwc,hwc->hw", flow, flow), out=out[channel])
