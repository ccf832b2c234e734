"""Refuse ONNX files that engines would misread, and networks that give NaN on rare pictures, before a build.

Each rule is a mistake that was seen: docs/networks.md, section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from calib.graph import OnnxGraph, view
from edgebs.errors import ExportError
from edgebs.tensors import Array, Frame
from export.convert import open_session

GRID_SAMPLE_OPSET = 19
"""Opset 20 renamed `bilinear` to `linear`, which TensorRT 11.1 and older read as nearest."""


RENAMED_MODES = ("linear", "cubic")


QUANTISERS = ("QuantizeLinear", "DequantizeLinear")


STANDARD_DOMAINS = ("", "ai.onnx")


def lint(model_or_path: Any, *, for_tensorrt: bool) -> list[str]:
    """What is wrong with an ONNX model, one sentence a fault, naming the node; empty when it is clean.

    model_or_path: a ModelProto or a path.
    for_tensorrt: also refuse unsigned integers where TensorRT wants signed ones or floats.
    """
    if not isinstance(model_or_path, str | Path):
        return _complaints(model_or_path, for_tensorrt)
    path = Path(model_or_path)
    model = onnx.load_model(str(path), load_external_data=False)
    return _missing_external_data(model, path) or _complaints(model, for_tensorrt)


def require_clean(model_or_path: Any, *, for_tensorrt: bool) -> None:
    """Raise ExportError listing all that `lint` finds, if anything."""
    complaints = lint(model_or_path, for_tensorrt=for_tensorrt)
    if complaints:
        what = str(model_or_path) if isinstance(model_or_path, str | Path) else "the ONNX model"
        raise ExportError("\n  - ".join([f"{what} would be misread:", *complaints]))


def _complaints(model: Any, for_tensorrt: bool) -> list[str]:
    graph = view(model)
    opsets = [entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS]
    rules: list[Callable[[OnnxGraph], Iterator[str]]] = [
        _foreign_operators, _grid_samples, _zero_points, _bias_quantisers
    ]  # fmt: skip
    if for_tensorrt:
        rules += [_unsigned_quantisers, _uint8_readers]
    found = [complaint for rule in rules for complaint in rule(graph)]
    return [*_grid_sample_opset(graph, max(opsets, default=0)), *found]


def _missing_external_data(model: Any, path: Path) -> list[str]:
    locations = {
        entry.value
        for tensor in model.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [
        f"external data '{location}' is missing beside {path.name}: keep both files together"
        for location in sorted(locations)
        if not (path.parent / location).is_file()
    ]


def _foreign_operators(graph: OnnxGraph) -> Iterator[str]:
    for node in graph.nodes:
        if node.domain not in STANDARD_DOMAINS:
            yield f"{_name(node)} is of domain '{node.domain}': only standard ONNX operators are portable"


def _grid_sample_opset(graph: OnnxGraph, opset: int) -> list[str]:
    if opset <= GRID_SAMPLE_OPSET:
        return []
    return [
        f"{_name(node)} is of opset {opset}: TensorRT reads it as nearest; export with opset 17"
        for node in graph.nodes
        if node.op_type == "GridSample"
    ]


def _grid_samples(graph: OnnxGraph) -> Iterator[str]:
    for node in graph.nodes:
        if node.op_type != "GridSample":
            continue
        mode = next(
            (attribute.s.decode() for attribute in node.attribute if attribute.name == "mode"), "bilinear"
        )
        if mode in RENAMED_MODES:
            yield f"{_name(node)} has mode '{mode}': TensorRT reads it as nearest; write 'bi{mode}', opset 17"
        types = [graph.dtypes.get(name, 0) for name in node.input[:2]]
        if len(set(types)) > 1:
            spoken = " and ".join(map(type_name, types))
            yield f"{_name(node)} reads {spoken}: TensorRT wants features and grid of one type"


def _zero_points(graph: OnnxGraph) -> Iterator[str]:
    for node in _quantisers(graph):
        zero_point = graph.constant(node.input[2]) if len(node.input) > 2 else None
        if zero_point is not None and zero_point.any():
            yield f"{_name(node)} has zero point {zero_point.ravel()[0]}: quantise symmetrically, around 0"


def _bias_quantisers(graph: OnnxGraph) -> Iterator[str]:
    for node in _quantisers(graph):
        if graph.dtypes.get(node.input[0]) == onnx.TensorProto.INT32:
            yield f"{_name(node)} dequantises INT32 '{node.input[0]}': leave biases in floating point"


def _unsigned_quantisers(graph: OnnxGraph) -> Iterator[str]:
    for node in _quantisers(graph):
        integers = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
        if graph.dtypes.get(integers) == onnx.TensorProto.UINT8:
            yield f"{_name(node)} is unsigned: TensorRT wants int8; quantise with signed=True"


def _uint8_readers(graph: OnnxGraph) -> Iterator[str]:
    for node in graph.nodes:
        for name in node.input:
            image = name not in graph.producers and name not in graph.constants
            if image and graph.dtypes.get(name) == onnx.TensorProto.UINT8 and node.op_type != "Cast":
                yield f"{_name(node)} reads uint8 input '{name}': TensorRT only casts it; cast first"


def _quantisers(graph: OnnxGraph) -> Iterator[Any]:
    return (node for node in graph.nodes if node.op_type in QUANTISERS)


def _name(node: Any) -> str:
    return f"{node.op_type} '{node.name or node.output[0]}'"


def type_name(dtype: int) -> str:
    """ONNX's word for an element type; its number if ONNX has no such type."""
    known = onnx.TensorProto.DataType.values()
    return str(onnx.TensorProto.DataType.Name(dtype)).lower() if dtype in known else f"type {dtype}"


Picture = Callable[[tuple[int, ...], int], Frame]
"""From a shape that ends with (H, W, 3), and the number of the input."""


def _even(level: int) -> Picture:
    return lambda shape, _number: np.full(shape, level, np.uint8)


def _noise(shape: tuple[int, ...], number: int) -> Frame:
    return np.random.default_rng(number).integers(0, 256, shape).astype(np.uint8)


def _saturated(shape: tuple[int, ...], number: int) -> Frame:
    return np.where(_noise(shape, number) < 128, 0, 255).astype(np.uint8)


def _half_even(shape: tuple[int, ...], number: int) -> Frame:
    picture = _noise(shape, number)
    picture[..., : shape[-2] // 2, :] = 128
    return picture


PICTURES: Mapping[str, Picture] = {
    "black frames": _even(0),
    "white frames": _even(255),
    "frames of one even grey": _even(128),
    "two identical frames": lambda shape, _number: _noise(shape, 0),
    "frames with an even area": _half_even,
    "saturated noise": _saturated,
}
"""Kinds, as error messages name them."""


NOTHING_MOVES = frozenset(PICTURES) - {"frames with an even area", "saturated noise"}
"""Kinds whose cue is 0."""


def require_finite(file: Path, like: Mapping[str, Array], what: str, repair: str) -> None:
    """Raise ExportError naming the kind of pictures on which an ONNX network gives NaN or infinity.

    like: real inputs of the network: uint8 tensors (..., H, W, 3) are replaced by the pictures, `cue` by 0
    where nothing moves and by its own largest values on noise; other tensors are the state of a background
    and stay. what: the network in the message. repair: its last sentence.
    """
    session = open_session(file)
    for kind, picture in PICTURES.items():
        feed = {
            name: _input(name, values, kind, picture, number)
            for number, (name, values) in enumerate(like.items())
        }
        for result in session.run(None, feed):
            if not np.isfinite(result).all():
                raise ExportError(
                    f"{what} gives NaN or infinity on {kind}. Cameras give such pictures (a covered lens, "
                    f"fog, a picture that stands still), and NaN counts as background. {repair}"
                )


def _input(name: str, values: Array, kind: str, picture: Picture, number: int) -> Array:
    if values.dtype == np.uint8:
        return picture(values.shape, number)
    if name != "cue":
        return values
    if kind in NOTHING_MOVES:
        return np.zeros_like(values)
    extremes: Array = np.where(_noise(values.shape, number) < 128, values.min(), values.max())
    return extremes.astype(values.dtype)
