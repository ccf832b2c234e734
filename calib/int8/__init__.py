"""FP32 ONNX to INT8 ONNX: scales from a calibration set, rewrites for each runtime.

NNCF places the nodes: symmetric, one weight scale for each output channel, no change of biases. How files
for CPUs avoid sums that saturate: docs/decisions/0010-int8-on-every-cpu.md.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from calib.graph import require_valid, view, with_weights_outside
from calib.int8.accuracy import AccuracyControl, quantised_with_control
from calib.int8.float32_nodes import first_convolutions, float32_nodes
from calib.int8.rewrites import concatenate_integers, make_signed
from edgebs.bundle.manifest import EXACT_WEIGHT_BITS
from edgebs.errors import CalibrationError, ExportError
from edgebs.files import work_folder
from edgebs.machine.console import Progress
from edgebs.tensors import Array

logger = logging.getLogger(__name__)

GLUE = frozenset({"Add", "Div", "Mul", "Neg", "ReduceMean", "ReduceSum", "Sigmoid", "Sub"})
"""Operators that NNCF would quantise too and that gain nothing by it: no runtime has faster integer ones, and
each pair in front of them rounds once more."""

OUTLIERS = 1e-4
"""Share of a sample's values that its range may leave out. A tensor gets the widest range of all samples: an
average clips what one camera in ten shows, and that costs more than coarser steps (decision 10)."""


def int8_from_fp32(
    fp32: Path,
    file: Path,
    feeds: Sequence[Mapping[str, Array]],
    *,
    signed: bool,
    control: AccuracyControl | None = None,
    progress: Progress | None = None,
) -> None:
    """Write `fp32` with its convolutions, and what feeds them, in INT8.

    feeds: real inputs of the network; their ranges become the scales.
    signed: int8 throughout, as TensorRT defines it. False writes for CPUs: uint8 where values cannot be
    negative, one bit finer; weights of 7 bits, so that no sum saturates on x86 without VNNI; the first
    convolutions, whose inputs are signed, in floating point.
    The nodes of calib/int8/float32_nodes.py keep their precision.
    control: give layers back to floating point until its score holds, or its limit is reached.
    Raises CalibrationError without feeds, ExportError where NNCF or ONNX refuses.
    """
    if not feeds:
        raise CalibrationError(
            "INT8 needs frames of your own scene to measure ranges on, and got none. "
            "Make a calibration set with: edgebs calibrate VIDEO --out DIR"
        )
    with work_folder(file) as folder:
        model = with_weights_outside(fp32, folder)
        model = _quantised(model, folder, _Counted(feeds, progress), signed, control)
        if signed:
            make_signed(model)
        else:
            concatenate_integers(model)
        finished = folder / "int8.onnx"
        onnx.save_model(model, str(finished))
        del model
        require_valid(finished, "ONNX refuses the quantised network")
        finished.replace(file)
    if progress is not None:
        progress(len(feeds), len(feeds))
    logger.info("wrote %s (%.1f MB, %d samples)", file, file.stat().st_size / 1e6, len(feeds))


class _Counted:
    """The feeds, counted as they are read."""

    def __init__(self, feeds: Sequence[Mapping[str, Array]], progress: Progress | None) -> None:
        self.feeds, self.progress = feeds, progress

    def __iter__(self) -> Iterator[dict[str, Array]]:
        for index, feed in enumerate(self.feeds):
            if self.progress is not None:
                self.progress(index, len(self.feeds))
            yield dict(feed)

    def __len__(self) -> int:
        return len(self.feeds)


def _quantised(
    model: Any,
    folder: Path,
    feeds: _Counted,
    signed: bool,
    control: AccuracyControl | None,
) -> Any:
    nncf = _nncf()
    graph = view(model)
    kept = float32_nodes(graph) | {node.name for node in graph.nodes if node.op_type in GLUE}
    if not signed:
        kept |= first_convolutions(graph)
    settings = {
        "preset": nncf.QuantizationPreset.PERFORMANCE,
        "subset_size": len(feeds),
        "ignored_scope": nncf.IgnoredScope(names=sorted(kept), validate=False),
    }
    parameters, dataset = _parameters(nncf, folder, signed), nncf.Dataset(feeds)
    try:
        with _quiet():
            if control is None:
                return nncf.quantize(model, dataset, advanced_parameters=parameters, **settings)
            settings["advanced_quantization_parameters"] = parameters
            return quantised_with_control(nncf, model, dataset, control, folder, settings)
    except (nncf.ValidationError, nncf.InternalError, RuntimeError) as error:
        raise ExportError(f"NNCF cannot quantise the network: {error}") from error


def weight_bits(*, signed: bool) -> int:
    """Bits of the weights that `int8_from_fp32` writes."""
    return 8 if signed else EXACT_WEIGHT_BITS


def _parameters(nncf: Any, folder: Path, signed: bool) -> Any:
    """What differs from NNCF's defaults, each by measurement (decision 10)."""
    from nncf.onnx.quantization.backend_parameters import BackendParameters
    from nncf.quantization.advanced_parameters import QuantizationParameters

    return nncf.AdvancedQuantizationParameters(
        # EXACT_WEIGHT_BITS.
        overflow_fix=nncf.OverflowFix.DISABLE if signed else nncf.OverflowFix.ENABLE,
        # Else one scale a channel before depthwise convolutions: TensorRT takes none such of activations,
        # and no concatenation could be written in integers.
        activations_quantization_params=QuantizationParameters(per_channel=False),
        activations_range_estimator_params=_widest_range(),
        # It shifts by the mean error of few samples; with ranges that clip nothing it only adds noise.
        disable_bias_correction=True,
        backend_params={BackendParameters.EXTERNAL_DATA_DIR: str(folder)},  # the weights of model.onnx
    )


def _widest_range() -> Any:
    """The range of each activation: of every sample without its outliers, the widest."""
    from nncf.quantization import range_estimator as nncf_range

    def widest(aggregator: Any) -> Any:
        return nncf_range.StatisticsCollectorParameters(
            statistics_type=nncf_range.StatisticsType.QUANTILE,
            aggregator_type=aggregator,
            quantile_outlier_prob=OUTLIERS,
        )

    kinds = nncf_range.AggregatorType
    return nncf_range.RangeEstimatorParameters(min=widest(kinds.MIN), max=widest(kinds.MAX))


def _nncf() -> Any:
    """NNCF, imported with its usage reports off: the network of an appliance's builder is not ours to use."""
    os.environ.setdefault("NNCF_CI", "1")
    import nncf

    return nncf


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """NNCF without its progress bars, which it prints on stdout, and without its log below errors."""
    # Not nncf.set_log_level: it also changes the handlers, which may belong to someone else.
    log = logging.getLogger("nncf")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        log.setLevel(level)
