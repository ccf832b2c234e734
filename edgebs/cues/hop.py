"""HOP by OpenCV's DIS flow on the CPU: no network, about a millisecond per interval at 256x256."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edgebs.cues.cue import PRESETS, CueOutput, TensorRing
from edgebs.cues.flow import flow_magnitudes
from edgebs.cues.history import History
from edgebs.errors import BundleError
from edgebs.image import CUE_REPAIR, require_finite
from edgebs.tensors import Array, Frame

if TYPE_CHECKING:
    from edgebs.backends import Backend
    from edgebs.bundle.manifest import CueSettings

FINE_STRIDE = 5


def dis_flow(preset: str) -> Any:
    """OpenCV's DIS flow with one of its presets, or `fine`. Raises BundleError for another name.

    `fine` is `ultrafast` matched down to half of the frame's size instead of a quarter, on a wider grid of
    patches: 1.0 ms for a 256x256 pair on one EPYC core, where ultrafast takes 0.4, fast 0.8 and medium 4.0.
    A block of 24x24 pixels that moves by one is measured 0.23 px off on average, by ultrafast 0.67.
    """
    if preset not in PRESETS:
        raise BundleError(f"unknown DIS preset '{preset}'; known: {', '.join(PRESETS)}")
    if preset != "fine":
        return cv2.DISOpticalFlow.create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{preset.upper()}"))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow.setFinestScale(1)
    flow.setPatchStride(FINE_STRIDE)
    return flow


class DisVectors:
    """`FlowVectors` of DIS flow; it compares grey levels."""

    def __init__(self, preset: str) -> None:
        """Raises BundleError for an unknown preset."""
        self._dis = dis_flow(preset)
        self.description = f"OpenCV {cv2.__version__} DIS flow, preset {preset}"

    def picture(self, frame: Frame, grey: Frame) -> Frame:  # noqa: ARG002
        return grey

    def vectors(self, now: Frame, pasts: Sequence[Frame]) -> Iterable[Array]:
        # The oldest frame standing in for several pasts is computed once.
        done: dict[int, Array] = {}
        for past in pasts:
            if id(past) not in done:
                done[id(past)] = self._flow(now, past)
            yield done[id(past)]

    def close(self) -> None:
        """Nothing is held."""

    def _flow(self, now: Frame, past: Frame) -> Array:
        if past is now:
            return np.zeros((*now.shape, 2), np.float32)
        return np.asarray(self._dis.calc(now, past, None))


class DisHop:
    """Magnitude of the flow from the current frame to each past one, in pixels (docs/networks.md, 2)."""

    def __init__(self, settings: CueSettings, size: tuple[int, int]) -> None:
        """Frames will come at `size` (H, W). Raises BundleError for an unknown preset."""
        self._flow = DisVectors(settings.preset)
        self.description = self._flow.description
        self._intervals = settings.intervals
        self._history: History[Frame] = History(settings.intervals, settings.nominal_fps)
        self._ring = TensorRing((1, len(settings.intervals), *size))

    def update(self, frame: Frame, captured_s: float | None) -> CueOutput:
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        self._history.push(grey, captured_s)
        cue = self._ring.take()
        pasts = [self._history.past(interval) for interval in self._intervals]
        self.magnitudes(grey, pasts, cue[0])
        return CueOutput({"cue": cue}, self._history.warming_up)

    def magnitudes(self, grey: Frame, pasts: Sequence[Frame], out: Array) -> None:
        """|flow| from `grey` to each past, in pixels. grey, pasts: (h, w) uint8; out: (K, h, w) float32."""
        flow_magnitudes(self._flow.vectors(grey, pasts), out)

    def remember(self, frame: Frame, captured_s: float | None) -> None:
        self._history.push(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), captured_s)

    def reset(self) -> None:
        self._history.clear()

    def close(self) -> None:
        self._history.clear()


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
        self._history.push(frame, captured_s)

    def reset(self) -> None:
        self._history.clear()

    def close(self) -> None:
        self._history.clear()
        self._backend.close()
