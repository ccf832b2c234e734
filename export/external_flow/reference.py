"""An external flow network in ONNX Runtime, prepared and read in NumPy: the reference of parity.

It shares only the form with external_flow/graph.py, so that parity finds a mistake in either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from edgebs.tensors import Array, TensorSpec
from export.convert import open_session
from export.external_flow.form import FlowForm
from export.external_flow.graph import specs


class ExternalFlowReference:
    """A `Backend` with the inputs and the output of `hop_graph`; one run of the file for each interval."""

    def __init__(self, file: Path, form: FlowForm, intervals: Sequence[int], output: str) -> None:
        """Raises ExportError if ONNX Runtime refuses the file."""
        self._session = open_session(file)
        self._form, self._intervals = form, tuple(intervals)
        taken, given = specs(form, intervals, output)
        self.inputs: Mapping[str, TensorSpec] = taken
        self.outputs: Mapping[str, TensorSpec] = given
        self.description = f"ONNX Runtime {onnxruntime.__version__} CPU FP32, {file.name} as it came"

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        """The returned arrays are fresh."""
        flows = np.stack(
            [self._flow(feed["frame"], feed[f"past_{tau}"]) for tau in self._intervals]
        )  # (K, 2, H, W)
        (name,) = self.outputs
        cue = np.hypot(flows[:, 0], flows[:, 1]) if name == "cue" else flows.reshape(-1, *flows.shape[2:])
        return {name: np.ascontiguousarray(cue[np.newaxis], np.float32)}

    def close(self) -> None:
        """Do nothing: the session is all there is."""

    def _flow(self, frame: Array, past: Array) -> Array:
        """(2, H, W), in pixels of our frames."""
        form = self._form
        feed = {name: self._image(image[0]) for name, image in zip(form.inputs, (frame, past), strict=True)}
        flow = self._session.run([form.output], feed)[0][0]
        flow = np.moveaxis(flow, -1, 0) if form.output_layout == "nhwc" else flow
        flow = _resized(flow, form.flow_size)[:, : form.frame_size[0], : form.frame_size[1]]
        return np.asarray(flow * np.reshape(form.scale, (2, 1, 1)))

    def _image(self, image: Array) -> Array:
        """(H, W, 3) uint8 BGR -> the network's own, N in front."""
        form = self._form
        values = (image if form.is_bgr else image[..., ::-1]) * np.asarray(form.gain) + np.asarray(
            form.offset
        )
        planes = np.moveaxis(values, -1, 0)
        if form.fit == "resize":
            planes = _resized(planes, form.run_size)
        if form.fit == "pad":
            more = [(0, run - own) for run, own in zip(form.run_size, form.frame_size, strict=True)]
            planes = np.pad(planes, [(0, 0), *more], mode="edge")
        given = np.moveaxis(planes, 0, -1) if form.layout == "nhwc" else planes
        given = np.rint(given) if form.dtype == "uint8" else given
        return np.ascontiguousarray(given[np.newaxis], form.dtype)


def _resized(planes: Array, size: tuple[int, int]) -> Array:
    """(C, h, w) -> (C, *size), bilinear between pixel centres."""
    if planes.shape[1:] == size:
        return planes
    down, across = _weights(planes.shape[1], size[0]), _weights(planes.shape[2], size[1])
    return np.asarray(down @ planes @ across.T)


def _weights(count: int, wanted: int) -> Array:
    """(wanted, count): the share of each old pixel in each new one along a side."""
    at = np.clip((np.arange(wanted) + 0.5) * count / wanted - 0.5, 0, count - 1)
    return np.asarray(np.clip(1 - np.abs(at[:, np.newaxis] - np.arange(count)), 0, 1))
