"""How a flow network that the user brought is fed and read, everything decided: its sidecar and its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import TensorProto

from edgebs.errors import ExportError
from export.convert.lint import type_name
from export.external_flow.sidecar import FlowSidecar
from export.external_flow.trial import CHANNEL_AXIS, CHANNELS, Size, Trial, by, choose_output

TAKEN = {TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowForm:
    """What stands between our frames and the network's flow."""

    inputs: tuple[str, str]
    """Where the flow starts (the present), and where it points (the past)."""
    output: str
    dtype: str
    """Of the inputs: float32 or uint8."""
    layout: str
    output_layout: str
    is_bgr: bool
    gain: tuple[float, ...]
    """By colour, in the network's order: what a grey level of 0 to 255 is multiplied by ..."""
    offset: tuple[float, ...]
    """... and what is added then."""
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
        """What the flow is resized to: `run_size` where it is cropped afterwards."""
        return self.run_size if self.fit == "pad" else self.frame_size


def decide(file: Path, model: Any, sidecar: FlowSidecar, size: Size, pairs: int) -> FlowForm:
    """The form of a network for frames of `size` and `pairs` flows a frame, tried out in ONNX Runtime.

    Raises ExportError for what is wrong or ambiguous, naming the sidecar's key that settles it.
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
            f"{file.name} wants '{surplus[0]}' beside two images. Export it with that fixed, so that two "
            "images are its only inputs."
        )
    values = [given[name] for name in sidecar.inputs]
    for value in values:
        if len(_dims(value)) != 4:
            raise ExportError(
                f"{file.name}: input '{value.name}' is {_spoken(value)}; an image of (N, 3, H, W) or "
                "(N, H, W, 3) is expected."
            )
        if isinstance(_dims(value)[0], int) and _dims(value)[0] != 1:
            raise ExportError(
                f"{file.name}: input '{value.name}' is {_spoken(value)}: always {_dims(value)[0]} pairs at "
                "once. Export it for one pair, or with a dynamic first axis."
            )
    return values


def _dtype(file: Path, values: list[Any]) -> str:
    kinds = {value.type.tensor_type.elem_type for value in values}
    if len(kinds) > 1 or not kinds <= TAKEN.keys():
        spoken = ", ".join(f"'{value.name}' {_spoken(value)}" for value in values)
        raise ExportError(f"{file.name} takes {spoken}; both must be float32, or both uint8.")
    return TAKEN[kinds.pop()]


def _layout(file: Path, values: list[Any], sidecar: FlowSidecar) -> str:
    """The sidecar's layout, or the only one with three colours on its axis."""
    fits = [
        layout
        for layout, axis in CHANNEL_AXIS.items()
        if all(isinstance(_dims(value)[axis], str) or _dims(value)[axis] == CHANNELS for value in values)
    ]
    spoken = ", ".join(f"'{value.name}' {_spoken(value)}" for value in values)
    if not fits or (sidecar.layout and sidecar.layout not in fits):
        wanted = sidecar.layout or "nchw or nhwc"
        raise ExportError(f"{file.name} takes {spoken}: no images of three colours in {wanted}.")
    sure = [f for f in fits if all(_dims(value)[CHANNEL_AXIS[f]] == CHANNELS for value in values)]
    found = sure if len(sure) == 1 else fits
    if not sidecar.layout and len(found) > 1:
        raise ExportError(f"{file.name} takes {spoken}, in which order? Give 'layout': nchw or nhwc.")
    return sidecar.layout or found[0]


def _spatial(value: Any, layout: str) -> list[int | str]:
    dims = _dims(value)
    return dims[2:4] if layout == "nchw" else dims[1:3]


def _sizes(file: Path, sides: list[list[int | str]], sidecar: FlowSidecar, size: Size) -> tuple[Size, str]:
    """Which frames the network gets, and how ours become such."""
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
            f"'scale': 1 where it counts pixels of the frames, {run[1] / found[1]:g} where it counts its own."
        )
    return sidecar.scale or (1.0, 1.0)


def _dims(value: Any) -> list[int | str]:
    """Sizes; a name, perhaps "", where one is dynamic."""
    return [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param
        for dim in value.type.tensor_type.shape.dim
    ]


def _spoken(value: Any) -> str:
    kind = type_name(value.type.tensor_type.elem_type)
    return f"{kind} ({', '.join(str(dim) or '?' for dim in _dims(value))})"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"'{name}'" for name in values) or "none"
