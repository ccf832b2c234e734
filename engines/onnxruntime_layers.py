"""What ONNX Runtime made of an ONNX file on this CPU, and how long each node takes, by its own profile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgebs.backends.onnxruntime import inference_session, session_options
from edgebs.errors import BackendError, MissingDependency, in_one_line
from edgebs.files.atomic import scratch_folder
from edgebs.files.paths import library_path
from edgebs.tensors import TensorSpec
from engines.layers import RUNS, LayerFacts, blank_feed, median_ms

PRECISIONS = {"float": "fp32", "float16": "fp16", "int8": "int8", "uint8": "int8"}
"""By ONNX Runtime's names of element types."""
_KERNEL = "_kernel_time"


def onnxruntime_layers(file: Path, inputs: Mapping[str, TensorSpec], threads: int) -> list[LayerFacts]:
    """The nodes that ONNX Runtime runs, with median times. Raises BackendError for an unusable file."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency("needs ONNX Runtime: pip install 'edgebs[onnx]'") from error
    with scratch_folder() as made, library_path(made) as folder:
        options = session_options(onnxruntime)
        options.intra_op_num_threads = threads
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        try:
            session = inference_session(onnxruntime, file.read_bytes(), options)
        except Exception as error:  # its own exceptions share no base
            raise BackendError(f"ONNX Runtime cannot load {file}: {in_one_line(error)}") from error
        feed = blank_feed(inputs)
        for _ in range(RUNS):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return layers_from_profile(events)


def layers_from_profile(events: Iterable[Mapping[str, Any]]) -> list[LayerFacts]:
    """The layers in a profile of several runs, in the order in which they first ran."""
    ran: dict[str, Mapping[str, Any]] = {}
    runs: list[dict[str, float]] = []
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith(_KERNEL):
            continue
        name = event["name"].removesuffix(_KERNEL)
        ran.setdefault(name, event["args"])
        runs.append({name: float(event["dur"]) / 1e3})
    times = median_ms(runs)
    return [
        LayerFacts(
            name=name,
            kind=args["op_name"],
            precision=_precision(args),
            kernel=args.get("provider", ""),
            ms=times[name],
        )
        for name, args in ran.items()
    ]


def _precision(args: Mapping[str, Any]) -> str:
    outputs = args.get("output_type_shape") or [{}]
    kind = next(iter(outputs[0]), "")
    return PRECISIONS.get(kind, kind)
