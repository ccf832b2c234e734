"""HOP with the camera's shake taken out, beside two median backgrounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgebs.cues.background import SAMPLES, WINDOW_S, MedianBackground
from edgebs.cues.camera_shift import FAR, STILL_PX, CameraShift, Shift, moved
from edgebs.cues.cue import BackgroundCue, CueOutput, TensorRing
from edgebs.cues.flow import FlowVectors, flow_magnitudes
from edgebs.cues.held import Holding
from edgebs.cues.history import History
from edgebs.cues.hop import DisVectors
from edgebs.tensors import Array, Frame

if TYPE_CHECKING:
    from edgebs.bundle.manifest import CueSettings

FLOW_AGREES_PX = 0.75
"""The flow's own median is the better measure of the shake, unless it disagrees with the background's."""

GRID = 4
"""Every so many-th pixel each way is enough for a median."""


class HopBackground(BackgroundCue):
    """Cue of the `edge` model, (1, K + 8, h, w) float32: K flow magnitudes in pixels, then planes of 0..255.

    After the K intervals: background B, G, R as the camera would see it now; its spread; the age, which
    is 255 * log(1 + 25 s) / log(1 + 25 * 180 s), at most 255; and B, G, R of the older background.

    While the background is frozen, a camera that is turned away sees foreground everywhere.
    """

    def __init__(self, settings: CueSettings, size: tuple[int, int], flow: FlowVectors | None = None) -> None:
        """Frames will come at `size` (H, W). flow: owned from here on; DIS flow by default.

        Raises BundleError for an unknown preset of DIS.
        """
        super().__init__(settings.nominal_fps, WINDOW_S / SAMPLES)
        self._flow = DisVectors(settings.preset) if flow is None else flow
        self.description = f"{self._flow.description}, and two median backgrounds"
        self._intervals = settings.intervals
        self._history: History[tuple[Frame, Shift]] = History(settings.intervals, settings.nominal_fps)
        self._background = MedianBackground(size, holds=settings.hold > 0)
        self._holding = Holding(settings.hold) if settings.hold > 0 else None
        self._shift = CameraShift()
        self._far_px = FAR * min(size)
        self._ring = TensorRing((1, settings.channels, *size))
        self._origin: Shift = (0.0, 0.0)
        self.shift: Shift = (0.0, 0.0)
        """How far the last frame that was updated with lies off the background."""

    def update(self, frame: Frame, captured_s: float | None) -> CueOutput:
        picture, shift, place = self._seen(frame, captured_s)
        self.shift = shift
        cue = self._ring.take()
        self._magnitudes(picture, place, cue[0])
        planes = cue[0, len(self._intervals) :]
        _lay(self._background.median, shift, frame, planes[:3])
        _lay(self._background.older, shift, frame, planes[5:])
        np.copyto(planes[3], moved(self._background.spread, shift))
        age = math.log1p(25 * self._background.age_s(self._clock.now_s)) / math.log1p(25 * WINDOW_S)
        planes[4] = 255 * min(age, 1.0)
        return CueOutput({"cue": cue}, self._history.warming_up)

    @property
    def is_hearing(self) -> bool:
        return self._holding is not None

    def hear(self, probability: Array | None) -> None:
        if self._holding is not None:
            self._holding.hear(probability)

    def remember(self, frame: Frame, captured_s: float | None) -> None:
        self._seen(frame, captured_s)

    def reset(self) -> None:
        super().reset()
        self._forget_frames()

    def close(self) -> None:
        self._history.clear()
        self._flow.close()

    def background(self) -> Mapping[str, Array]:
        with self._changing:
            if not self._background.count:
                return {}
            return {**self._background.saved(), "now_s": np.array(self._clock.now_s)}

    def restore(self, background: Mapping[str, Array]) -> None:
        now_s = float(background["now_s"])
        if not (math.isfinite(now_s) and now_s >= np.max(background["times_s"], initial=now_s)):
            raise ValueError(f"seen for {now_s} s, samples of {background['times_s']} s")
        with self._changing:
            self._background.load(background)
        self._clock.resume(now_s)
        self._shift.look_at(self._background.median)
        self._forget_frames()

    def _seen(self, frame: Frame, captured_s: float | None) -> tuple[Frame, Shift, Shift]:
        """Take a frame into history and background.

        Returns its picture, how far the camera looks off the background, and off where it looked first.
        """
        is_learning = self._advance(captured_s)
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        shift = self._shift.of(grey)
        if is_learning and math.hypot(*shift) > self._far_px:
            # What the frames before are off stays true against the new background: it lies here.
            self._origin = (self._origin[0] + shift[0], self._origin[1] + shift[1])
            with self._changing:
                self._background.clear()
            if self._holding is not None:
                self._holding.clear()
            shift = (0.0, 0.0)
        place = (self._origin[0] + shift[0], self._origin[1] + shift[1])
        picture = self._flow.picture(frame, grey)
        self._history.push((picture, place), captured_s)
        if is_learning and self._background.is_due(self._clock.now_s):
            back = (-shift[0], -shift[1])
            known = self._background.median if self._background.count else None
            found = None if self._holding is None else self._holding.pixels(frame, known, shift, place)
            with self._changing:
                self._background.add(moved(frame, back, known), self._clock.now_s, found)
            self._shift.look_at(self._background.median)
        if self._holding is not None:
            self._holding.seen(place)
        return picture, shift, place

    def _forget_scene(self) -> None:
        self._background.clear()
        self._shift.look_at(None)
        self._forget_frames()

    def _forget_frames(self) -> None:
        self._history.clear()
        self._origin = (0.0, 0.0)
        if self._holding is not None:
            self._holding.clear()

    def _magnitudes(self, picture: Frame, place: Shift, out: Array) -> None:
        """|flow| to each past without the camera's own, in pixels."""
        pasts = [self._history.past(interval) for interval in self._intervals]

        def hold_still(flow: Array, channel: int) -> None:
            past_place = pasts[channel][1]
            right, down = past_place[0] - place[0], past_place[1] - place[1]
            if math.hypot(right, down) >= STILL_PX:
                flow -= _camera_flow(flow, (right, down))

        flow_magnitudes(self._flow.vectors(picture, [past for past, _ in pasts]), out, hold_still)


def _lay(background: Frame, shift: Shift, frame: Frame, out: Array) -> None:
    """Write `background` as the camera sees it now, with `frame` where it was never seen: (3, h, w)."""
    for plane, colour in zip(out, cv2.split(moved(background, shift, frame)), strict=True):
        np.copyto(plane, colour)


def _camera_flow(flow: Array, expected: Shift) -> Array:
    """(2,): the flow of what stands still, by the flow's own median where that is near what was expected."""
    median = np.median(flow[::GRID, ::GRID].reshape(-1, 2), axis=0)
    wanted = np.array(expected, np.float32)
    return np.asarray(median if np.hypot(*(median - wanted)) < FLOW_AGREES_PX else wanted)
