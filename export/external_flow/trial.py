"""A flow network that the user brought, as it came: run on noise, to see what it takes and gives."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgebs.errors import ExportError, in_one_line
from edgebs.tensors import Array
from export.convert.to_onnx import TOLERANCE, open_session
from export.external_flow.sidecar import FlowSidecar

logger = logging.getLogger(__name__)

CHANNELS = 3
CHANNEL_AXIS = {"nchw": 1, "nhwc": 3}
FATAL = 4
"""Severity from which ONNX Runtime writes to stderr: its errors are ours to tell."""
Size = tuple[int, int]
"""(H, W)"""


class Trial:
    """The network as it came, run on noise."""

    def __init__(self, file: Path, inputs: tuple[str, str], dtype: str, layout: str, size: Size) -> None:
        self.file, self.inputs, self.dtype, self.size = file, inputs, dtype, size
        self._shape = (*size, CHANNELS) if layout == "nhwc" else (CHANNELS, *size)
        self._session = open_session(file)
        self._silent = onnxruntime.RunOptions()
        self._silent.log_severity_level = FATAL
        self.outputs = self.run(1)

    def run(self, pairs: int) -> dict[str, Array]:
        """All outputs for so many pairs, which differ; the first is the same every time."""
        feed = {
            name: np.stack([self._noise(i, n) for n in range(pairs)]) for i, name in enumerate(self.inputs)
        }
        names = [value.name for value in self._session.get_outputs()]
        try:
            return dict(zip(names, self._session.run(None, feed, self._silent), strict=True))
        except Exception as error:  # ONNX Runtime's own exceptions share no public base but Exception
            raise ExportError(
                f"{self.file.name} cannot run {pairs} pair{'s' if pairs > 1 else ''} of frames of "
                f"{by(self.size)}. Where it wants sides of a multiple, give 'multiple' in its sidecar; where "
                f"it wants one size, 'size'. ONNX Runtime says: {in_one_line(error)}"
            ) from error

    def _noise(self, image: int, pair: int) -> Array:
        noise = np.random.default_rng((image, pair)).integers(0, 256, self._shape)
        return noise.astype(np.uint8) if self.dtype == "uint8" else (noise / 255).astype(np.float32)

    def takes(self, pairs: int, output: str) -> bool:
        """Whether the first of several pairs gets the flow that it gets alone: an axis may be a lie."""
        alone = self.outputs[output]
        try:
            together = self.run(pairs)[output]
        except ExportError as error:
            logger.info("%s: one pair at a time (%s)", self.file.name, error)
            return False
        if together.shape != (pairs, *alone.shape[1:]):
            return False
        limit = TOLERANCE * max(1.0, float(np.abs(alone).max()))
        return bool(np.abs(together[:1] - alone).max() <= limit)


def choose_output(tried: Trial, sidecar: FlowSidecar, layout: str) -> tuple[str, str, Size]:
    """Name, layout and size of the flow among the outputs."""
    flows = {name: _flow_layout(value, layout) for name, value in tried.outputs.items()}
    has = ", ".join(f"'{name}' {value.shape}" for name, value in tried.outputs.items())
    if sidecar.output:
        if not flows.get(sidecar.output):
            raise ExportError(
                f"{tried.file.name}: '{sidecar.output}' is no output with the two channels of a flow; it has "
                f"{has}."
            )
        flows = {sidecar.output: flows[sidecar.output]}
    found = {name: at for name, at in flows.items() if at}
    if not found:
        raise ExportError(f"{tried.file.name} gives no flow, (1, 2, H, W) or (1, H, W, 2); it has {has}.")
    sizes = {name: _size_of(tried.outputs[name], at) for name, at in found.items()}
    full = [name for name in found if sizes[name] == tried.size]
    if len(found) > 1 and len(full) != 1:
        raise ExportError(f"{tried.file.name}: which output is the flow? Give 'output', one of {has}.")
    name = full[0] if len(found) > 1 else next(iter(found))
    if not np.isfinite(tried.outputs[name]).all():
        raise ExportError(
            f"{tried.file.name} gives NaN or infinity in '{name}' on noise. Look at its weights."
        )
    return name, found[name], sizes[name]


def _flow_layout(value: Array, layout: str) -> str:
    """The layout with two channels, that of the inputs first; "" for no flow."""
    order = sorted(CHANNEL_AXIS, key=lambda each: each != layout)
    if value.ndim != 4 or value.shape[0] != 1 or value.dtype != np.float32:
        return ""
    return next((each for each in order if value.shape[CHANNEL_AXIS[each]] == 2), "")


def _size_of(value: Array, layout: str) -> Size:
    height, width = value.shape[2:4] if layout == "nchw" else value.shape[1:3]
    return int(height), int(width)


def by(size: Any) -> str:
    """Width and height of (H, W), as they are spoken; a side that is not known is a question mark."""
    return f"{size[1] or '?'}x{size[0] or '?'}"
