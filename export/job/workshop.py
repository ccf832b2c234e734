"""One export as `choose_precisions` sees it: engines that are built, timed, judged, and made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.speed.interleaved import interleaved_ms
from calib.int8.accuracy import AccuracyControl, layers_in_floating_point
from edgebs.backends import Backend, open_backend
from edgebs.backends.tensorrt import check_plan_fits_here
from edgebs.errors import BackendError, EngineMismatch, MissingDependency
from edgebs.tensors import Array
from engines.build import EngineFacts
from engines.targets import Target
from export.job.precision import Combination

Quantise = Callable[[str, Path, AccuracyControl], None]
"""Writes a network's INT8 file under control of a score."""


@dataclass(slots=True, kw_only=True)
class ExportWorkshop:
    """Implements export.job.precision.Workshop over the steps of an export."""

    target: Target
    compute: str
    """Arithmetic of what FP16 and INT8 files leave in floating point."""
    onnx: MutableMapping[tuple[str, str], Path]
    """By network and precision; INT8 files are replaced here."""
    engines: MutableMapping[tuple[str, str], EngineFacts]
    """What `make_engine` made, by the same."""
    feeds: Mapping[str, Sequence[Mapping[str, Array]]]
    """Real inputs of each network."""
    make_engine: Callable[[str, str], EngineFacts]
    judge: Callable[[Combination], Mapping[str, Any]]
    control: Callable[[str], AccuracyControl | None]
    """None where nothing can judge a network by itself: its INT8 is then taken whole or not at all."""
    quantise: Quantise

    def build(self, network: str, precision: str) -> None:
        """See Workshop."""
        self.make_engine(network, precision)

    def times_ms(self, network: str, precisions: Sequence[str]) -> Mapping[str, float] | None:
        """See Workshop."""
        with ExitStack() as stack:
            running: dict[str, Backend] = {}
            for precision in precisions:
                engine = self._opened(self.engines[network, precision], precision)
                if engine is None:
                    return None
                running[precision] = engine
                stack.callback(engine.close)
            return interleaved_ms(running, self.feeds[network][0])

    def parity(self, combination: Combination) -> Mapping[str, Any]:
        """See Workshop."""
        return self.judge(combination)

    def give_back(self, network: str) -> Sequence[str]:
        """See Workshop."""
        control = self.control(network)
        if control is None:
            return []
        plain = self.onnx[network, "int8"]
        before = set(layers_in_floating_point(plain))
        controlled = plain.with_name(f"controlled-{plain.name}")
        self.quantise(network, controlled, control)
        given_back = [name for name in layers_in_floating_point(controlled) if name not in before]
        if not given_back:
            controlled.unlink()
            return []
        controlled.replace(plain)
        del self.engines[network, "int8"]
        self.make_engine(network, "int8")
        return given_back

    def _opened(self, facts: EngineFacts, precision: str) -> Backend | None:
        """The engine, ready to run; None where this machine cannot run it."""
        try:
            if facts.plan is not None:
                check_plan_fits_here(facts.plan.to_json(), where=facts.file.name, target=self.target.value)
            compute = self.compute if precision != "fp32" else "f32"
            device = facts.options.loaded_with
            return open_backend(facts.backend, facts.file, compute=compute, device=device)
        except (EngineMismatch, MissingDependency, BackendError):
            if facts.plan is None or self.target.needs_gpu:
                raise  # it was built for this very machine
            return None
