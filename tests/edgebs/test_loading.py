"""edgebs/loading.py: what is logged where a bundle is loaded on a CPU that it does not suit."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.networks.small_bundle import small_bundle

import edgebs.loading
from edgebs.bundle import Bundle, rewrite_manifest
from edgebs.loading import load
from edgebs.machine.cpu import cpu_from_text

AVX2 = "model name : Old box\nflags : sse4_1 sse4_2 avx avx2 fma\n"
VNNI = "model name : New box\nflags : sse4_1 sse4_2 avx avx2 fma avx_vnni\n"


def of_precision(bundle: Bundle, precision: str, weight_bits: int | None) -> Bundle:
    """The bundle, whose manifest says so."""
    network = replace(bundle.manifest.networks["segment"], precision=precision, weight_bits=weight_bits)
    return rewrite_manifest(bundle, networks={"segment": network}, parity={"passed": True})


@pytest.mark.parametrize(
    ("cpu", "precision", "weight_bits", "warns"),
    [
        (AVX2, "int8", None, True),
        (AVX2, "int8", 8, True),
        (AVX2, "int8", 7, False),
        (AVX2, "fp32", None, False),
        (VNNI, "int8", None, False),
        ("", "int8", None, False),
    ],
)
def test_int8_weights_of_8_bits_are_warned_of_where_sums_saturate(
    cpu: str,
    precision: str,
    weight_bits: int | None,
    warns: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("openvino")
    bundle = of_precision(small_bundle(tmp_path / "small", backend="openvino"), precision, weight_bits)
    monkeypatch.setattr(edgebs.loading, "this_cpu", lambda: cpu_from_text(cpu, {}, machine="x86_64"))
    with caplog.at_level(logging.WARNING), load(bundle.path):
        pass
    said = [record.getMessage() for record in caplog.records]
    expected = f"{bundle.path}: the INT8 weights of 'segment' have 8 bits, and this CPU (Old box) has no VNNI"
    assert [message.startswith(expected) for message in said] == [True] * warns
