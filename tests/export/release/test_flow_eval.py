"""Flow methods against flow that is known: what counts as an error, and what the record says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.scenes.pairs import FlowPair
from export.release.flow_eval import Method, classical_methods, held_back_pairs, main, measured, table

SIZE = (48, 64)


def pair(gap: int = 1) -> FlowPair:
    """Upper half stands; of the lower half the left moves by (3, 4) and the right, hidden, by (0, 2)."""
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    flow = np.zeros((2, *SIZE), np.float32)
    flow[:, 24:, :32] = np.array([3, 4])[:, None, None]
    flow[1, 24:, 32:] = 2
    visible = np.ones(SIZE, bool)
    visible[24:, 32:] = False
    return FlowPair(noise, noise, flow, visible, gap)


def test_errors_are_means_over_visible_pixels_by_gap() -> None:
    nothing = classical_methods()[0]
    result = measured(nothing, [pair(1), pair(5)])
    assert result["epe"]["1"] == result["epe"]["all"]
    # Of three visible quarters one moves, by 5 px; none is slow.
    assert result["epe"]["all"] == {"visible": pytest.approx(5 / 3), "moving": 5.0, "slow": 0.0}


def test_a_frame_costs_as_much_as_its_pairs_unless_the_method_says_otherwise() -> None:
    slow = Method("slow", classical_methods()[0].flow)
    result = measured(slow, [pair()])
    assert result["ms_per_frame"] == pytest.approx(3 * result["ms_per_pair"])
    shared = Method("shared", slow.flow, lambda _pair: 7.0)
    assert measured(shared, [pair()])["ms_per_frame"] == 7.0


def test_dis_follows_scenes_better_than_saying_that_nothing_moves() -> None:
    pairs = held_back_pairs(6, (64, 64))
    assert [p.gap for p in pairs[:6]] == [1, 5, 10] * 2
    moving = {m.name: measured(m, pairs)["epe"]["all"]["moving"] for m in classical_methods()}
    assert moving["DIS medium"] < 0.7 * moving["nothing moves"]


def test_the_network_is_measured_beside_them_in_one_record(tmp_path, capsys) -> None:
    pytest.importorskip("torch")
    from export.models.build import description_of
    from export.models.weights import init_weights, save_weights
    from export.networks.flownet import FlowGraph, FlowNet

    graph = FlowGraph(FlowNet((4, 4, 8, 8)), (1,), output="flow")
    init_weights(graph.network, 0)
    weights, out = tmp_path / "flow.safetensors", tmp_path / "flow.json"
    save_weights(graph.network, weights, description_of(graph))
    options = ["--weights", str(weights), "--scenes", "1", "--size", "64", "64", "--precision", "fp32"]
    assert main(["--out", str(out), *options]) == 0
    record = json.loads(out.read_text())
    assert record["pairs"] == 6
    assert record["weights"]["widths"] == [4, 4, 8, 8]
    assert {"net fp32", "DIS fine", "Farneback"} <= set(record["methods"])
    output = capsys.readouterr().out
    assert output.strip() == table(record)
    assert "| net fp32 |" in output


def test_missing_weights_are_one_line(tmp_path, capsys) -> None:
    pytest.importorskip("torch")
    missing = str(tmp_path / "none.safetensors")
    out = tmp_path / "flow.json"
    assert main(["--out", str(out), "--weights", missing, "--scenes", "1", "--size", "64", "64"]) == 1
    assert "none.safetensors" in capsys.readouterr().err.splitlines()[-1]
    assert not out.exists()
