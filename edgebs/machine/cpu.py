"""The processor and its instruction sets, and how it sums the products of INT8 networks.

Without VNNI, OpenVINO's INT8 convolutions on x86 add pairs of products in 16 bits that saturate; with VNNI
they add in 32 bits, exactly. The variables ONEDNN_MAX_CPU_ISA and DNNL_MAX_CPU_ISA limit what OpenVINO uses
(measured with 2026.4: under AVX2 the same convolution saturates on a processor that has VNNI). Therefore a
`Cpu` states what is used, and not only what is built in. ONNX Runtime has no such limit.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgebs.bundle.manifest import Manifest


_CPUINFO = Path("/proc/cpuinfo")
_SSE = ("sse4_1", "sse4_2")
_AVX512_CORE = ("avx512f", "avx512bw", "avx512dq", "avx512vl")
_AMX = ("amx_tile", "amx_int8", "amx_bf16", "amx_fp16")

_X86 = (
    *_SSE,
    *("avx", "avx2", "fma", "avx_vnni", "avx_vnni_int8", "avx_ne_convert"),
    *_AVX512_CORE,
    *("avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *_AMX,
)

_ARM = ("neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme")

KNOWN_FEATURES = (*_X86, *_ARM)
"""Instruction sets that decide how networks are computed, in the words of /proc/cpuinfo, oldest first."""

_AVX = (*_SSE, "avx")
_AVX2 = (*_AVX, "avx2", "fma")
_AVX2_VNNI = (*_AVX2, "avx_vnni")
_AVX512 = (*_AVX2, *_AVX512_CORE)
_AVX512_BF16 = (*_AVX512, "avx512_vnni", "avx512_bf16")
_AVX512_FP16 = (*_AVX512_BF16, "avx_vnni", "avx512_fp16")

_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "SSE41": _SSE,
    "AVX": _AVX,
    "AVX2": _AVX2,
    "AVX2_VNNI": _AVX2_VNNI,
    "AVX2_VNNI_2": (*_AVX2_VNNI, "avx_vnni_int8", "avx_ne_convert"),
    "AVX512_CORE": _AVX512,
    "AVX512_CORE_VNNI": (*_AVX512, "avx512_vnni"),
    "AVX512_CORE_BF16": _AVX512_BF16,
    "AVX512_CORE_FP16": _AVX512_FP16,
    "AVX10_1_512": _AVX512_FP16,
    "AVX512_CORE_AMX": (*_AVX512_FP16, "amx_tile", "amx_int8", "amx_bf16"),
}
"""What oneDNN still uses under each limit; other words ("ALL", a misspelt one) limit nothing."""

_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


class Int8(Enum):
    """How the products of an INT8 convolution are summed; the values are the words of reports and JSON."""

    VNNI = "vnni"
    DOTPROD = "dotprod"
    NEON = "neon"
    SATURATING = "saturating"
    UNKNOWN = "unknown"

    @property
    def is_exact(self) -> bool:
        """True if the sums are known to be exact integers (32 bits wide)."""
        return self in (Int8.VNNI, Int8.DOTPROD)

    @property
    def saturates(self) -> bool:
        """True if pairs of products are summed in 16 bits, so that weights of 8 bits overflow."""
        return self is Int8.SATURATING

    @property
    def words(self) -> str:
        """What this means, for people."""
        return _WORDS[self]


_WORDS: Mapping[Int8, str] = {
    Int8.VNNI: "exact 32-bit sums (VNNI)",
    Int8.DOTPROD: "exact 32-bit sums (dot product instructions)",
    Int8.NEON: "NEON without dot product instructions; its sums have not been measured",
    Int8.SATURATING: "no VNNI: pairs of products are summed in 16 bits; exact with weights of 7 bits",
    Int8.UNKNOWN: "the instruction sets are unknown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """A processor, and what of it OpenVINO uses in this process."""

    name: str = ""
    """As the system states it, with the family where one name covers several generations."""
    architecture: str = ""
    """Of the machine: "x86_64", "aarch64"."""
    built_in: tuple[str, ...] = ()
    """Those of `KNOWN_FEATURES` that every core has; empty if unknown."""
    features: tuple[str, ...] = ()
    """Those of `built_in` that OpenVINO uses."""
    limit: str = ""
    """What keeps OpenVINO from using all of them, "ONEDNN_MAX_CPU_ISA=AVX2"; empty if nothing does."""

    @property
    def int8(self) -> Int8:
        """How OpenVINO sums the products of INT8 networks here."""
        used = set(self.features)
        if used & set(_ARM):
            return Int8.DOTPROD if "asimddp" in used else Int8.NEON
        if not set(self.built_in) & set(_X86):
            return Int8.UNKNOWN
        # With AVX-512, oneDNN takes its 512-bit kernels, which need their own VNNI.
        vnni = "avx512_vnni" if used.issuperset(_AVX512_CORE) else "avx_vnni"
        return Int8.VNNI if vnni in used else Int8.SATURATING

    @property
    def unlimited(self) -> Cpu:
        """The same without `limit`."""
        return replace(self, features=self.built_in, limit="")

    @property
    def instruction_sets(self) -> str:
        """The instruction sets in use, and the limit where there is one, for people."""
        used = ", ".join(self.features) or "instruction sets unknown"
        return f"{used} (limited by {self.limit})" if self.limit else used

    def to_json(self) -> dict[str, Any]:
        """For records: name, architecture, instruction sets and INT8 arithmetic."""
        return {
            "name": self.name,
            "architecture": self.architecture,
            "instruction_sets": list(self.features),
            "limit": self.limit or None,
            "int8": self.int8.value,
        }


def this_cpu() -> Cpu:
    """The processor of this process. Never raises: what cannot be read is unknown."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:  # macOS, Windows, a container without /proc
        text = ""
    named = platform.processor() or platform.machine()
    return cpu_from_text(text, os.environ, machine=platform.machine(), name=named)


def cpu_from_text(text: str, environment: Mapping[str, str], *, machine: str = "", name: str = "") -> Cpu:
    """The processor that `text` describes, in the form of /proc/cpuinfo on x86 and on ARM.

    environment: where the limit of oneDNN is looked up. name: used if the text states none.
    Cores of different kinds (big.LITTLE) count with what all of them have.
    """
    cores = re.findall(r"^(?:flags|Features)[ \t]*:(.*)$", text, re.MULTILINE)
    common = set.intersection(*(set(core.split()) for core in cores)) if cores else set()
    built_in = tuple(feature for feature in KNOWN_FEATURES if feature in common)
    limit, allowed = _limit(environment)
    used = tuple(feature for feature in built_in if allowed is None or feature in (*allowed, *_ARM))
    return Cpu(
        name=_name(text) or name,
        architecture=machine,
        built_in=built_in,
        features=used,
        limit=limit if used != built_in else "",
    )


def _limit(environment: Mapping[str, str]) -> tuple[str, tuple[str, ...] | None]:
    """The first variable that is set counts. Upper and lower case are the same."""
    for variable in _LIMITS:
        if value := environment.get(variable, ""):
            return f"{variable}={value}", _ALLOWED.get(value.upper())
    return "", None


def _name(text: str) -> str:
    model = _field(text, "model name")
    if model and model.lower() != "unknown":
        family = _field(text, "cpu family")
        return f"{model} (family {family})" if family else model
    if board := _field(text, "Model") or _field(text, "Hardware"):
        return board
    parts = dict.fromkeys(re.findall(r"^CPU part[ \t]*:[ \t]*(\S+)", text, re.MULTILINE))
    maker = _field(text, "CPU implementer")
    return f"ARM implementer {maker}, part {', '.join(parts)}" if parts else ""


def _field(text: str, key: str) -> str:
    found = re.search(rf"^{key}[ \t]*:(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


LIGHT_GFLOP = 6.0
"""Of an INT8 network and a core: DIS flow takes about as long on another core."""

FLOATING_POINT_COST = 3.0
"""Times as long as in INT8."""


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_beside_flow(manifest: Manifest, cores: int) -> int:
    """CPU threads of a bundle's network; 0 for every core.

    DIS flow of the next frame takes a core while the network runs. A network that the others finish about as
    soon is left to those: with a thread for each core it waits for the one that the flow holds. On 2 cores
    (AMD EPYC, Zen 5) edge in INT8 then gave 134 fps (129 to 135 in eight runs) for 124 (112 to 132), and 79
    for 98 where a frame is finished before the next begins; in FP32, three times as long, it would lose.
    """
    segment = manifest.networks["segment"]
    if manifest.cue.provider != "dis" or cores < 2:
        return 0
    cost = segment.gflop * (1.0 if segment.precision == "int8" else FLOATING_POINT_COST)
    return cores - 1 if cost <= LIGHT_GFLOP * (cores - 1) else 0
