"""/proc/cpuinfo of processors of every kind, cut to the lines that are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebs.machine import cpu

_SSE = "fpu sse sse2 ssse3 sse4_1 sse4_2"
_AVX2 = f"{_SSE} avx f16c fma avx2"
_AVX512 = f"{_AVX2} avx512f avx512dq avx512bw avx512vl"


def x86(name: str, flags: str, family: int = 6, cores: int = 2) -> str:
    """Lines of `cores` equal cores."""
    core = f"cpu family\t: {family}\nmodel\t\t: 2\nmodel name\t: {name}\nflags\t\t: {flags}\n"
    return "\n".join(f"processor\t: {number}\n{core}" for number in range(cores))


def arm(part: str, features: str) -> str:
    """Lines of one core."""
    return f"processor\t: 0\nFeatures\t: {features}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n"


def use(text: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let this process run on the processor that `text` describes, without limits. folder: for its file."""
    file = folder / "cpuinfo"
    file.write_text(text)
    monkeypatch.setattr(cpu, "_CPUINFO", file)
    for variable in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(variable, raising=False)


SSE4 = x86("Intel(R) Celeron(R) J4125", _SSE)
AVX2 = x86("AMD Ryzen 5 5600", _AVX2, family=25)
AVX_VNNI = x86("Intel(R) N100", f"{_AVX2} avx_vnni")
AVX512 = x86("Intel(R) Xeon(R) Gold 6130", _AVX512)
AVX512_VNNI = x86("AMD EPYC", f"{_AVX512} avx_vnni avx512_bf16 avx512_vnni", family=26)
AMX = x86("Intel(R) Xeon(R) 8480", f"{_AVX512} avx_vnni avx512_vnni avx512_bf16 amx_bf16 amx_tile amx_int8")
NEON_32 = arm("0xd08", "half thumb vfp neon vfpv4")
NEON = arm("0xd08", "fp asimd evtstrm crc32")
DOTPROD = arm("0xd0b", "fp asimd asimdhp asimddp")
