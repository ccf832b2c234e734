"""How a frame goes through both networks: on the host here, on the device in edgebs.nvidia.runner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from edgebs.backends import Backend
from edgebs.cues import Cue
from edgebs.cues.feedback import Feedback
from edgebs.tensors import Array, Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A frame on its way from `begin` to `finish`."""

    warming_up: bool
    """Whether the history is still shorter than the longest interval."""
    small: Frame | None = None
    cue: Mapping[str, Array] = field(default_factory=dict)
    """The host's inputs of the segmentation network."""
    ticket: int = -1
    """Which of the device's runs it is, or which frame since the last reset."""
    device_ms: dict[str, float] = field(default_factory=dict)
    """Time of each stage on the device, filled by `finish` where it is measured."""


class NetworkPath(Protocol):
    """Both networks of one camera. `begin` is called by one thread at a time, and `finish` by one."""

    @property
    def cue(self) -> Cue | None:
        """What computes the cue on the host; None where it never comes there."""
        ...

    def begin(self, small: Frame, captured_s: float | None) -> Begun:
        """Take the next frame, (h, w, 3) uint8 at network size, and start on it.

        At most three frames may be between `begin` and `finish`.
        """
        ...

    def finish(self, begun: Begun) -> Array:
        """Its foreground probability, (h, w) float32. Overwritten by the next call."""
        ...

    def trace(self, small: Frame, captured_s: float | None) -> tuple[Array, Array]:
        """The cue (1, K, h, w) and probability (h, w) of the next frame. Overwritten by later calls."""
        ...

    def segment(self, small: Frame, cue: Mapping[str, Array]) -> Array:
        """The probability of a frame with a given cue; the history stays as it is. Overwritten as above."""
        ...

    def remember(self, small: Frame, captured_s: float | None) -> None:
        """Take the next frame into the history without computing anything."""
        ...

    def reset(self) -> None:
        """Forget the history: the next frame is the first of a scene."""
        ...

    def descriptions(self) -> dict[str, str]:
        """What runs each stage, for reports."""
        ...

    def close(self) -> None:
        """Free what is held. May be called twice."""
        ...


class HostPath:
    """Host arrays between cue and segmentation, and a call of each per frame."""

    def __init__(self, segment: Backend, cue: Cue) -> None:
        """Own both from here on."""
        self.cue: Cue = cue
        self._segment = segment
        self._feedback = Feedback(cue)

    def begin(self, small: Frame, captured_s: float | None) -> Begun:
        """Compute the cue."""
        number = self._feedback.before_frame()
        output = self.cue.update(small, captured_s)
        return Begun(warming_up=output.warming_up, small=small, cue=output.tensors, ticket=number)

    def finish(self, begun: Begun) -> Array:
        """Segment."""
        assert begun.small is not None
        probability = self.segment(begun.small, begun.cue)
        self._feedback.found(begun.ticket, probability)
        return probability

    def trace(self, small: Frame, captured_s: float | None) -> tuple[Array, Array]:
        """See `NetworkPath.trace`."""
        begun = self.begin(small, captured_s)
        return begun.cue["cue"], self.finish(begun)

    def segment(self, small: Frame, cue: Mapping[str, Array]) -> Array:
        """See `NetworkPath.segment`."""
        probability: Array = self._segment.infer({"frame": small[np.newaxis], **cue})["probability"][0]
        return probability

    def remember(self, small: Frame, captured_s: float | None) -> None:
        """See `NetworkPath.remember`."""
        self._feedback.before_frame()
        self.cue.remember(small, captured_s)

    def reset(self) -> None:
        """See `NetworkPath.reset`."""
        self._feedback.clear()
        self.cue.reset()

    def descriptions(self) -> dict[str, str]:
        """See `NetworkPath.descriptions`."""
        return {"segment": self._segment.description, "cue": self.cue.description}

    def close(self) -> None:
        """Close the cue and the segmentation network."""
        self.cue.close()
        self._segment.close()
