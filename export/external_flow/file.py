"""The ONNX file of an external flow network: read, hashed, and converted to our opsets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
from onnx import TensorProto, helper, version_converter

from edgebs.bundle import sha256_of
from edgebs.errors import ExportError, in_one_line
from edgebs.files import library_path
from export.convert import OPSET
from export.convert.lint import STANDARD_DOMAINS

OLDEST_OPSET, NEWEST_OPSET = 13, 19
"""Opsets that need no conversion: the operators of HOP have one meaning in all, GridSample its old modes."""
HELD_BACK = "edgebs.held.back"
"""Domain of GridSample during the conversion: the converter cannot convert it back from opset 20."""
OLD_MODES = {b"linear": b"bilinear", b"cubic": b"bicubic"}
BODIES = ("If", "Loop", "Scan")
REDUCED = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
AGAIN = "Export it again with opset 17 (torch.onnx.export(..., opset_version=17, dynamo=False))."


def load_flow_file(file: Path) -> Any:
    """The ModelProto with its weights, whole and valid.

    Raises ExportError if the file or its external data are missing, truncated or invalid.
    """
    if not file.is_file():
        raise ExportError(f"no flow network at {file}. Name an .onnx file, or one of dis, net and selflow.")
    try:
        model = onnx.load_model(str(file), load_external_data=False)
    except (OSError, DecodeError) as error:
        raise _unreadable(file, error) from error
    missing = [path.name for path in external_files(model, file) if not path.is_file()]
    if missing:
        raise ExportError(
            f"{file} keeps its weights in {', '.join(missing)}, missing beside it. Copy all its files, or "
            "export it again in one piece (external_data=False)."
        )
    try:
        with library_path(file.parent, ExportError) as folder:
            onnx.load_external_data_for_model(model, str(folder))
        with library_path(file, ExportError) as path:
            onnx.checker.check_model(str(path))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise _unreadable(file, error) from error
    if not model.graph.node:
        raise _unreadable(file, ValueError("it holds no nodes"))
    return model


def _unreadable(file: Path, error: Exception) -> ExportError:
    return ExportError(
        f"{file} is no whole ONNX file ({in_one_line(error)}). Copy it again, or export it again."
    )


def external_files(model: Any, file: Path) -> list[Path]:
    """Files beside `file` that hold its weights, sorted."""
    locations = {
        entry.value
        for tensor in _tensors(model)
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return sorted(file.parent / location for location in locations)


def _tensors(model: Any) -> Iterator[Any]:
    yield from model.graph.initializer
    for node in model.graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def flow_file_sha256(file: Path) -> str:
    """Hash of the file, or of its hash and those of its external weights."""
    digest = sha256_of(file)
    outside = external_files(onnx.load_model(str(file), load_external_data=False), file)
    if not outside:
        return digest
    return hashlib.sha256("\n".join([digest, *map(sha256_of, outside)]).encode()).hexdigest()


def portable(model: Any, name: str) -> Any:
    """The same network in an opset from `OLDEST_OPSET` to `NEWEST_OPSET`, its functions inlined.

    Raises ExportError for operators outside standard ONNX, or without an equivalent in these opsets.
    """
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    for node in model.graph.node:
        if node.domain not in STANDARD_DOMAINS:
            raise ExportError(
                f"{name}: {node.op_type} '{node.name or node.output[0]}' is of domain '{node.domain}'; "
                f"engines run standard ONNX operators only. {AGAIN}"
            )
    if OLDEST_OPSET <= opset_of(model) <= NEWEST_OPSET:
        return model
    return _converted(model, name)


def opset_of(model: Any) -> int:
    """The version of the standard operators."""
    return max((entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), default=1)


def _converted(model: Any, name: str) -> Any:
    is_newer = opset_of(model) > NEWEST_OPSET
    wanted = NEWEST_OPSET if is_newer else OPSET
    old = onnx.ModelProto()
    old.CopyFrom(model)
    if is_newer:
        _hold_grid_samples(old)
    try:
        new = version_converter.convert_version(old, wanted)
    except (RuntimeError, ValueError) as error:  # the converter's own errors are RuntimeErrors of C++
        reason = in_one_line(error).rsplit("failed: ", 1)[-1]
        raise ExportError(
            f"{name} is of opset {opset_of(model)}, and ONNX cannot bring it to {wanted}: {reason}. {AGAIN}"
        ) from error
    for node in new.graph.node:
        if node.domain == HELD_BACK:
            node.domain = ""
    kept = [entry for entry in new.opset_import if entry.domain != HELD_BACK]
    del new.opset_import[:]
    new.opset_import.extend(kept)
    return new


def _hold_grid_samples(model: Any) -> None:
    for node in model.graph.node:
        if node.op_type == "GridSample":
            node.domain = HELD_BACK
            for attribute in node.attribute:
                if attribute.name == "mode":
                    attribute.s = OLD_MODES.get(attribute.s, attribute.s)
    model.opset_import.append(helper.make_opsetid(HELD_BACK, 1))


def require_full_precision(model: Any, name: str) -> None:
    """Raise ExportError for FP16 or quantised networks: their FP32 bundle would not be FP32."""
    kinds = {tensor.data_type for tensor in _tensors(model)}
    kinds |= {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    found = [spoken for kind, spoken in REDUCED.items() if kind in kinds]
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node):
        found.append("quantised integers")
    if found:
        raise ExportError(
            f"{name} computes in {found[0]}. Give it in float32: edgebs makes FP16 and INT8 of it, and "
            "compares them with it."
        )


def require_flat(model: Any, name: str) -> None:
    """Raise ExportError if loops and branches are left after simplifying."""
    bodies = [node for node in model.graph.node if node.op_type in BODIES]
    if bodies:
        raise ExportError(
            f"{name}: node '{bodies[0].name or bodies[0].output[0]}' is a {bodies[0].op_type}; a cue network "
            f"does the same for every frame. Unroll it: a fixed number of iterations. {AGAIN}"
        )
