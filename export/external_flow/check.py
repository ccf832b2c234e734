"""The error of an external flow network on rendered scenes, whose flow is exact: it shows a wrong sidecar.

Parity cannot show it: it compares the bundle with the file through the same sidecar.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.scenes import seeds
from bench.scenes.bank import PictureBank
from bench.scenes.pairs import FlowPair, flow_pairs
from bench.scenes.scene import VariedScene
from export.external_flow.form import FlowForm
from export.external_flow.reference import ExternalFlowReference

SCENES = 6
GAP = 5
MOVING_PX = 0.5
"""Pixels that move by at least this are measured: every method is right where nothing moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowCheck:
    """End-point errors on what moves in rendered scenes, in pixels."""

    epe_px: float
    """Of the network."""
    still_epe_px: float
    """Of zero flow."""

    @property
    def is_doubtful(self) -> bool:
        """Whether zero flow is nearer to the truth."""
        return not self.epe_px < self.still_epe_px

    def __str__(self) -> str:
        errors = (
            f"{self.epe_px:.2f} px off on what moves in rendered scenes, where no flow is "
            f"{self.still_epe_px:.2f} px off"
        )
        advice = ": doubtful, look at its sidecar's inputs, range and scale" if self.is_doubtful else ""
        return errors + advice


def check_flow(reference: ExternalFlowReference, form: FlowForm) -> FlowCheck:
    """Measure on rendered scenes at the size of the bundle. reference: with output `flow`, one interval."""
    bank = PictureBank.open(images=None)
    errors, still = [], []
    for index in range(SCENES):
        scene = VariedScene(seed=(seeds.FLOW_CHECK, index), size=form.frame_size, bank=bank)
        for pair in flow_pairs(scene, np.random.default_rng((seeds.FLOW_CHECK, index)), (GAP,)):
            error, motion = _on_what_moves(reference, pair)
            errors.append(error)
            still.append(motion)
    return FlowCheck(
        epe_px=float(np.concatenate(errors).mean()), still_epe_px=float(np.concatenate(still).mean())
    )


def _on_what_moves(reference: ExternalFlowReference, pair: FlowPair) -> tuple[np.ndarray, np.ndarray]:
    """Error and speed of each pixel that moves and is seen in both frames."""
    (past,) = [name for name in reference.inputs if name != "frame"]
    found = reference.infer({"frame": pair.frame[np.newaxis], past: pair.past[np.newaxis]})["flow"][0]
    speed = np.hypot(*pair.flow)
    chosen = pair.visible & (speed >= MOVING_PX)
    return np.hypot(*(found - pair.flow))[chosen], speed[chosen]
