"""PyTorch to ONNX, and ONNX to other precisions; checks of ONNX files.

PyTorch to ONNX with opset 17 and the TorchScript exporter: TensorRT 11.1 and older read the GridSample of
opset 20 as nearest, and the newer exporter cannot go below opset 18, which TensorRT 8 (JetPack 5 and 6.0)
cannot read. Each step is checked: export, simplification and conversion must not change the outputs.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from calib.graph import (
    FLOAT,
    OnnxGraph,
    constants_as_initializers,
    load,
    require_valid,
    view,
)
from edgebs.backends.onnxruntime import inference_session, session_options
from edgebs.errors import ExportError, in_one_line
from edgebs.files import library_path, work_folder
from edgebs.tensors import Array, TensorSpec

logger = logging.getLogger(__name__)


OPSET = 17


TOLERANCE = 1e-4
"""Largest difference from PyTorch, for outputs up to 1; larger outputs (flow in pixels) scale it."""


EXPORTER_CHATTER = (
    ".*legacy TorchScript-based ONNX export",  # chosen on purpose, see above
    "The feature will be removed. Please remove usage of this function",  # of the exporter's own logging
    "ONNX export mode is set to TrainingMode.EVAL, but operator 'instance_norm'",  # it has one mode alone
    "Constant folding - Only steps=1 can be constant folded",  # onnxsim folds what the exporter leaves
)
"""Warnings of torch.onnx.export that tell us nothing; any other one passes."""


def onnx_from_module(
    module: Any,
    inputs: Mapping[str, TensorSpec],
    outputs: Sequence[str],
    feeds: Sequence[Mapping[str, Array]],
    file: Path,
) -> None:
    """Write `module` as a simplified ONNX file with fixed shapes that computes what PyTorch computes.

    inputs: name, shape and dtype of each argument of `module.forward`, in its order.
    outputs: a name for each tensor that it returns.
    feeds: samples on which ONNX Runtime must agree with PyTorch; real frames show more than noise.
    The module is put into evaluation mode. Raises ExportError naming the step, the output and both values.
    """
    if not feeds:
        raise ExportError(f"exporting {file.name}: at least one sample is needed to check the result")
    for feed in feeds:
        _check_feed(inputs, feed)
    module.eval()
    references = [_torch_outputs(module, list(inputs), outputs, feed) for feed in feeds]
    with work_folder(file) as folder:
        exported, simplified = folder / "exported.onnx", folder / "simplified.onnx"
        _export(module, inputs, outputs, exported)
        require_agreement("export", exported, feeds, references)
        _simplify(exported, simplified)
        exported.unlink()
        _check(simplified, inputs, outputs)
        require_agreement("simplify", simplified, feeds, references)
        simplified.replace(file)
    logger.info("wrote %s (%.1f MB)", file, file.stat().st_size / 1e6)


def _check_feed(inputs: Mapping[str, TensorSpec], feed: Mapping[str, Array]) -> None:
    if set(feed) != set(inputs):
        raise ValueError(f"feeds must hold {sorted(inputs)}, got {sorted(feed)}")
    for name, spec in inputs.items():
        spec.check(name, feed[name])


def _torch_outputs(
    module: Any, inputs: Sequence[str], outputs: Sequence[str], feed: Mapping[str, Array]
) -> dict[str, Array]:
    import torch

    with torch.inference_mode():
        results = module(*(torch.from_numpy(np.array(feed[name])) for name in inputs))
    if isinstance(results, torch.Tensor):
        results = (results,)
    if len(results) != len(outputs):
        raise ValueError(f"the module returns {len(results)} tensors, {len(outputs)} names were given")
    return {name: result.numpy() for name, result in zip(outputs, results, strict=True)}


def _export(module: Any, inputs: Mapping[str, TensorSpec], outputs: Sequence[str], file: Path) -> None:
    import torch

    example = tuple(
        torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)) for spec in inputs.values()
    )  # only shapes and dtypes matter: tracing follows no data
    with warnings.catch_warnings(), torch.no_grad():
        for chatter in EXPORTER_CHATTER:
            warnings.filterwarnings("ignore", message=chatter)
        # PyTorch's own checks of sizes; where our networks depend on data while traced, the warning passes.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning, module=r"torch\.nn\.functional")
        try:
            torch.onnx.export(
                module,
                example,
                str(file),
                dynamo=False,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                do_constant_folding=True,
            )
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            raise ExportError(
                f"step 'export' of {type(module).__name__} failed: {in_one_line(error)}"
            ) from error


def _simplify(source: Path, target: Path) -> None:
    import onnxsim

    try:
        model, _ = onnxsim.simplify(str(source), include_subgraph=False)
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"step 'simplify' of {source.name} failed: {in_one_line(error)}") from error
    constants_as_initializers(model)
    cast_inputs_first(model)
    onnx.save_model(model, str(target))


def _check(file: Path, inputs: Mapping[str, TensorSpec], outputs: Sequence[str]) -> None:
    """The ONNX checker with strict shape inference; then the expected names, shapes and dtypes."""
    require_valid(file, "step 'check': ONNX refuses the simplified file")
    graph = onnx.load_model(str(file)).graph
    found = {value.name: _spec_of(value) for value in graph.input}
    if found != dict(inputs):
        raise ExportError(f"step 'check': inputs became {found}, asked for {dict(inputs)}")
    names = [value.name for value in graph.output]
    if names != list(outputs):
        raise ExportError(f"step 'check': outputs became {names}, asked for {list(outputs)}")


def _spec_of(value: Any) -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return TensorSpec(tuple(size.dim_value for size in tensor.shape.dim), dtype.name)


def require_agreement(
    step: str,
    file: Path,
    feeds: Sequence[Mapping[str, Array]],
    references: Sequence[Mapping[str, Array]],
    original: str = "PyTorch",
) -> None:
    """Raise ExportError unless ONNX Runtime makes of `file` what `original` made of the same feeds."""
    session = open_session(file)
    for index, (feed, reference) in enumerate(zip(feeds, references, strict=True)):
        results = session.run(list(reference), dict(feed))
        for (name, expected), result in zip(reference.items(), results, strict=True):
            _compare(f"step '{step}', sample {index}, output '{name}'", expected, result, original)


def _compare(what: str, expected: Array, result: Array, original: str = "PyTorch") -> None:
    if expected.shape != result.shape:
        raise ExportError(f"{what}: {original} gives shape {expected.shape}, ONNX Runtime {result.shape}")
    if not np.isfinite(expected).all():
        raise ExportError(f"{what}: {original} itself gives NaN or infinity; look at the weights")
    error = np.abs(expected - result)
    worst = np.unravel_index(int(np.argmax(error)), error.shape)
    limit = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not error[worst] <= limit:  # also true for NaN
        raise ExportError(
            f"{what}: ONNX Runtime gives {result[worst]:.6g} at {tuple(map(int, worst))} where {original} "
            f"gives {expected[worst]:.6g} (difference {error[worst]:.3g}, allowed {limit:.3g})"
        )


def open_session(file: Path) -> Any:
    """A quiet ONNX Runtime session on the CPU. Raises ExportError if it refuses the file."""
    import onnxruntime

    options = session_options(onnxruntime)
    options.enable_cpu_mem_arena = False  # one or two runs: the arena would only keep their memory
    try:
        with library_path(file, ExportError) as path:
            return inference_session(onnxruntime, str(path), options)
    except Exception as error:  # ONNX Runtime's own exceptions share no public base but Exception
        raise ExportError(f"ONNX Runtime refuses {file.name}: {in_one_line(error)}") from error


MOVES = frozenset({"Concat", "Gather", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that take any type: an exporter may leave them in front of the Cast."""


def cast_inputs_first(model: Any) -> None:
    """Move the float32 casts of uint8 inputs to the inputs, in place; the values are the same.

    A graph that computes in integers before the cast stays as it is: lint.py reports it.
    """
    graph = view(model)
    images = [value.name for value in model.graph.input if graph.dtypes[value.name] == onnx.TensorProto.UINT8]
    moved, casts = _region(graph, images)
    if not casts or moved is None:
        return
    renamed = {cast.output[0]: cast.input[0] for cast in casts}
    renamed.update({name: f"{name}_float32" for name in images})
    nodes = [
        helper.make_node("Cast", [name], [renamed[name]], name=f"Cast_{name}", to=FLOAT) for name in images
    ]
    for node in model.graph.node:
        if node not in casts:
            for index, name in enumerate(node.input):
                while name in renamed:
                    name = renamed[name]
                node.input[index] = name
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _forget_types(model, moved)


def _region(graph: OnnxGraph, images: list[str]) -> tuple[set[str] | None, list[Any]]:
    """Tensors that carry the images as integers, and the casts that end them; None if anything else does."""
    moved, casts = set(images), []
    for node in graph.nodes:
        if not moved.intersection(node.input):
            continue
        if node.op_type == "Cast" and any(a.name == "to" and a.i == FLOAT for a in node.attribute):
            casts.append(node)
        elif node.op_type in MOVES and moved.issuperset(graph.data_inputs(node)):
            moved.update(node.output)
        else:
            return None, []
    return (None, []) if moved.intersection(graph.outputs) else (moved, casts)


def _forget_types(model: Any, tensors: set[str]) -> None:
    """Drop recorded types: these tensors are float32 now."""
    kept = [value for value in model.graph.value_info if value.name not in tensors]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)


FREE = "N"
"""Name of the first dimension."""


def free_batch(source: Path, file: Path, feeds: Sequence[Mapping[str, Array]]) -> None:
    """Write `source` with the first dimension of its inputs and outputs free.

    feeds: real inputs of one frame each, two of them: together they must give what each gives alone.
    Raises ExportError where the network holds its batch of one inside.
    """
    model = load(source)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = FREE
    del model.graph.value_info[:]  # it still holds one frame
    with work_folder(file) as folder:
        freed = folder / "free.onnx"
        onnx.save_model(model, str(freed))
        _require_same(source, freed, feeds)
        freed.replace(file)


def _require_same(source: Path, freed: Path, feeds: Sequence[Mapping[str, Array]]) -> None:
    first, second = feeds[0], feeds[-1]
    both = {name: np.concatenate([first[name], second[name]]) for name in first}
    try:
        session = open_session(freed)
        together = session.run(None, both)
        alone = [session.run(None, dict(feed)) for feed in (first, second)]
    except Exception as error:  # ONNX Runtime's exceptions share no base
        raise ExportError(f"{source.name} takes one frame a call, no more: {_reason(error)}") from error
    for output, *parts in zip(together, *alone, strict=True):
        expected = np.concatenate(parts)
        if output.shape != expected.shape or not np.allclose(output, expected, atol=1e-3 * _scale(expected)):
            raise ExportError(
                f"{source.name} takes one frame a call, no more: two at once give other results than each "
                "alone. Leave --batch out, or compute the flow by --flow dis."
            )


def _scale(values: Array) -> float:
    return max(float(np.abs(values).max()), 1.0)


def _reason(error: Exception) -> str:
    return (
        f"{str(error).strip().splitlines()[0][:200]}. Leave --batch out, or compute the flow by --flow dis."
    )
