"""The words by which a manifest names kinds of cue and runtimes, with what follows from each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True, kw_only=True)
class CueKind:
    """What follows from the kind of a cue. `edgebs.cues.open_cue` makes the cue itself."""

    word: str
    """In manifest.json."""
    extra_channels: int = 0
    """Channels beside those of the flow intervals and the maps."""
    uses_flow: bool = True
    """Flow magnitudes are channels; the other kinds hold a background."""
    survives_new_colours: bool = False
    """True if the cue of a frame stays the same when the frame's colours change."""
    has_two_backgrounds: bool = False
    """A median background that can hold pixels, and an older one: the cue of `edge`."""
    reads_keyframes: bool = False
    """The network reads a few chosen frames of the past."""
    reads_series: bool = False
    """The network reads each pixel's last values, a block of frames at a time."""


_KINDS = (
    CueKind(word="hop", survives_new_colours=True),
    # Background (3), its spread, the age of the scene, older background (3).
    CueKind(word="hop-background", extra_channels=8, has_two_backgrounds=True),
    CueKind(word="background-maps", uses_flow=False, reads_keyframes=True),
    CueKind(word="background-image", uses_flow=False, reads_series=True),
)
CUE_KINDS = {kind.word: kind for kind in _KINDS}


class Runtime(str, Enum):
    """What runs an engine: the `backend` of a network in manifest.json."""

    OPENVINO = "openvino"
    ONNXRUNTIME = "onnxruntime"
    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt_rtx"


PLAN_RUNTIMES = (Runtime.TENSORRT, Runtime.TENSORRT_RTX)
"""Their engines are plans: native code for one kind of GPU."""


def runs_plans(word: str) -> bool:
    """Whether a manifest's `backend` is a TensorRT; False for a word of a newer edgebs."""
    return word in PLAN_RUNTIMES
