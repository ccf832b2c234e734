"""A pipeline without networks: the frame's mean grey is its probability, and the cue counts frames."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgebs.bundle.manifest import CueSettings, Manifest, NetworkFacts
from edgebs.cues.cue import CueOutput
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array, Frame, TensorSpec

SIZE = (8, 16)


class FakeSegment:
    """Probability = the frame's blue channel / 255 + the cue / 100, in a buffer that every call reuses.

    Fails on a frame whose first pixel is 13.
    """

    def __init__(self) -> None:
        self.inputs = {
            "frame": TensorSpec((1, *SIZE, 3), "uint8"),
            "cue": TensorSpec((1, 1, *SIZE), "float32"),
        }
        self.outputs = {"probability": TensorSpec((1, *SIZE), "float32")}
        self.description = "fake"
        self.closed = 0
        self._out = np.zeros((1, *SIZE), np.float32)

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        for name, spec in self.inputs.items():
            spec.check(name, feed[name])
        if feed["frame"][0, 0, 0, 0] == 13:
            raise ArithmeticError("unlucky frame")
        np.divide(feed["frame"][..., 0], 255, out=self._out)
        self._out += feed["cue"][:, 0] / 100
        return {"probability": self._out}

    def close(self) -> None:
        self.closed += 1


class FakeCue:
    """Warms up for two frames. Fails on a frame whose first pixel is 66."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.resets = 0
        self.closed = 0
        self.description = "fake"

    def update(self, frame: Frame, captured_s: float | None) -> CueOutput:  # noqa: ARG002
        if frame[0, 0, 0] == 66:
            raise ArithmeticError("bad past")
        self.seen.append(int(frame[0, 0, 0]))
        return CueOutput({"cue": np.zeros((1, 1, *SIZE), np.float32)}, len(self.seen) < 3)

    def remember(self, frame: Frame, captured_s: float | None) -> None:  # noqa: ARG002
        self.seen.append(int(frame[0, 0, 0]))

    def reset(self) -> None:
        self.seen.clear()
        self.resets += 1

    def close(self) -> None:
        self.closed += 1


def fake_manifest(**changes: object) -> Manifest:
    segment = FakeSegment()
    facts = NetworkFacts(
        file="segment.onnx",
        backend="onnxruntime",
        precision="fp32",
        inputs=segment.inputs,
        outputs=segment.outputs,
        description={"network": "fake"},
        weights_sha256="0" * 64,
        parameters=1,
        gflop=0.001,
    )
    values: dict[str, object] = {
        "name": "fake-cpu-fp32",
        "model": "fake",
        "target": "onnx",
        "precision": "fp32",
        "size": SIZE,
        "threshold": 0.5,
        "cue": CueSettings(
            kind="hop", provider="dis", intervals=(1,), max_magnitude=20.0, nominal_fps=25.0, preset="fast"
        ),
        "networks": {"segment": facts},
        "weights": {"segment": {"file": None, "seed": 0, "trained": False, "sha256": "0" * 64}},
        "tools": {"edgebs": "0.1.0"},
    }
    return Manifest(**{**values, **changes})  # type: ignore[arg-type]


def fake_pipeline() -> Pipeline:
    return Pipeline(fake_manifest(), FakeSegment(), FakeCue())


def grey_frame(level: int, size: tuple[int, int] = (16, 32)) -> Frame:
    return np.full((*size, 3), level, np.uint8)
