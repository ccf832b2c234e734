"""INT8 with its worst layers left in floating point, until a score of the whole network holds.

NNCF ranks the layers by what the score gains when one alone goes back, and gives them back in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from calib.graph import load, view
from calib.int8.float32_nodes import CONVOLUTIONS
from edgebs.backends.onnxruntime import inference_session, session_options
from edgebs.errors import ExportError
from edgebs.tensors import Array

Feed = Mapping[str, Array]
MOST_LAYERS = 16
"""That go back before it is given up: a network with more of them in floating point gains little by INT8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyControl:
    """What a quantised network is judged by."""

    feeds: Sequence[Feed]
    """Real inputs, other than those that calibrate where there are enough."""
    score: Callable[[Sequence[int], Sequence[Array]], float]
    """How good the outputs for the feeds of these indices are: 1 is best; F or mask IoU."""
    max_drop: float
    """Of the score, that is allowed."""
    most_layers: int = MOST_LAYERS


class Validator:
    """Scores ONNX models for NNCF, which passes them as values whose weights may lie in a folder."""

    def __init__(self, control: AccuracyControl, folder: Path) -> None:
        """folder: where the weights of models without them are."""
        self._control, self._folder = control, folder
        self.failure: Exception | None = None
        """The first: NNCF takes an exception for an answer."""

    def __call__(self, model: Any, items: Iterable[int]) -> tuple[float, list[float]]:
        """The score over the feeds of these indices, and of each alone."""
        try:
            return self._scored(model, list(items))
        except Exception as error:
            self.failure = self.failure or error
            raise

    def _scored(self, model: Any, indices: list[int]) -> tuple[float, list[float]]:
        run = self._session(model)
        outputs = [run(self._control.feeds[index]) for index in indices]
        alone = [
            self._control.score([index], [output]) for index, output in zip(indices, outputs, strict=True)
        ]
        return self._control.score(indices, outputs), alone

    def _session(self, model: Any) -> Callable[[Feed], Array]:
        import onnxruntime

        file = self._folder / "scored.onnx"
        onnx.save_model(model, str(file))
        options = session_options(onnxruntime)
        session = inference_session(onnxruntime, str(file), options)

        def run(feed: Feed) -> Array:
            result: Array = session.run(None, dict(feed))[0]
            return result

        return run


def quantised_with_control(
    nncf: Any, model: Any, dataset: Any, control: AccuracyControl, folder: Path, settings: Mapping[str, Any]
) -> Any:
    """NNCF's quantised model that keeps the score, as far as `control.most_layers` allow.

    dataset, settings: as of nncf.quantize. Raises ExportError where a score cannot be computed.
    """
    validator = Validator(control, folder)
    try:
        return nncf.quantize_with_accuracy_control(
            model,
            dataset,
            nncf.Dataset(list(range(len(control.feeds)))),
            validator,
            max_drop=control.max_drop,
            advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
                max_num_iterations=control.most_layers,
                ranking_subset_size=len(control.feeds),
                num_ranking_workers=1,  # each has the machine's threads already
            ),
            **settings,
        )
    except Exception as error:
        if validator.failure is None:
            raise
        raise ExportError(f"a quantised network cannot be scored: {validator.failure}") from error


def layers_in_floating_point(file: Path) -> list[str]:
    """Names of a quantised file's convolutions whose weights are not integers."""
    graph = view(load(file))
    return [
        node.name
        for node in graph.nodes
        if node.op_type in CONVOLUTIONS
        and not any(_is_dequantised(graph.producers.get(name)) for name in node.input[1:2])
    ]


def _is_dequantised(node: Any | None) -> bool:
    return node is not None and node.op_type == "DequantizeLinear"
