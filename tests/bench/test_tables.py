"""Tables for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from bench.tables import choice_table, models_table


def listing(**shipped: Any) -> dict[str, Any]:
    facts = {"parameters": 1_234_567, "gflop": 3.97, "size": [256, 256], "history_frames": 11}
    return {
        "models": {"edge": {**facts, "trained": True, "what": "the shipped model"}},
        "flows": {"dis": {**facts, "trained": None, "what": "no network"}},
        "shipped": shipped,
    }


def printed(listing: dict[str, Any]) -> list[str]:
    console = Console(width=160)
    with console.capture() as output:
        console.print(models_table(listing))
    return output.get().splitlines()


def row(lines: list[str], kind: str) -> list[str]:
    cells = ([cell.strip() for cell in line.strip("│").split("│")] for line in lines)
    return next(found for found in cells if len(found) > 1 and found[1] == kind)


def test_models_are_listed_with_their_cost_their_history_and_whether_they_are_trained() -> None:
    lines = printed(listing())
    assert row(lines, "model") == [
        "edge", "model", "1,234,567", "4.0", "256x256", "11 frames", "yes", "the shipped model",
    ]  # fmt: skip
    assert row(lines, "flow")[6] == "-"
    assert "no trained model ships with this version" in " ".join(lines)


def test_a_shipped_bundle_is_listed_with_what_it_is_and_its_size() -> None:
    bundle = {
        "path": "models/edge", "model": "edge", "target": "cpu", "precision": "int8", "size": [256, 320],
        "parameters": 1_234_567, "gflop": 4.96, "history_frames": 11, "trained": False, "bytes": 2_640_000,
        "measured": None,
    }  # fmt: skip
    lines = printed(listing(edge=bundle))
    assert row(lines, "shipped")[2:] == [
        "1,234,567", "5.0", "320x256", "11 frames", "no", "edge, cpu, int8, 2.6 MB",
    ]  # fmt: skip
    assert "no trained model" not in " ".join(lines)


def test_what_was_measured_of_a_shipped_bundle_stands_beside_it_with_the_machine() -> None:
    measured = {
        "F": 0.8257,
        "sequences": 9,
        "fps": {"avx2": {"fps": 28.6, "cpu": "Zen 3"}, "vnni": {"fps": 127.3, "cpu": "Zen 5"}},
    }
    bundle = {
        "path": "models/edge", "model": "edge", "target": "cpu", "precision": "int8", "size": [256, 320],
        "parameters": 1, "gflop": 4.96, "history_frames": 11, "trained": True, "bytes": 2_640_000,
        "measured": measured,
    }  # fmt: skip
    words = " ".join(" ".join(printed(listing(edge=bundle))).replace("│", " ").split())
    assert "F 0.826, 29 fps (AVX2), 127 fps (VNNI)" in words
    assert "mean of 9 real sequences" in words
    assert "Zen 3 and Zen 5" in words


def test_which_model_to_take_stands_in_a_table_with_its_figures_and_the_cpu() -> None:
    facts = {
        "when": "if it keeps up",
        "F": 0.8257,
        "sequences": 9,
        "fps": {"avx2": {"fps": 28.6, "cpu": "Zen 3"}, "vnni": {"fps": 127.3, "cpu": "Zen 5"}},
    }
    other = {**facts, "when": "unknown", "fps": {}}
    table = choice_table({"take_when": {"edge": facts, "edge-nano": other}})
    assert table is not None
    console = Console(width=160)
    with console.capture() as output:
        console.print(table)
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in output.get().splitlines()]
    assert ["edge", "if it keeps up", "0.826", "29", "127", "Zen 3 and Zen 5"] in lines
    assert ["edge-nano", "unknown", "0.826", "–", "–", "–"] in lines
    assert "mean of 9 real sequences" in output.get()


def test_there_is_no_table_to_choose_from_where_nothing_was_measured() -> None:
    assert choice_table({"take_when": {}}) is None
