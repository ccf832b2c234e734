"""Errors of flow methods on reserved rendered scenes, whose flow is exact, and their cost.

python -m export.release.flow_eval --out bench/results/flow.json
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench import scenes as seeds
from bench.scenes.bank import PictureBank
from bench.scenes.pairs import FlowPair, flow_pairs
from bench.scenes.scene import Scene
from edgebs.backends import Backend, open_backend
from edgebs.bundle import sha256_of, weights_file
from edgebs.cues.cue import PRESETS
from edgebs.cues.hop import dis_flow
from edgebs.errors import EdgebsError, SinkError
from edgebs.facts import machine_facts
from edgebs.files import atomic_file, scratch_folder
from edgebs.machine.console import note, print_line
from edgebs.tensors import Array, Frame, TensorSpec
from edgebs.text import json_text
from export.models import FLOW_NET

GAPS = (1, 5, 10)
CALIBRATION_SEED = 0
CALIBRATION_SCENES = 8
MOVING_PX = 0.5
"""Pixels that move by at least this are `moving` ..."""
SLOW_PX = (0.1, 1.0)
"""... and between these, `slow`."""
PRECISIONS = ("fp32", "fp16", "int8")
Flow = Callable[[Frame, Frame], Array]
"""(h, w, 3) uint8 BGR of the present and of the past -> (2, h, w) float32 px from the one to the other."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to compute flow."""

    name: str
    flow: Flow
    ms_per_frame: Callable[[FlowPair], float] | None = None
    """Times one frame with all its gaps, if that costs less than one pair per gap."""


def held_back_pairs(scenes: int, size: tuple[int, int], seed: int = seeds.FLOW_EVALUATION) -> list[FlowPair]:
    """Pairs at `size` (H, W) from so many scenes, with exact masks and flow."""
    bank = PictureBank.open(images=None)
    pairs = []
    for index in range(scenes):
        scene = Scene(seed=(seed, index), size=size, bank=bank)
        pairs += flow_pairs(scene, np.random.default_rng((seed, index)), GAPS)
    return pairs


def classical_methods() -> list[Method]:
    """OpenCV's methods and zero flow."""
    methods = [Method("nothing moves", lambda frame, _past: np.zeros((2, *frame.shape[:2]), np.float32))]
    methods += [Method(f"DIS {preset}", _dis(preset)) for preset in PRESETS]
    return [*methods, Method("Farneback", _farneback)]


def _dis(preset: str) -> Flow:
    method = dis_flow(preset)
    return lambda frame, past: _planes(method.calc(_grey(frame), _grey(past), None))


def _farneback(frame: Frame, past: Frame) -> Array:
    # The parameters of OpenCV's own sample.
    return _planes(cv2.calcOpticalFlowFarneback(_grey(frame), _grey(past), None, 0.5, 3, 15, 3, 5, 1.2, 0))


def _grey(frame: Frame) -> Frame:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)


def _planes(flow: Any) -> Array:
    return np.asarray(flow.transpose(2, 0, 1), np.float32)


@contextmanager
def network_methods(
    weights: Path, size: tuple[int, int], precisions: Sequence[str], threads: int = 1
) -> Iterator[list[Method]]:
    """Our network in OpenVINO, one method per precision; INT8 is calibrated on scenes of the training.

    weights: safetensors of `edgebs train flow`; size: (H, W). Raises WeightsError for others.
    """
    with scratch_folder() as folder, ExitStack() as stack:
        methods = []
        files = {gaps: _onnx_files(weights, size, gaps, precisions, folder) for gaps in ((1,), GAPS)}
        for precision in precisions:
            engines = [open_backend("openvino", files[gaps][precision], threads=threads) for gaps in files]
            for engine in engines:
                stack.callback(engine.close)
            pair, frame = engines
            methods.append(Method(f"net {precision}", _pair_flow(pair), _frame_timer(frame)))
        yield methods


def _pair_flow(engine: Backend) -> Flow:
    def flow(frame: Frame, past: Frame) -> Array:
        result: Array = engine.infer({"frame": frame[np.newaxis], "past_1": past[np.newaxis]})["flow"][0]
        return np.array(result)

    return flow


def _frame_timer(engine: Backend) -> Callable[[FlowPair], float]:
    def measure(pair: FlowPair) -> float:
        feed = {**dict.fromkeys(engine.inputs, pair.past[np.newaxis]), "frame": pair.frame[np.newaxis]}
        started_s = time.perf_counter()
        engine.infer(feed)
        return (time.perf_counter() - started_s) * 1e3

    return measure


def _onnx_files(
    weights: Path, size: tuple[int, int], gaps: Sequence[int], precisions: Sequence[str], folder: Path
) -> dict[str, Path]:
    """The network as ONNX files by precision: the flow of one pair, or what a frame's gaps cost together."""
    from calib.int8 import int8_from_fp32
    from export.convert import onnx_from_module
    from export.convert.fp16 import fp16_from_fp32
    from export.models.build import module_for_weights
    from export.models.weights import form_of_weights, load_weights
    from export.networks.graphs import deployed

    form = {**form_of_weights(weights, "flow-net"), "network": "flow-net"}
    graph = module_for_weights({**form, "intervals": list(gaps), "output": "flow"}, weights)
    load_weights(graph.network, weights)
    inputs = dict.fromkeys(["frame", *(f"past_{gap}" for gap in gaps)], TensorSpec((1, *size, 3), "uint8"))
    pairs = held_back_pairs(CALIBRATION_SCENES, size, CALIBRATION_SEED)
    feeds = _feeds(pairs, gaps)
    files = {precision: folder / f"{len(gaps)}-{precision}.onnx" for precision in PRECISIONS}
    onnx_from_module(deployed(graph, size), inputs, ["flow"], feeds[:2], files["fp32"])
    if "fp16" in precisions:
        fp16_from_fp32(files["fp32"], files["fp16"], feeds[:2])
    if "int8" in precisions:
        int8_from_fp32(files["fp32"], files["int8"], feeds, signed=False)
    return files


def _feeds(pairs: Sequence[FlowPair], gaps: Sequence[int]) -> list[Mapping[str, Array]]:
    """A pair a feed, or as many pairs as there are gaps: those of one frame follow each other."""
    count = len(gaps)
    return [
        {
            "frame": pairs[start].frame[np.newaxis],
            **{f"past_{gap}": pairs[start + n].past[np.newaxis] for n, gap in enumerate(gaps)},
        }
        for start in range(0, len(pairs) - count + 1, count)
    ]


def measured(method: Method, pairs: Sequence[FlowPair]) -> dict[str, Any]:
    """Errors in pixels by gap and over all; milliseconds as medians over the pairs, after a warm-up."""
    errors: dict[str, dict[str, list[float]]] = {}
    taken, frames = [], []
    method.flow(pairs[0].frame, pairs[0].past)
    for pair in pairs:
        started_s = time.perf_counter()
        flow = method.flow(pair.frame, pair.past)
        taken.append((time.perf_counter() - started_s) * 1e3)
        if method.ms_per_frame is not None:
            frames.append(method.ms_per_frame(pair))
        for kind, (total, count) in _errors(pair, flow).items():
            for gap in (str(pair.gap), "all"):
                sums = errors.setdefault(gap, {}).setdefault(kind, [0.0, 0.0])
                sums[0] += total
                sums[1] += count
    pair_ms = statistics.median(taken)
    return {
        "epe": {
            gap: {kind: total / max(count, 1) for kind, (total, count) in kinds.items()}
            for gap, kinds in errors.items()
        },
        "ms_per_pair": pair_ms,
        "ms_per_frame": statistics.median(frames) if frames else len(GAPS) * pair_ms,
    }


def _errors(pair: FlowPair, flow: Array) -> dict[str, tuple[float, float]]:
    """(sum of end-point errors, pixels) of the visible pixels, by kind."""
    error = np.hypot(*(flow - pair.flow))
    speed = np.hypot(*pair.flow)
    kinds = {
        "visible": pair.visible,
        "moving": pair.visible & (speed >= MOVING_PX),
        "slow": pair.visible & (speed >= SLOW_PX[0]) & (speed < SLOW_PX[1]),
    }
    return {kind: (float(error[mask].sum()), float(mask.sum())) for kind, mask in kinds.items()}


def evaluate(
    weights: Path | None, size: tuple[int, int], scenes: int, precisions: Sequence[str] = PRECISIONS
) -> dict[str, Any]:
    """Every method on the same pairs, one thread each. weights None: OpenCV's methods alone."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        note(f"rendering {scenes} scenes of {size[1]}x{size[0]}")
        pairs = held_back_pairs(scenes, size)
        with ExitStack() as stack:
            methods = classical_methods()
            if weights is not None:
                methods += stack.enter_context(network_methods(weights, size, precisions))
            results = {}
            for method in methods:
                results[method.name] = measured(method, pairs)
                note(f"{method.name}: {results[method.name]['epe']['all']}")
    finally:
        cv2.setNumThreads(before)
    return {
        "what": "end-point error in px on held-back rendered scenes where the point is visible; one thread",
        "size": f"{size[1]}x{size[0]}",
        "scenes": scenes,
        "pairs": len(pairs),
        "seed": seeds.FLOW_EVALUATION,
        "moving_px": MOVING_PX,
        "slow_px": SLOW_PX,
        "weights": None if weights is None else _facts_of(weights),
        "methods": results,
        "machine": machine_facts(),
    }


def _facts_of(weights: Path) -> dict[str, Any]:
    from export.models.weights import weights_description

    return {"file": weights.name, "sha256": sha256_of(weights), **weights_description(weights)}


def table(result: Mapping[str, Any]) -> str:
    """The result as a Markdown table."""
    gaps = [*map(str, GAPS), "all"]
    heads = ["method", *(f"gap {gap}" for gap in gaps), "moving", "slow", "ms/pair", "ms/frame"]
    rows = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, facts in result["methods"].items():
        epe = facts["epe"]
        cells = [epe[gap]["visible"] for gap in gaps] + [epe["all"][kind] for kind in ("moving", "slow")]
        costs = [facts["ms_per_pair"], facts["ms_per_frame"]]
        written = [f"{value:.3f}" for value in cells] + [f"{value:.1f}" for value in costs]
        rows.append(f"| {name} | " + " | ".join(written) + " |")
    return "\n".join(rows)


def write_result(result: Mapping[str, Any], file: Path) -> None:
    """Write JSON. Raises SinkError if that fails."""
    with atomic_file(file, SinkError) as temporary:
        temporary.write_text(json_text(result, indent=1), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the record, print the table."""
    parser = argparse.ArgumentParser(prog="python -m export.release.flow_eval", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the result")
    parser.add_argument(
        "--weights", type=Path, help="safetensors of `edgebs train flow`; default the shipped"
    )
    parser.add_argument("--scenes", type=int, default=60, help="held-back scenes, six pairs each")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--precision", default="fp32,fp16,int8", help="of the network; comma-separated")
    options = parser.parse_args(arguments)
    try:
        weights = options.weights or weights_file(FLOW_NET)
        result = evaluate(weights, tuple(options.size), options.scenes, options.precision.split(","))
        write_result(result, options.out)
    except EdgebsError as error:
        note(f"{type(error).__name__}: {error}")
        return 1
    print_line(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
