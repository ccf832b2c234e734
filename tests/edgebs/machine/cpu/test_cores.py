"""CPU threads of networks beside the flow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.networks.backends import fake_manifest

import edgebs
from edgebs import loading
from edgebs.bundle.manifest import Manifest
from edgebs.machine.cpu import threads_beside_flow, usable_cores


def manifest(gflop: float, precision: str = "int8", provider: str = "dis") -> Manifest:
    known = fake_manifest()
    facts = replace(known.networks["segment"], gflop=gflop, precision=precision)
    cue = replace(known.cue, provider=provider, preset="fast" if provider == "dis" else "")
    return replace(known, networks={"segment": facts}, cue=cue)


@pytest.mark.parametrize(
    ("gflop", "precision", "provider", "cores", "threads"),
    [
        (4.0, "int8", "dis", 2, 1),
        (4.0, "fp32", "dis", 2, 0),
        (4.0, "fp32", "dis", 4, 3),
        (4.0, "int8", "bmn", 2, 0),
        (84.5, "int8", "dis", 2, 0),
        (84.5, "int8", "dis", 16, 15),
        (0.1, "int8", "dis", 1, 0),
    ],
)
def test_a_light_network_leaves_one_core_to_the_flow(
    gflop: float, precision: str, provider: str, cores: int, threads: int
) -> None:
    assert threads_beside_flow(manifest(gflop, precision, provider), cores) == threads


def test_the_user_decides_where_he_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "usable_cores", lambda: 2)
    for threads, used in ((0, 1), (2, 2)):
        with edgebs.load("edge", threads=threads) as pipeline:
            said = pipeline.descriptions()["segment"]
        # OpenVINO takes no more than there are.
        assert said.endswith(
            f"{min(used, usable_cores())} thread{'s' if min(used, usable_cores()) > 1 else ''}"
        )
