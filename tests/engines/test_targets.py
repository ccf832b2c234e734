"""engines/__init__.py: what follows from the word after --target."""

from __future__ import annotations

import pytest

from edgebs.bundle.kinds import Runtime
from edgebs.bundle.plan import AHEAD_OF_TIME
from edgebs.errors import ExportError
from engines import Target, target_named


def test_every_target_has_a_known_backend_and_a_description() -> None:
    assert [target.value for target in Target] == [
        "cpu",
        "sm75",
        "sm86",
        "sm89",
        "sm120",
        "rtx",
        "gpu",
        "onnx",
    ]
    for target in Target:
        assert target.backend in list(Runtime)
        assert target.what


@pytest.mark.parametrize(
    ("name", "backend", "module", "suffix", "capability", "needs_gpu"),
    [
        ("cpu", "openvino", "", ".onnx", "", False),
        ("onnx", "onnxruntime", "", ".onnx", "", False),
        ("sm75", "tensorrt_rtx", "tensorrt_rtx", ".plan", "7.5", False),
        ("sm120", "tensorrt_rtx", "tensorrt_rtx", ".plan", "12.0", False),
        ("rtx", "tensorrt_rtx", "tensorrt_rtx", ".plan", "", True),
        ("gpu", "tensorrt", "tensorrt", ".plan", "", True),
    ],
)
def test_facts_follow_from_the_target(
    name: str, backend: str, module: str, suffix: str, capability: str, needs_gpu: bool
) -> None:
    target = target_named(name)
    assert target.backend == backend
    assert target.module == module
    assert target.for_tensorrt == bool(module)
    assert target.file_suffix == suffix
    assert target.compute_capability == capability
    assert target.needs_gpu == needs_gpu


def test_the_repair_of_a_mismatch_knows_the_same_targets() -> None:
    assert {target.compute_capability for target in Target} - {""} == set(AHEAD_OF_TIME)


def test_an_unknown_target_lists_the_known() -> None:
    with pytest.raises(
        ExportError, match="unknown target 'sm90'; known: cpu, sm75, sm86, sm89, sm120, rtx, gpu, onnx"
    ):
        target_named("sm90")
