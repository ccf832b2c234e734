"""`--precision auto`: the fastest combination of FP16 and INT8 whose parity gate holds, and why.

The networks of a bundle run one after the other, so combinations are ranked by the sum of their times. If the
device that runs them is not here, the arithmetic of the networks ranks them, and the manifest notes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Protocol

from bench.tables import verdict
from edgebs.errors import ExportError
from edgebs.machine.console import Log

AUTO = "auto"
FASTER = 1.03
"""INT8 must beat FP16 by this factor: less is noise, and INT8 costs accuracy."""
UNMEASURED_COST = {"int8": 0.5, "fp16": 1.0, "fp32": 2.0}
"""Per unit of arithmetic, to rank what cannot be timed: NVIDIA's peak rates double with each step."""
Combination = Mapping[str, str]
"""Network to precision."""


class Trials(Protocol):
    """Builds, times and judges combinations: export.job.Job."""

    def engine(self, name: str, precision: str, /) -> object:
        """Build the engine of a network. Raises ExportError if its builder refuses the network."""

    def times_ms(self, name: str, precisions: Sequence[str], /) -> Mapping[str, float] | None:
        """Milliseconds of one call of each engine, measured in turns; None if they cannot run here."""

    def try_combination(self, combination: Combination, /) -> Mapping[str, Any]:
        """The result of bench.parity.judge for the whole pipeline."""

    def restore_float_layers(self, name: str, /) -> Sequence[str]:
        """Make the network's INT8 again with its worst layers in floating point, and return their names.

        Returns none if that gains nothing; the file is then unchanged.
        """


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and why."""

    precisions: Combination
    why: Mapping[str, Any]
    """For the manifest: per network its times and why precisions were dropped; the combinations tried."""
    parity: Mapping[str, Any]
    """Result of `Trials.try_combination` for `precisions`."""


def choose_precisions(
    gflop: Mapping[str, float], trials: Trials, log: Log, *, unquantised: Collection[str] = ()
) -> Choice:
    """The fastest combination of FP16 and INT8 whose parity gate holds; FP32 if that of FP16 fails too.

    gflop: of each network. log: receives one line per decision. unquantised: networks without INT8.
    Raises ExportError if no precision of a network can be built.
    """
    networks = {name: _Network(cost, ["int8", "fp16"]) for name, cost in gflop.items()}
    for name in unquantised:
        networks[name].drop("int8", "this network is not quantised: its model says so")
    search = _Search(networks, trials, log)
    for name in networks:
        search.build(name)
        search.time(name)
    chosen, parity = search.first_that_holds()
    return Choice(chosen, search.why(chosen), parity)


@dataclass(slots=True)
class _Network:
    """What is known of one network."""

    gflop: float
    choices: list[str]
    """Precisions that are still open."""
    times_ms: dict[str, float] | None = None
    layers: list[str] | None = None
    """Restored to floating point in INT8; None before that was tried."""
    dropped: dict[str, str] = field(default_factory=dict)
    """Precision to the reason why it is out."""

    def rank(self, precision: str) -> float:
        """Milliseconds, or weighted GFLOP if nothing was timed."""
        if self.times_ms is not None:
            return self.times_ms[precision]
        return self.gflop * UNMEASURED_COST[precision]

    def drop(self, precision: str, why: str) -> None:
        if precision in self.choices:
            self.choices.remove(precision)
        self.dropped[precision] = why

    def to_json(self, chosen: str) -> dict[str, Any]:
        return {
            "chosen": chosen,
            "times_ms": self.times_ms,
            "not_chosen": self.dropped,
            "layers_in_floating_point": self.layers or [],
        }


@dataclass(slots=True)
class _Search:
    networks: Mapping[str, _Network]
    trials: Trials
    log: Log
    tried: list[dict[str, Any]] = field(default_factory=list)
    """Combinations with their parity, as the manifest keeps them."""

    def build(self, name: str) -> None:
        network = self.networks[name]
        for precision in list(network.choices):
            try:
                self.trials.engine(name, precision)
            except ExportError as error:
                network.drop(precision, f"it cannot be built: {error}")
                self.log(f"{name}: no {precision}: {error}")
        if not network.choices:
            raise ExportError(
                f"network '{name}' can be built neither in FP16 nor in INT8: {network.dropped['fp16']}. "
                "Export it with --precision fp32."
            )

    def time(self, name: str) -> None:
        """Time the open precisions, and drop an INT8 that is not faster."""
        network = self.networks[name]
        times = self.trials.times_ms(name, network.choices)
        if times is None:
            return
        network.times_ms = dict(times)
        if {"int8", "fp16"} <= times.keys() and times["int8"] * FASTER > times["fp16"]:
            why = f"not faster than FP16: {times['int8']:.3g} ms against {times['fp16']:.3g} ms"
            network.drop("int8", why)
            self.log(f"{name}: INT8 is {why}")

    def first_that_holds(self) -> tuple[Combination, Mapping[str, Any]]:
        """The cheapest combination that passes, and its parity; FP32 if none passes."""
        while True:
            done = [entry["precisions"] for entry in self.tried]
            combination = next((each for each in self._ranked() if each not in done), None)
            if combination is None:
                return self._fp32()
            result = self._try(combination)
            if result["passed"]:
                return combination, result
            worst = self._worst_int8(combination, result)
            # With layers in floating point the same combination is tried again.
            if worst is not None and self._restore_layers(worst):
                for entry in self.tried:
                    if entry["precisions"][worst] == "int8":
                        entry["precisions"][worst] = "int8, every layer"

    def _ranked(self) -> list[dict[str, str]]:
        """Every open combination, cheapest first."""
        combinations = [
            dict(zip(self.networks, precisions, strict=True))
            for precisions in product(*(network.choices for network in self.networks.values()))
        ]
        return sorted(
            combinations, key=lambda each: sum(self.networks[name].rank(each[name]) for name in each)
        )

    def _try(self, combination: Combination) -> Mapping[str, Any]:
        result = self.trials.try_combination(combination)
        times = [(self.networks[name].times_ms or {}).get(each) for name, each in combination.items()]
        self.tried.append(
            {
                "precisions": dict(combination),
                "ms": None if None in times else sum(filter(None, times)),
                **{key: result[key] for key in ("gate", "value", "enforced", "passed")},
            }
        )
        spelled = ", ".join(f"{name} {precision}" for name, precision in combination.items())
        self.log(f"{spelled}: {result['gate']}: {result['value']:.3g}, {verdict(result)}")
        return result

    def _worst_int8(self, combination: Combination, result: Mapping[str, Any]) -> str | None:
        """The INT8 network least like its original, among those whose layers were not yet restored."""
        able = [
            name
            for name, each in combination.items()
            if each == "int8" and self.networks[name].layers is None
        ]
        return min(able, key=lambda name: float(result["networks"][name]["cosine"]), default=None)

    def _restore_layers(self, name: str) -> bool:
        """Whether layers were restored to floating point, and INT8 is still faster than FP16."""
        layers = self.networks[name].layers = list(self.trials.restore_float_layers(name))
        if not layers:
            self.log(f"{name}: no layer of INT8 could be restored to floating point")
            return False
        self.log(f"{name}: INT8 with {len(layers)} layers in floating point: {', '.join(layers)}")
        self.time(name)
        return "int8" in self.networks[name].choices

    def _fp32(self) -> tuple[Combination, Mapping[str, Any]]:
        """All networks in FP32. Raises ExportError if that cannot be built either."""
        for name, network in self.networks.items():
            self.trials.engine(name, "fp32")
            for precision in list(network.choices):
                network.drop(precision, "its parity gate failed")
        combination = dict.fromkeys(self.networks, "fp32")
        return combination, self._try(combination)

    def why(self, chosen: Combination) -> dict[str, Any]:
        is_measured = all(network.times_ms is not None for network in self.networks.values())
        unmeasured = "parity alone: nothing could be timed, for the device is not here or not all can run"
        return {
            "asked": AUTO,
            "by": "times measured in turns, and parity" if is_measured else unmeasured,
            "networks": {name: network.to_json(chosen[name]) for name, network in self.networks.items()},
            "tried": self.tried,
        }
