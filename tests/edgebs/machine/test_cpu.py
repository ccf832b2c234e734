"""edgebs/machine/cpu.py: what a description of a processor says of its INT8 arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.process.cpu_texts import (
    AMX,
    AVX2,
    AVX512,
    AVX512_VNNI,
    AVX_VNNI,
    DOTPROD,
    NEON,
    NEON_32,
    SSE4,
    arm,
    x86,
)

from edgebs.machine import cpu
from edgebs.machine.cpu import Cpu, Int8, cpu_from_text, this_cpu


@pytest.mark.parametrize(
    ("text", "int8", "is_exact"),
    [
        (SSE4, Int8.SATURATING, False),
        (AVX2, Int8.SATURATING, False),
        (AVX512, Int8.SATURATING, False),
        (AVX_VNNI, Int8.VNNI, True),
        (AVX512_VNNI, Int8.VNNI, True),
        (AMX, Int8.VNNI, True),
        (NEON_32, Int8.NEON, False),
        (NEON, Int8.NEON, False),
        (DOTPROD, Int8.DOTPROD, True),
        ("", Int8.UNKNOWN, False),
    ],
)
def test_the_instruction_sets_decide_how_int8_is_summed(text: str, int8: Int8, is_exact: bool) -> None:
    described = cpu_from_text(text, {})
    assert described.int8 is int8
    assert described.int8.is_exact is is_exact
    assert described.int8.saturates is (int8 is Int8.SATURATING)
    assert described.limit == ""


@pytest.mark.parametrize(
    ("variable", "word", "int8"),
    [  # each was measured with OpenVINO 2026.4.1 on a Zen 5 core, which has AVX-512 VNNI
        ("ONEDNN_MAX_CPU_ISA", "SSE41", Int8.SATURATING),
        ("ONEDNN_MAX_CPU_ISA", "AVX", Int8.SATURATING),
        ("ONEDNN_MAX_CPU_ISA", "AVX2", Int8.SATURATING),
        ("ONEDNN_MAX_CPU_ISA", "avx2", Int8.SATURATING),
        ("DNNL_MAX_CPU_ISA", "AVX2", Int8.SATURATING),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", Int8.SATURATING),
        ("ONEDNN_MAX_CPU_ISA", "AVX2_VNNI", Int8.VNNI),
        ("ONEDNN_MAX_CPU_ISA", "AVX2_VNNI_2", Int8.VNNI),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI", Int8.VNNI),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16", Int8.VNNI),
        ("ONEDNN_MAX_CPU_ISA", "AVX10_1_512", Int8.VNNI),
        ("ONEDNN_MAX_CPU_ISA", "ALL", Int8.VNNI),
        ("ONEDNN_MAX_CPU_ISA", "nonsense", Int8.VNNI),
        ("OV_CPU_MAX_ISA", "AVX2", Int8.VNNI),  # limits OpenVINO's own kernels, not its INT8 convolutions
    ],
)
def test_a_limit_of_onednn_counts(variable: str, word: str, int8: Int8) -> None:
    assert cpu_from_text(AVX512_VNNI, {variable: word}).int8 is int8


def test_the_first_variable_that_is_set_counts_even_if_its_word_is_unknown() -> None:
    both = {"ONEDNN_MAX_CPU_ISA": "nonsense", "DNNL_MAX_CPU_ISA": "AVX2"}
    assert cpu_from_text(AVX512_VNNI, both).int8 is Int8.VNNI
    assert cpu_from_text(AVX512_VNNI, both | {"ONEDNN_MAX_CPU_ISA": ""}).int8 is Int8.SATURATING


def test_a_limit_is_named_where_it_takes_something_away() -> None:
    limited = cpu_from_text(AVX512_VNNI, {"ONEDNN_MAX_CPU_ISA": "AVX2"})
    assert limited.limit == "ONEDNN_MAX_CPU_ISA=AVX2"
    assert limited.features == ("sse4_1", "sse4_2", "avx", "avx2", "fma")
    assert "avx512_vnni" in limited.built_in
    assert limited.instruction_sets == "sse4_1, sse4_2, avx, avx2, fma (limited by ONEDNN_MAX_CPU_ISA=AVX2)"
    assert cpu_from_text(AVX2, {"ONEDNN_MAX_CPU_ISA": "AVX2"}).limit == ""
    assert cpu_from_text(DOTPROD, {"ONEDNN_MAX_CPU_ISA": "AVX2"}).int8 is Int8.DOTPROD


def test_avx512_without_its_own_vnni_saturates_even_beside_avx_vnni() -> None:
    masked = x86("A hypervisor's", "sse4_1 avx avx2 avx_vnni avx512f avx512bw avx512dq avx512vl")
    assert cpu_from_text(masked, {}).int8 is Int8.SATURATING


def test_cores_of_two_kinds_count_with_what_both_have() -> None:
    little = arm("0xd05", "fp asimd")
    big = arm("0xd41", "fp asimd asimddp i8mm")
    mixed = cpu_from_text(little + "\n" + big, {}, machine="aarch64")
    assert mixed.built_in == ("asimd",)
    assert mixed.int8 is Int8.NEON
    assert mixed.name == "ARM implementer 0x41, part 0xd05, 0xd41"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (AVX2, "AMD Ryzen 5 5600 (family 25)"),
        ("model name\t: ARMv8 Processor rev 1 (v8l)\nFeatures\t: asimd\n", "ARMv8 Processor rev 1 (v8l)"),
        (DOTPROD + "\nHardware\t: BCM2712\nModel\t\t: Raspberry Pi 5 Model B\n", "Raspberry Pi 5 Model B"),
        (NEON + "\nHardware\t: BCM2835\n", "BCM2835"),
        ("model name\t: unknown\nflags\t\t: sse4_1\n", "given"),
        ("model name\t:\nflags\t\t:\n", "given"),
        ("", "given"),
    ],
)
def test_the_name_is_the_first_that_says_something(text: str, name: str) -> None:
    assert cpu_from_text(text, {}, name="given").name == name


def test_a_system_without_cpuinfo_is_unknown_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "absent")
    found = this_cpu()
    assert found.name
    assert found.int8 is Int8.UNKNOWN
    assert found.instruction_sets == "instruction sets unknown"


def test_a_record_holds_the_sets_in_use_and_the_arithmetic() -> None:
    described = cpu_from_text(AVX512_VNNI, {"DNNL_MAX_CPU_ISA": "AVX2"}, machine="x86_64")
    assert described.to_json() == {
        "name": "AMD EPYC (family 26)",
        "architecture": "x86_64",
        "instruction_sets": ["sse4_1", "sse4_2", "avx", "avx2", "fma"],
        "limit": "DNNL_MAX_CPU_ISA=AVX2",
        "int8": "saturating",
    }
    assert Cpu().to_json()["limit"] is None
