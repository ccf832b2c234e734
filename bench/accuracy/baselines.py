"""OpenCV's background subtractors, as peers: same frames, same counting, at camera size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from edgebs.errors import OptionError
from edgebs.tensors import Array, Frame

FOREGROUND = 255
"""What the subtractors write for foreground; 127 is a shadow, which counts as background, as in CDnet."""


@dataclass(frozen=True, slots=True)
class PeerKind:
    """One of OpenCV's subtractors and the parameters that are reported with its score."""

    create: Callable[[], Any]
    parameters: tuple[str, ...]
    """Names of its getters, without `get`."""


PEERS = {
    "mog2": PeerKind(
        cv2.createBackgroundSubtractorMOG2, ("History", "NMixtures", "VarThreshold", "DetectShadows")
    ),
    "knn": PeerKind(
        cv2.createBackgroundSubtractorKNN,
        ("History", "NSamples", "kNNSamples", "Dist2Threshold", "DetectShadows"),
    ),
}
"""By the word typed after --against."""


class Peer:
    """One of `PEERS` with OpenCV's default parameters and automatic learning rate."""

    def __init__(self, kind: str) -> None:
        """kind: one of `PEERS`. Raises EdgebsError for another."""
        if kind not in PEERS:
            raise OptionError(f"--against: unknown baseline '{kind}'; known: {', '.join(PEERS)}.")
        self.name = kind
        self._kind = PEERS[kind]
        self.reset()

    def reset(self) -> None:
        """Forget the scene."""
        # KNN replaces its samples at random: the same sequence must give the same masks.
        cv2.setRNGSeed(0)
        self._model = self._kind.create()

    def segment(self, frame: Frame) -> tuple[Frame, Array | None]:
        """The mask (H, W) uint8 0/255 of the next frame (H, W, 3) uint8; there is no probability."""
        answer = self._model.apply(frame)
        mask: Frame = (answer == FOREGROUND).view(np.uint8) * np.uint8(255)
        return mask, None

    def facts(self) -> dict[str, Any]:
        """What it is and its parameters, for reports."""
        parameters = {name: getattr(self._model, f"get{name}")() for name in self._kind.parameters}
        return {
            "what": f"OpenCV {cv2.__version__} {self.name.upper()}, default parameters, shadow is background",
            "parameters": parameters,
            "opencv_threads": cv2.getNumThreads(),
        }

    def close(self) -> None:
        """Nothing is held."""
