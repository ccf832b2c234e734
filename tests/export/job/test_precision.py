"""export/job/precision.py: which combination is chosen, with engines that are only claimed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from edgebs.errors import ExportError
from export.job.precision import choose_precisions

GFLOP = {"segment": 4.0, "cue": 40.0}


class FakeTrials:
    """Combinations in `holding` pass; `times` by network and precision, None where nothing can be timed."""

    def __init__(
        self,
        holding: Sequence[tuple[str, ...]],
        times: Mapping[str, Mapping[str, float]] | None = None,
        *,
        refused: Sequence[tuple[str, str]] = (),
        restorable: Mapping[str, Sequence[str]] | None = None,
        slow_after: float = 0.0,
        cosine: Mapping[str, float] | None = None,
    ) -> None:
        self.holding, self.times, self.refused = list(holding), times, refused
        self.restorable, self.slow_after = restorable or {}, slow_after
        self.cosine = cosine or {}
        self.built: list[tuple[str, str]] = []
        self.judged: list[tuple[str, ...]] = []
        self.restored: list[str] = []

    def engine(self, network: str, precision: str) -> None:
        if (network, precision) in self.refused:
            raise ExportError(f"{network} {precision} is refused by the builder")
        self.built.append((network, precision))

    def times_ms(self, network: str, precisions: Sequence[str]) -> Mapping[str, float] | None:
        if self.times is None:
            return None
        times = {precision: self.times[network][precision] for precision in precisions}
        if network in self.restored and "int8" in times:
            times["int8"] += self.slow_after
        return times

    def try_combination(self, combination: Mapping[str, str]) -> Mapping[str, Any]:
        key = tuple(combination.values())
        self.judged.append(key)
        repaired = tuple(
            f"{precision}*" if name in self.restored and precision == "int8" else precision
            for name, precision in combination.items()
        )
        passed = repaired in self.holding
        return {
            "gate": "mask_iou >= 0.95",
            "value": 0.97 if passed else 0.9,
            "enforced": True,
            "passed": passed,
            "networks": {name: {"cosine": self.cosine.get(name, 0.99)} for name in combination},
        }

    def restore_float_layers(self, network: str) -> Sequence[str]:
        self.restored.append(network)
        return self.restorable.get(network, ())


def choose(trials: FakeTrials, *names: str) -> tuple[dict[str, str], dict[str, Any], list[str]]:
    lines: list[str] = []
    choice = choose_precisions({name: GFLOP[name] for name in names or ("segment",)}, trials, lines.append)
    return dict(choice.precisions), json.loads(json.dumps(choice.why)), lines


def test_int8_that_is_faster_and_holds_is_chosen() -> None:
    trials = FakeTrials([("int8",)], {"segment": {"int8": 2.0, "fp16": 5.0}})
    precisions, why, _ = choose(trials)
    assert precisions == {"segment": "int8"}
    assert trials.built == [("segment", "int8"), ("segment", "fp16")]
    assert why["by"] == "times measured in turns, and parity"
    assert why["networks"]["segment"]["times_ms"] == {"int8": 2.0, "fp16": 5.0}
    assert why["tried"][0]["ms"] == 2.0


@pytest.mark.parametrize("int8_ms", [5.1, 5.0, 4.9])
def test_int8_that_is_not_faster_than_fp16_is_not_chosen(int8_ms: float) -> None:
    trials = FakeTrials([("int8",), ("fp16",)], {"segment": {"int8": int8_ms, "fp16": 5.0}})
    precisions, why, _ = choose(trials)
    assert precisions == {"segment": "fp16"}
    assert trials.judged == [("fp16",)]
    assert why["networks"]["segment"]["not_chosen"]["int8"].startswith("not faster than FP16: ")


def test_the_fastest_combination_that_holds_is_kept() -> None:
    times = {"segment": {"int8": 2.0, "fp16": 5.0}, "cue": {"int8": 10.0, "fp16": 30.0}}
    trials = FakeTrials([("fp16", "int8"), ("int8", "fp16"), ("fp16", "fp16")], times)
    precisions, why, _ = choose(trials, "segment", "cue")
    assert precisions == {"segment": "fp16", "cue": "int8"}  # 15 ms, where the other is 32
    assert trials.judged == [("int8", "int8"), ("fp16", "int8")]
    assert [entry["passed"] for entry in why["tried"]] == [False, True]


def test_layers_are_restored_before_a_slower_combination_is_taken() -> None:
    trials = FakeTrials(
        [("int8*",), ("fp16",)],
        {"segment": {"int8": 2.0, "fp16": 5.0}},
        restorable={"segment": ["/up/Conv"]},
        slow_after=0.5,
    )
    precisions, why, lines = choose(trials)
    assert precisions == {"segment": "int8"}
    assert why["networks"]["segment"]["layers_in_floating_point"] == ["/up/Conv"]
    assert why["networks"]["segment"]["times_ms"]["int8"] == 2.5
    assert [entry["precisions"]["segment"] for entry in why["tried"]] == ["int8, every layer", "int8"]
    assert "segment: INT8 with 1 layers in floating point: /up/Conv" in lines


def test_an_int8_that_its_layers_in_floating_point_slow_down_to_fp16_is_dropped() -> None:
    trials = FakeTrials(
        [("int8*",), ("fp16",)],
        {"segment": {"int8": 2.0, "fp16": 5.0}},
        restorable={"segment": ["/a", "/b", "/c"]},
        slow_after=3.0,
    )
    precisions, why, _ = choose(trials)
    assert precisions == {"segment": "fp16"}
    assert "not faster" in why["networks"]["segment"]["not_chosen"]["int8"]


def test_the_network_that_is_least_like_its_original_gives_layers_back_first() -> None:
    times = {"segment": {"int8": 2.0, "fp16": 5.0}, "cue": {"int8": 10.0, "fp16": 30.0}}
    trials = FakeTrials(
        [("int8", "int8*")], times, restorable={"cue": ["/flow/Conv"]}, cosine={"segment": 0.999, "cue": 0.9}
    )
    precisions, _, _ = choose(trials, "segment", "cue")
    assert precisions == {"segment": "int8", "cue": "int8"}
    assert trials.restored == ["cue"]


def test_without_the_device_parity_alone_decides_and_the_reason_says_so() -> None:
    trials = FakeTrials([("fp16", "int8")])
    precisions, why, _ = choose(trials, "segment", "cue")
    # Most arithmetic in INT8 first: 2 + 20, then cue alone 4 + 20.
    assert trials.judged == [("int8", "int8"), ("fp16", "int8")]
    assert precisions == {"segment": "fp16", "cue": "int8"}
    assert why["by"].startswith("parity alone")
    assert why["networks"]["segment"]["times_ms"] is None
    assert why["tried"][0]["ms"] is None


def test_what_a_builder_refuses_is_not_chosen_and_the_reason_is_kept() -> None:
    trials = FakeTrials([("fp16",)], refused=[("segment", "int8")])
    precisions, why, lines = choose(trials)
    assert precisions == {"segment": "fp16"}
    assert "refused by the builder" in why["networks"]["segment"]["not_chosen"]["int8"]
    assert "segment: no int8: segment int8 is refused by the builder" in lines


def test_a_network_that_its_model_does_not_quantise_stays_out_of_int8() -> None:
    trials = FakeTrials([("int8", "fp16")])
    choice = choose_precisions(GFLOP, trials, str, unquantised=["cue"])
    assert choice.precisions == {"segment": "int8", "cue": "fp16"}
    assert ("cue", "int8") not in trials.built
    assert "not quantised" in choice.why["networks"]["cue"]["not_chosen"]["int8"]


def test_fp32_is_taken_where_not_even_fp16_holds() -> None:
    trials = FakeTrials([("fp32",)], {"segment": {"int8": 2.0, "fp16": 5.0}})
    precisions, why, _ = choose(trials)
    assert precisions == {"segment": "fp32"}
    assert trials.judged == [("int8",), ("fp16",), ("fp32",)]
    assert why["networks"]["segment"]["not_chosen"] == {
        "int8": "its parity gate failed",
        "fp16": "its parity gate failed",
    }


def test_a_network_that_no_builder_takes_is_an_error_with_the_reason() -> None:
    trials = FakeTrials([], refused=[("segment", "int8"), ("segment", "fp16")])
    with pytest.raises(ExportError, match=r"neither in FP16 nor in INT8: .*refused.*--precision fp32"):
        choose(trials)
