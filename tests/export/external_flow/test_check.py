"""export/external_flow/__init__.py: a flow that is true, and ones that a wrong sidecar makes of it."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from edgebs.cues.hop import DisVectors
from edgebs.tensors import Array
from export.external_flow import FlowCheck, check_flow


class Form:
    """As much of a form as the check looks at."""

    frame_size = (96, 128)


class DisReference:
    """Flow by DIS, times a scale that a sidecar got wrong."""

    inputs = {"frame": None, "past_1": None}  # noqa: RUF012

    def __init__(self, scale: float) -> None:
        self.scale, self.dis = scale, DisVectors("fine")

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        now, past = (cv2.cvtColor(feed[name][0], cv2.COLOR_BGR2GRAY) for name in self.inputs)
        (flow,) = self.dis.vectors(now, [past])
        return {"flow": self.scale * flow.transpose(2, 0, 1)[np.newaxis]}


def test_a_true_flow_is_nearer_than_none_and_a_false_one_is_doubtful() -> None:
    true, reversed_, huge = (check_flow(DisReference(scale), Form()) for scale in (1, -1, 20))  # type: ignore[arg-type]
    assert true.still_epe_px == reversed_.still_epe_px == huge.still_epe_px > 1
    assert true.epe_px < 0.8 * true.still_epe_px
    assert not true.is_doubtful
    assert reversed_.is_doubtful
    assert huge.is_doubtful


def test_it_is_said_what_to_look_at() -> None:
    assert str(FlowCheck(epe_px=0.5, still_epe_px=2.0)).startswith("0.50 px off on what moves")
    doubtful = FlowCheck(epe_px=4.0, still_epe_px=2.0)
    assert str(doubtful).endswith("doubtful, look at its sidecar's inputs, range and scale")
    assert FlowCheck(epe_px=float("nan"), still_epe_px=2.0).is_doubtful
