"""CrossNet and SelFlow as TensorRT plans for the 2080 Ti, in every precision, built without a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgebs.tensors import Array, TensorSpec
from engines.build import build_engine

pytest.importorskip("tensorrt_rtx")
pytest.importorskip("torch")
pytest.importorskip("nncf")

from calib.int8 import int8_from_fp32
from export.convert import onnx_from_module
from export.convert.fp16 import fp16_from_fp32
from export.convert.lint import require_clean
from export.models.weights import init_weights
from export.networks.crossnet import CrossNet
from export.networks.graphs import HopGraph, SegmentGraph, deployed
from export.networks.selflow import SelFlow

PRECISIONS = ("fp32", "fp16", "int8")

# torch.onnx.export calls functions of its own that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning")


def feed(inputs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    return {
        name: rng.integers(0, 256, spec.shape, np.uint8)
        if spec.dtype == "uint8"
        else rng.uniform(0, 20, spec.shape).astype(spec.dtype)
        for name, spec in inputs.items()
    }


def in_precision(fp32: Path, precision: str, inputs: Mapping[str, TensorSpec]) -> Path:
    if precision == "fp32":
        return fp32
    file = fp32.with_name(f"{precision}-{fp32.name}")
    if file.exists():
        return file
    if precision == "fp16":
        fp16_from_fp32(fp32, file, [feed(inputs)])
    else:
        int8_from_fp32(fp32, file, [feed(inputs)], signed=True)
    return file


@dataclass(frozen=True)
class Exported:
    """One network as FP32 ONNX."""

    file: Path
    inputs: dict[str, TensorSpec]

    def require_plan(self, precision: str, target: str) -> None:
        """Build the plan as the exporter would."""
        file = in_precision(self.file, precision, self.inputs)
        require_clean(file, for_tensorrt=True)
        facts = build_engine(file, target, file.with_suffix(f".{target}.plan"))
        assert facts.layers > 50
        assert facts.nbytes > 10_000


def crossnet(folder: Path, width: int, norm: str) -> Exported:
    network = CrossNet(width=width, norm=norm)
    init_weights(network, seed=0)
    inputs = {"frame": TensorSpec((1, 256, 256, 3), "uint8"), "cue": TensorSpec((1, 3, 256, 256), "float32")}
    graph = deployed(SegmentGraph(network, 20.0), for_tensorrt=True)
    file = folder / f"crossnet-{width}-{norm}.onnx"
    onnx_from_module(graph, inputs, ["probability"], [feed(inputs)], file)
    return Exported(file, inputs)


def selflow(folder: Path, size: int, warp: str) -> Exported:
    network = SelFlow(warp=warp)
    init_weights(network, seed=0)
    graph = HopGraph(network, (1, 5, 10))
    inputs = dict.fromkeys(graph.input_names, TensorSpec((1, size, size, 3), "uint8"))
    file = folder / f"selflow-{size}-{warp}.onnx"
    onnx_from_module(deployed(graph, for_tensorrt=True), inputs, ["cue"], [feed(inputs)], file)
    return Exported(file, inputs)


@pytest.fixture(scope="module")
def small_crossnet(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return crossnet(tmp_path_factory.mktemp("crossnet"), 8, "batch")


@pytest.fixture(scope="module")
def small_selflow(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return selflow(tmp_path_factory.mktemp("selflow"), 64, "grid_sample")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_crossnet_builds_for_turing(precision: str, small_crossnet: Exported) -> None:
    small_crossnet.require_plan(precision, "sm75")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_selflow_builds_for_turing(precision: str, small_selflow: Exported) -> None:
    small_selflow.require_plan(precision, "sm75")


def test_layer_norm_builds_in_float16(tmp_path: Path) -> None:
    crossnet(tmp_path, 4, "layer").require_plan("fp16", "sm75")


@pytest.mark.slow
@pytest.mark.parametrize("network", ["crossnet", "crossnet-layer", "selflow", "selflow-published"])
def test_full_width_builds_for_every_gpu_in_every_precision(network: str, tmp_path: Path) -> None:
    exported = {
        "crossnet": lambda: crossnet(tmp_path, 64, "batch"),
        "crossnet-layer": lambda: crossnet(tmp_path, 64, "layer"),
        "selflow": lambda: selflow(tmp_path, 256, "grid_sample"),
        "selflow-published": lambda: selflow(tmp_path, 256, "published"),
    }[network]()
    for precision in PRECISIONS:
        for target in ("sm75", "sm86", "sm89", "sm120"):
            exported.require_plan(precision, target)
