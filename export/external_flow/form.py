"""Layouts, sizes and value ranges of an external flow network, decided from its sidecar and its file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto

from edgebs.errors import ExportError, in_one_line
from edgebs.tensors import Array
from export.convert import TOLERANCE, open_session
from export.convert.lint import type_name
from export.external_flow.sidecar import FlowSidecar

logger = logging.getLogger(__name__)

CHANNELS = 3
CHANNEL_AXIS = {"nchw": 1, "nhwc": 3}
FATAL = 4
"""Severity from which ONNX Runtime writes to stderr: its errors are reported as ExportError."""
Size = tuple[int, int]
"""(H, W)"""


class Trial:
    """Runs the network on noise."""

    def __init__(self, file: Path, inputs: tuple[str, str], dtype: str, layout: str, size: Size) -> None:
        self.file, self.inputs, self.dtype, self.size = file, inputs, dtype, size
        self._shape = (*size, CHANNELS) if layout == "nhwc" else (CHANNELS, *size)
        self._session = open_session(file)
        self._silent = onnxruntime.RunOptions()
        self._silent.log_severity_level = FATAL
        self.outputs = self.run(1)

    def run(self, pairs: int) -> dict[str, Array]:
        """All outputs for `pairs` different pairs of frames; the first pair is always the same."""
        feed = {
            name: np.stack([self._noise(i, n) for n in range(pairs)]) for i, name in enumerate(self.inputs)
        }
        names = [value.name for value in self._session.get_outputs()]
        try:
            return dict(zip(names, self._session.run(None, feed, self._silent), strict=True))
        except Exception as error:  # ONNX Runtime's own exceptions share no public base but Exception
            raise ExportError(
                f"{self.file.name} cannot run {pairs} pair{'s' if pairs > 1 else ''} of frames of "
                f"{by(self.size)}. If it needs sides of a multiple, give 'multiple' in its sidecar; if "
                f"it needs one size, 'size'. ONNX Runtime: {in_one_line(error)}"
            ) from error

    def _noise(self, image: int, pair: int) -> Array:
        noise = np.random.default_rng((image, pair)).integers(0, 256, self._shape)
        return noise.astype(np.uint8) if self.dtype == "uint8" else (noise / 255).astype(np.float32)

    def takes(self, pairs: int, output: str) -> bool:
        """Whether the first of several pairs gets the flow that it gets alone: a dynamic axis may fail."""
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
    """The layout that has two channels, that of the inputs first; "" if it is no flow."""
    order = sorted(CHANNEL_AXIS, key=lambda each: each != layout)
    if value.ndim != 4 or value.shape[0] != 1 or value.dtype != np.float32:
        return ""
    return next((each for each in order if value.shape[CHANNEL_AXIS[each]] == 2), "")


def _size_of(value: Array, layout: str) -> Size:
    height, width = value.shape[2:4] if layout == "nchw" else value.shape[1:3]
    return int(height), int(width)


def by(size: Any) -> str:
    """(H, W) as WIDTHxHEIGHT; an unknown side is a question mark."""
    return f"{size[1] or '?'}x{size[0] or '?'}"


TAKEN = {TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowForm:
    """How frames become the network's inputs, and its output becomes flow in pixels of the frames."""

    inputs: tuple[str, str]
    """The inputs of the present, where the flow starts, and of the past, to which it points."""
    output: str
    dtype: str
    """Of the inputs: float32 or uint8."""
    layout: str
    output_layout: str
    is_bgr: bool
    gain: tuple[float, ...]
    """Factor of grey levels 0 to 255, by colour in the network's order ..."""
    offset: tuple[float, ...]
    """... and the summand after it."""
    frame_size: Size
    """Of our frames."""
    run_size: Size
    """Of the frames that the network gets."""
    fit: str
    """`pad`, `resize`, or "" where both sizes are one."""
    output_size: Size
    """Of the network's flow."""
    scale: tuple[float, float]
    """Pixels of our frames for one unit of the flow, (x, y)."""
    batch: int
    """Pairs of frames that the network takes at once."""

    @property
    def flow_size(self) -> Size:
        """The size to which the flow is resized: `run_size` if it is cropped afterwards."""
        return self.run_size if self.fit == "pad" else self.frame_size


def decide(file: Path, model: Any, sidecar: FlowSidecar, size: Size, pairs: int) -> FlowForm:
    """The form of a network for frames of `size` and `pairs` flows a frame, tried out in ONNX Runtime.

    Raises ExportError for wrong or ambiguous facts, naming the key of the sidecar that repairs it.
    """
    values = _two_inputs(file, model, sidecar)
    dtype = _dtype(file, values)
    layout = _layout(file, values, sidecar)
    run_size, fit = _sizes(file, [_spatial(value, layout) for value in values], sidecar, size)
    gain, offset = _affine(file, dtype, sidecar)
    tried = Trial(file, sidecar.inputs, dtype, layout, run_size)
    output, output_layout, output_size = choose_output(tried, sidecar, layout)
    scale = _scale(file, output, output_size, run_size, sidecar)
    if fit == "resize":
        scale = (scale[0] * size[1] / run_size[1], scale[1] * size[0] / run_size[0])
    fixed = {dims[0] for dims in map(_dims, values) if isinstance(dims[0], int)}
    return FlowForm(
        inputs=sidecar.inputs, output=output, dtype=dtype, layout=layout, output_layout=output_layout,
        is_bgr=sidecar.colour == "bgr", gain=gain, offset=offset, frame_size=size, run_size=run_size, fit=fit,
        output_size=output_size, scale=scale,
        batch=pairs if not fixed and pairs > 1 and tried.takes(pairs, output) else 1,
    )  # fmt: skip


def _two_inputs(file: Path, model: Any, sidecar: FlowSidecar) -> list[Any]:
    """The two inputs in the order of the sidecar."""
    constants = {tensor.name for tensor in model.graph.initializer}
    given = {value.name: value for value in model.graph.input if value.name not in constants}
    missing = [name for name in sidecar.inputs if name not in given]
    if missing:
        raise ExportError(
            f"{file.name} has no input '{missing[0]}', which its sidecar names; it has {_listed(given)}."
        )
    surplus = sorted(set(given) - set(sidecar.inputs))
    if surplus:
        raise ExportError(
            f"{file.name} needs '{surplus[0]}' beside two images. Export it with a fixed value, so that two "
            "images are its only inputs."
        )
    values = [given[name] for name in sidecar.inputs]
    for value in values:
        if len(_dims(value)) != 4:
            raise ExportError(
                f"{file.name}: input '{value.name}' is {_describe(value)}; an image of (N, 3, H, W) or "
                "(N, H, W, 3) is expected."
            )
        if isinstance(_dims(value)[0], int) and _dims(value)[0] != 1:
            raise ExportError(
                f"{file.name}: input '{value.name}' is {_describe(value)}: always {_dims(value)[0]} pairs at "
                "once. Export it for one pair, or with a dynamic first axis."
            )
    return values


def _dtype(file: Path, values: list[Any]) -> str:
    kinds = {value.type.tensor_type.elem_type for value in values}
    if len(kinds) > 1 or not kinds <= TAKEN.keys():
        raise ExportError(f"{file.name} takes {_describe_all(values)}; both must be float32, or both uint8.")
    return TAKEN[kinds.pop()]


def _layout(file: Path, values: list[Any], sidecar: FlowSidecar) -> str:
    """The sidecar's layout, or the only one with three colours on its axis."""
    fits = [
        layout
        for layout, axis in CHANNEL_AXIS.items()
        if all(isinstance(_dims(value)[axis], str) or _dims(value)[axis] == CHANNELS for value in values)
    ]
    inputs = _describe_all(values)
    if not fits or (sidecar.layout and sidecar.layout not in fits):
        wanted = sidecar.layout or "nchw or nhwc"
        raise ExportError(f"{file.name} takes {inputs}: no images of three colours in {wanted}.")
    sure = [f for f in fits if all(_dims(value)[CHANNEL_AXIS[f]] == CHANNELS for value in values)]
    found = sure if len(sure) == 1 else fits
    if not sidecar.layout and len(found) > 1:
        raise ExportError(f"{file.name} takes {inputs}, in which order? Give 'layout': nchw or nhwc.")
    return sidecar.layout or found[0]


def _spatial(value: Any, layout: str) -> list[int | str]:
    dims = _dims(value)
    return dims[2:4] if layout == "nchw" else dims[1:3]


def _sizes(file: Path, sides: list[list[int | str]], sidecar: FlowSidecar, size: Size) -> tuple[Size, str]:
    """Size of the network's frames, and how ours get that size."""
    fixed: list[int | None] = []
    for axis in (0, 1):
        known = {side[axis] for side in sides if isinstance(side[axis], int)}
        if len(known) > 1:
            raise ExportError(f"{file.name} takes two images of different sizes: {sides[0]} and {sides[1]}.")
        fixed.append(int(known.pop()) if known else None)
    if sidecar.size and any(have not in (None, want) for have, want in zip(fixed, sidecar.size, strict=True)):
        raise ExportError(
            f"{file.name} is fixed at {by(fixed)}, its sidecar says {by(sidecar.size)}. Leave 'size' out."
        )
    step = sidecar.multiple
    rounded = [-(-side // step) * step for side in size]
    free = sidecar.size or rounded
    height, width = (have or want for have, want in zip(fixed, free, strict=True))
    if (height, width) == size:
        return size, ""
    chosen = sidecar.size is not None or any(fixed)
    fit = sidecar.fit or ("resize" if chosen else "pad")
    if fit == "pad" and (height < size[0] or width < size[1]):
        raise ExportError(
            f"{file.name} takes frames of {by((height, width))}, too small to hold the bundle's of "
            f"{by(size)}. Give 'fit': resize, or export with --size {by((height, width))}."
        )
    return (height, width), fit


def _affine(file: Path, dtype: str, sidecar: FlowSidecar) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Gain and offset of grey levels, by colour."""
    plain = not any(sidecar.mean) and set(sidecar.std) == {1.0}
    if dtype == "uint8":
        if sidecar.range not in (None, (0.0, 255.0)) or not plain:
            raise ExportError(
                f"{file.name} takes uint8, grey levels of 0 to 255: leave 'range', 'mean' and 'std' out."
            )
        return (1.0,) * CHANNELS, (0.0,) * CHANNELS
    if sidecar.range is None:
        raise ExportError(
            f"{file.name} takes float32, and its sidecar does not say what black and white are. Give "
            "'range': [0, 1], [0, 255] or [-1, 1]."
        )
    low, high = sidecar.range
    gain = tuple((high - low) / 255 / std for std in sidecar.std)
    return gain, tuple((low - mean) / std for mean, std in zip(sidecar.mean, sidecar.std, strict=True))


def _scale(file: Path, output: str, found: Size, run: Size, sidecar: FlowSidecar) -> tuple[float, float]:
    """Pixels of the network's input for one unit of its output."""
    if sidecar.scale is None and found != run:
        raise ExportError(
            f"{file.name}: output '{output}' is {by(found)} for frames of {by(run)}: pixels of which? Give "
            f"'scale': 1 if it counts pixels of the frames, {run[1] / found[1]:g} if it counts its own."
        )
    return sidecar.scale or (1.0, 1.0)


def _dims(value: Any) -> list[int | str]:
    """Sizes; a name, possibly "", for a dynamic size."""
    return [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param
        for dim in value.type.tensor_type.shape.dim
    ]


def _describe(value: Any) -> str:
    kind = type_name(value.type.tensor_type.elem_type)
    return f"{kind} ({', '.join(str(dim) or '?' for dim in _dims(value))})"


def _describe_all(values: list[Any]) -> str:
    return ", ".join(f"'{value.name}' {_describe(value)}" for value in values)


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"'{name}'" for name in values) or "none"
