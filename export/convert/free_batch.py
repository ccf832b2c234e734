"""A network that takes any number of frames a call: several cameras in one engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from calib.graph import load
from edgebs.errors import ExportError
from edgebs.files import work_folder
from edgebs.tensors import Array
from export.convert import open_session

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
    del model.graph.value_info[:]  # it still says one frame
    with work_folder(file) as folder:
        freed = folder / "free.onnx"
        onnx.save_model(model, str(freed))
        _check(source, freed, feeds)
        freed.replace(file)


def _check(source: Path, freed: Path, feeds: Sequence[Mapping[str, Array]]) -> None:
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
