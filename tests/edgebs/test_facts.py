"""edgebs/facts.py: what a record says of its machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.process import cpu_texts

from edgebs.facts import machine_facts

TEXT = "model name\t: AMD EPYC\ncpu family\t: 26\nflags\t\t: sse4_1 avx avx2 avx_vnni\n"


def test_a_record_names_the_instruction_sets_and_how_int8_is_summed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu_texts.use(TEXT, monkeypatch, tmp_path)
    facts = machine_facts()
    assert facts["cpu"] == "AMD EPYC (family 26)"
    assert facts["instruction_sets"] == ["sse4_1", "avx", "avx2", "avx_vnni"]
    assert (facts["int8"], facts["isa_limit"]) == ("vnni", None)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    limited = machine_facts()
    assert limited["instruction_sets"] == ["sse4_1", "avx", "avx2"]
    assert (limited["int8"], limited["isa_limit"]) == ("saturating", "ONEDNN_MAX_CPU_ISA=AVX2")


def test_a_machine_that_states_nothing_is_recorded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu_texts.use("", monkeypatch, tmp_path)
    facts = machine_facts()
    assert facts["cpu"]
    assert (facts["instruction_sets"], facts["int8"]) == ([], "unknown")
