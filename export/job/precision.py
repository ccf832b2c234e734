"""`--precision auto`: the fastest combination of FP16 and INT8 whose parity gate holds, and why.

The networks of a bundle run one after the other, so the combinations are ranked by the sum of their times.
Without the device that runs them there are no times: then the networks' arithmetic ranks them, and the choice
says that it was made by parity alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

from edgebs.errors import ExportError
from edgebs.machine.console import Log

AUTO = "auto"
FASTER = 1.03
"""INT8 must beat FP16 by that factor: less is noise, and it costs accuracy for nothing."""
UNMEASURED_COST = {"int8": 0.5, "fp16": 1.0, "fp32": 2.0}
"""Of the same arithmetic, to rank what cannot be timed: NVIDIA's peak rates double with each step."""
Combination = Mapping[str, str]
"""Network to precision."""


class Workshop(Protocol):
    """What builds, times and judges combinations."""

    def build(self, network: str, precision: str) -> None:
        """Make the network's engine. Raises ExportError where its builder refuses."""

    def times_ms(self, network: str, precisions: Sequence[str]) -> Mapping[str, float] | None:
        """One call of each, measured in turns; None where the engines cannot run here."""

    def parity(self, combination: Combination) -> Mapping[str, Any]:
        """The parity result of bench.parity.judge for the whole pipeline."""

    def give_back(self, network: str) -> Sequence[str]:
        """Make the network's INT8 again with its worst layers in floating point, and name them.

        None are named where nothing was gained; then the file is as it was.
        """


@dataclass(slots=True)
class _Network:
    """What is known of one network."""

    gflop: float
    choices: list[str]
    """Precisions that are still open."""
    times_ms: dict[str, float] | None = None
    layers: list[str] | None = None
    """Given back to floating point in INT8; None before that was tried."""
    dropped: dict[str, str] = field(default_factory=dict)
    """Precision to why it is out."""

    def rank(self, precision: str) -> float:
        """Milliseconds, or GFLOP weighed where there are none."""
        if self.times_ms is not None:
            return self.times_ms[precision]
        return self.gflop * UNMEASURED_COST[precision]

    def drop(self, precision: str, why: str) -> None:
        """Do not choose it."""
        if precision in self.choices:
            self.choices.remove(precision)
        self.dropped[precision] = why

    def to_json(self, chosen: str) -> dict[str, Any]:
        """For the manifest."""
        return {
            "chosen": chosen,
            "times_ms": self.times_ms,
            "not_chosen": self.dropped,
            "layers_in_floating_point": self.layers or [],
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and why."""

    precisions: Combination
    why: Mapping[str, Any]
    """For the manifest: per network times, what was dropped and why; the combinations tried."""


def choose_precisions(
    gflop: Mapping[str, float], workshop: Workshop, say: Log, *, unquantised: Collection[str] = ()
) -> Choice:
    """The fastest combination of FP16 and INT8 whose parity gate holds; FP32 where not even FP16's does.

    gflop: of each network. say: hears one line a decision. unquantised: networks that INT8 is not for.
    Raises ExportError where no precision of a network can be built.
    """
    networks = {name: _Network(cost, ["int8", "fp16"]) for name, cost in gflop.items()}
    for name in unquantised:
        networks[name].drop("int8", "this network is not quantised: its model says so")
    for name, network in networks.items():
        _build(name, network, workshop, say)
        _time(name, network, workshop, say)
    tried: list[dict[str, Any]] = []
    chosen = _first_that_holds(networks, workshop, tried, say)
    return Choice(chosen, _why(networks, chosen, tried))


def _build(name: str, network: _Network, workshop: Workshop, say: Log) -> None:
    for precision in list(network.choices):
        try:
            workshop.build(name, precision)
        except ExportError as error:
            network.drop(precision, f"it cannot be built: {error}")
            say(f"{name}: no {precision}: {error}")
    if not network.choices:
        raise ExportError(
            f"network '{name}' can be built neither in FP16 nor in INT8: {network.dropped['fp16']}. "
            "Export it with --precision fp32."
        )


def _time(name: str, network: _Network, workshop: Workshop, say: Log) -> None:
    """Time what is open, and drop an INT8 that is not faster."""
    times = workshop.times_ms(name, network.choices)
    if times is None:
        return
    network.times_ms = dict(times)
    if {"int8", "fp16"} <= times.keys() and times["int8"] * FASTER > times["fp16"]:
        why = f"not faster than FP16: {times['int8']:.3g} ms against {times['fp16']:.3g} ms"
        network.drop("int8", why)
        say(f"{name}: INT8 is {why}")


def _first_that_holds(
    networks: Mapping[str, _Network], workshop: Workshop, tried: list[dict[str, Any]], say: Log
) -> Combination:
    while True:
        done = [entry["precisions"] for entry in tried]
        open_ones = [each for each in _ranked(networks) if each not in done]
        if not open_ones:
            return _with_fp32(networks, workshop, tried, say)
        combination = open_ones[0]
        result = _tried(combination, networks, workshop, tried, say)
        if result["passed"]:
            return combination
        worst = _worst_int8(combination, networks, result)
        # The same combination is tried again with the layers given back.
        if worst is not None and _given_back(worst, networks[worst], workshop, say):
            for entry in tried:
                if entry["precisions"][worst] == "int8":
                    entry["precisions"][worst] = "int8, every layer"


def _ranked(networks: Mapping[str, _Network]) -> list[dict[str, str]]:
    """Every combination that is open, cheapest first."""
    combinations = [
        dict(zip(networks, precisions, strict=True))
        for precisions in product(*(network.choices for network in networks.values()))
    ]
    return sorted(combinations, key=lambda each: sum(networks[name].rank(each[name]) for name in each))


def _tried(
    combination: Combination,
    networks: Mapping[str, _Network],
    workshop: Workshop,
    tried: list[dict[str, Any]],
    say: Log,
) -> Mapping[str, Any]:
    result = workshop.parity(combination)
    times = [(networks[name].times_ms or {}).get(precision) for name, precision in combination.items()]
    tried.append(
        {
            "precisions": dict(combination),
            "ms": None if None in times else sum(filter(None, times)),
            **{key: result[key] for key in ("gate", "value", "enforced", "passed")},
        }
    )
    say(f"{_spoken(combination)}: {result['gate']}: {result['value']:.3g}, {_verdict(result)}")
    return result


def _worst_int8(
    combination: Combination, networks: Mapping[str, _Network], result: Mapping[str, Any]
) -> str | None:
    """The INT8 network that is least like its original, unless its layers were given back before."""
    able = [name for name, each in combination.items() if each == "int8" and networks[name].layers is None]
    return min(able, key=lambda name: float(result["networks"][name]["cosine"]), default=None)


def _given_back(name: str, network: _Network, workshop: Workshop, say: Log) -> bool:
    """Whether an INT8 with layers in floating point is there, and still faster than FP16."""
    network.layers = list(workshop.give_back(name))
    if not network.layers:
        say(f"{name}: no layer of INT8 could be given back")
        return False
    say(f"{name}: INT8 with {len(network.layers)} layers in floating point: {', '.join(network.layers)}")
    _time(name, network, workshop, say)
    return "int8" in network.choices


def _with_fp32(
    networks: Mapping[str, _Network], workshop: Workshop, tried: list[dict[str, Any]], say: Log
) -> Combination:
    """All in FP32, for nothing narrower held. Raises ExportError where that cannot be built either."""
    for name, network in networks.items():
        workshop.build(name, "fp32")
        for precision in list(network.choices):
            network.drop(precision, "its parity gate failed")
    combination = dict.fromkeys(networks, "fp32")
    _tried(combination, networks, workshop, tried, say)
    return combination


def _why(
    networks: Mapping[str, _Network], chosen: Combination, tried: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    is_measured = all(network.times_ms is not None for network in networks.values())
    return {
        "asked": AUTO,
        "by": "times measured in turns, and parity"
        if is_measured
        else "parity alone: nothing could be timed, for the device is not here or not all can run",
        "networks": {name: network.to_json(chosen[name]) for name, network in networks.items()},
        "tried": list(tried),
    }


def _spoken(combination: Combination) -> str:
    return ", ".join(f"{name} {precision}" for name, precision in combination.items())


def _verdict(result: Mapping[str, Any]) -> str:
    if not result["enforced"]:
        return "not judged (untrained)"
    return "holds" if result["passed"] else "fails"
