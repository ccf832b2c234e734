"""What TensorRT made of a network: the layers of a plan, by its own inspector. Needs the plan's GPU."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebs.errors import BackendError
from edgebs.nvidia import cuda
from edgebs.nvidia.options import DeviceOptions
from edgebs.nvidia.tensorrt.engine import module_of, open_runtime
from edgebs.nvidia.tensorrt.module import import_tensorrt, last_error, make_logger
from engines.layers import LayerFacts

_PRECISIONS = (
    ("int8", r"Int8"),
    ("fp16", r"FP16|Half"),
    ("bf16", r"BF16|BFloat16"),
    ("fp32", r"FP32|Float"),
    ("int32", r"Int32"),
    ("int64", r"Int64"),
    ("uint8", r"UInt8"),
    ("bool", r"Bool"),
)
"""In the inspector's words for a tensor: "Row major linear FP16 format", "Half"."""


def plan_layers(file: Path, module: str, options: DeviceOptions | None = None) -> list[LayerFacts]:
    """The layers of a plan, in the order of execution, untimed.

    options: the GPU, and what loads the plan. Verify the bundle first (edgebs.bundle.folder.load_bundle): a
    plan is native code. Raises BackendError where it cannot be loaded here.
    """
    options = options or DeviceOptions()
    trt = import_tensorrt(module_of(module, options))
    cuda.require_device()
    with cuda.on_device(options.device):
        logger = make_logger(trt)
        runtime, loader = open_runtime(trt, logger, options)
        engine = runtime.deserialize_cuda_engine(file.read_bytes())
        if engine is None:
            raise BackendError(f"{file} cannot be loaded: {last_error(logger)}")
        text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
        del engine, runtime, loader  # in this order
    return layers_from_inspector(text)


def layers_from_inspector(text: str) -> list[LayerFacts]:
    """The layers in an inspector's JSON, of TensorRT 8 to 11.

    Plans that were built without details hold names alone. Raises BackendError for another text.
    """
    try:
        layers = json.loads(text)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise BackendError(
            f"TensorRT's inspector said {text[:80]!r}, which this edgebs cannot read"
        ) from error
    return [_layer(layer) for layer in layers]


def _layer(layer: str | Mapping[str, Any]) -> LayerFacts:
    if isinstance(layer, str):
        return LayerFacts(name=layer, kind="", precision="")
    return LayerFacts(
        name=str(layer.get("Name", "")),
        kind=str(layer.get("LayerType", "")),
        precision=_precision(layer),
        kernel=str(layer.get("TacticName", "")),
    )


def _precision(layer: Mapping[str, Any]) -> str:
    """Of the first result; a Reformat reads what its inputs say in another type."""
    for tensor in layer.get("Outputs", ()):
        said = str(tensor.get("Format/Datatype") or tensor.get("Datatype") or "")
        for precision, words in _PRECISIONS:
            if re.search(rf"\b(?:{words})\b", said):
                return precision
    return ""
