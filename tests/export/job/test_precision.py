"""export/job/precision.py: which combination is chosen, with a workshop that only pretends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from edgebs.errors import ExportError
from export.job.precision import choose_precisions

GFLOP = {"segment": 4.0, "cue": 40.0}


class Pretended:
    """Combinations in `holding` pass; `times` by network and precision, None where nothing can be timed."""

    def __init__(
        self,
        holding: Sequence[tuple[str, ...]],
        times: Mapping[str, Mapping[str, float]] | None = None,
        *,
        refused: Sequence[tuple[str, str]] = (),
        gives_back: Mapping[str, Sequence[str]] | None = None,
        slow_after: float = 0.0,
        cosine: Mapping[str, float] | None = None,
    ) -> None:
        self.holding, self.times, self.refused = list(holding), times, refused
        self.gives_back, self.slow_after = gives_back or {}, slow_after
        self.cosine = cosine or {}
        self.built: list[tuple[str, str]] = []
        self.judged: list[tuple[str, ...]] = []
        self.given_back: list[str] = []

    def build(self, network: str, precision: str) -> None:
        if (network, precision) in self.refused:
            raise ExportError(f"{network} {precision} is refused by the builder")
        self.built.append((network, precision))

    def times_ms(self, network: str, precisions: Sequence[str]) -> Mapping[str, float] | None:
        if self.times is None:
            return None
        times = {precision: self.times[network][precision] for precision in precisions}
        if network in self.given_back and "int8" in times:
            times["int8"] += self.slow_after
        return times

    def parity(self, combination: Mapping[str, str]) -> Mapping[str, Any]:
        key = tuple(combination.values())
        self.judged.append(key)
        repaired = tuple(
            f"{precision}*" if name in self.given_back and precision == "int8" else precision
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

    def give_back(self, network: str) -> Sequence[str]:
        self.given_back.append(network)
        return self.gives_back.get(network, ())


def choose(workshop: Pretended, *names: str) -> tuple[dict[str, str], dict[str, Any], list[str]]:
    said: list[str] = []
    choice = choose_precisions({name: GFLOP[name] for name in names or ("segment",)}, workshop, said.append)
    return dict(choice.precisions), json.loads(json.dumps(choice.why)), said


def test_int8_that_is_faster_and_holds_is_chosen() -> None:
    workshop = Pretended([("int8",)], {"segment": {"int8": 2.0, "fp16": 5.0}})
    precisions, why, _ = choose(workshop)
    assert precisions == {"segment": "int8"}
    assert workshop.built == [("segment", "int8"), ("segment", "fp16")]
    assert why["by"] == "times measured in turns, and parity"
    assert why["networks"]["segment"]["times_ms"] == {"int8": 2.0, "fp16": 5.0}
    assert why["tried"][0]["ms"] == 2.0


@pytest.mark.parametrize("int8_ms", [5.1, 5.0, 4.9])
def test_int8_that_is_not_faster_than_fp16_is_not_chosen(int8_ms: float) -> None:
    workshop = Pretended([("int8",), ("fp16",)], {"segment": {"int8": int8_ms, "fp16": 5.0}})
    precisions, why, _ = choose(workshop)
    assert precisions == {"segment": "fp16"}
    assert workshop.judged == [("fp16",)]
    assert why["networks"]["segment"]["not_chosen"]["int8"].startswith("not faster than FP16: ")


def test_the_fastest_combination_that_holds_is_kept() -> None:
    times = {"segment": {"int8": 2.0, "fp16": 5.0}, "cue": {"int8": 10.0, "fp16": 30.0}}
    workshop = Pretended([("fp16", "int8"), ("int8", "fp16"), ("fp16", "fp16")], times)
    precisions, why, _ = choose(workshop, "segment", "cue")
    assert precisions == {"segment": "fp16", "cue": "int8"}  # 15 ms, where the other is 32
    assert workshop.judged == [("int8", "int8"), ("fp16", "int8")]
    assert [entry["passed"] for entry in why["tried"]] == [False, True]


def test_layers_are_given_back_before_a_slower_combination_is_taken() -> None:
    workshop = Pretended(
        [("int8*",), ("fp16",)],
        {"segment": {"int8": 2.0, "fp16": 5.0}},
        gives_back={"segment": ["/up/Conv"]},
        slow_after=0.5,
    )
    precisions, why, said = choose(workshop)
    assert precisions == {"segment": "int8"}
    assert why["networks"]["segment"]["layers_in_floating_point"] == ["/up/Conv"]
    assert why["networks"]["segment"]["times_ms"]["int8"] == 2.5
    assert [entry["precisions"]["segment"] for entry in why["tried"]] == ["int8, every layer", "int8"]
    assert "segment: INT8 with 1 layers in floating point: /up/Conv" in said


def test_an_int8_that_its_layers_in_floating_point_slow_down_to_fp16_is_dropped() -> None:
    workshop = Pretended(
        [("int8*",), ("fp16",)],
        {"segment": {"int8": 2.0, "fp16": 5.0}},
        gives_back={"segment": ["/a", "/b", "/c"]},
        slow_after=3.0,
    )
    precisions, why, _ = choose(workshop)
    assert precisions == {"segment": "fp16"}
    assert "not faster" in why["networks"]["segment"]["not_chosen"]["int8"]


def test_the_network_that_is_least_like_its_original_gives_layers_back_first() -> None:
    times = {"segment": {"int8": 2.0, "fp16": 5.0}, "cue": {"int8": 10.0, "fp16": 30.0}}
    workshop = Pretended(
        [("int8", "int8*")], times, gives_back={"cue": ["/flow/Conv"]}, cosine={"segment": 0.999, "cue": 0.9}
    )
    precisions, _, _ = choose(workshop, "segment", "cue")
    assert precisions == {"segment": "int8", "cue": "int8"}
    assert workshop.given_back == ["cue"]


def test_without_the_device_parity_alone_decides_and_the_reason_says_so() -> None:
    workshop = Pretended([("fp16", "int8")])
    precisions, why, _ = choose(workshop, "segment", "cue")
    # Most arithmetic in INT8 first: 2 + 20, then cue alone 4 + 20.
    assert workshop.judged == [("int8", "int8"), ("fp16", "int8")]
    assert precisions == {"segment": "fp16", "cue": "int8"}
    assert why["by"].startswith("parity alone")
    assert why["networks"]["segment"]["times_ms"] is None
    assert why["tried"][0]["ms"] is None


def test_what_a_builder_refuses_is_not_chosen_and_the_reason_is_kept() -> None:
    workshop = Pretended([("fp16",)], refused=[("segment", "int8")])
    precisions, why, said = choose(workshop)
    assert precisions == {"segment": "fp16"}
    assert "refused by the builder" in why["networks"]["segment"]["not_chosen"]["int8"]
    assert "segment: no int8: segment int8 is refused by the builder" in said


def test_a_network_that_its_model_does_not_quantise_stays_out_of_int8() -> None:
    workshop = Pretended([("int8", "fp16")])
    choice = choose_precisions(GFLOP, workshop, str, unquantised=["cue"])
    assert choice.precisions == {"segment": "int8", "cue": "fp16"}
    assert ("cue", "int8") not in workshop.built
    assert "not quantised" in choice.why["networks"]["cue"]["not_chosen"]["int8"]


def test_fp32_is_taken_where_not_even_fp16_holds() -> None:
    workshop = Pretended([("fp32",)], {"segment": {"int8": 2.0, "fp16": 5.0}})
    precisions, why, _ = choose(workshop)
    assert precisions == {"segment": "fp32"}
    assert workshop.judged == [("int8",), ("fp16",), ("fp32",)]
    assert why["networks"]["segment"]["not_chosen"] == {
        "int8": "its parity gate failed",
        "fp16": "its parity gate failed",
    }


def test_a_network_that_no_builder_takes_is_an_error_with_the_reason() -> None:
    workshop = Pretended([], refused=[("segment", "int8"), ("segment", "fp16")])
    with pytest.raises(ExportError, match=r"neither in FP16 nor in INT8: .*refused.*--precision fp32"):
        choose(workshop)
