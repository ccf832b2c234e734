"""bench/aarch64_wheels.py, over a pip with fixed answers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import aarch64_wheels
from bench.aarch64_wheels import JETPACKS, runtime_requirements, table, wheels_for

ORIN, THOR = JETPACKS


def test_what_builds_and_tests_is_not_asked_for() -> None:
    requires = [
        "numpy>=1.26",
        'openvino>=2025.0; extra == "cpu"',
        "torch==2.13.0; extra == 'export'",
        'ruff>=0.9; extra == "dev"',
        'cuda-bindings>=12.6; extra == "cuda"',
        'cuda-bindings>=12.6; extra == "trt"',
    ]
    assert runtime_requirements(requires) == ["numpy>=1.26", "openvino>=2025.0", "cuda-bindings>=12.6"]


def test_wheels_for_a_newer_glibc_than_the_boards_are_not_taken() -> None:
    assert ORIN.tags()[0] == "manylinux_2_35_aarch64"
    assert THOR.tags()[0] == "manylinux_2_39_aarch64"
    assert "manylinux_2_39_aarch64" not in ORIN.tags()
    assert all(
        jetpack.tags()[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"] for jetpack in JETPACKS
    )


def fake_pip(monkeypatch: pytest.MonkeyPatch, missing: str = "") -> list[list[str]]:
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        commands.append(command)
        if missing and any(word.startswith(missing) for word in command):
            return SimpleNamespace(returncode=1, stderr=f"No matching distribution found for {missing}")
        url = "https://host/numpy-2.2.6-cp310-cp310-manylinux2014_aarch64.whl#sha256=0"
        entries = [
            {"download_info": {"url": "https://host/six-1-py3-none-any.whl"}, "requested": False},
            {"download_info": {"url": url}, "requested": True},
        ]
        Path(command[command.index("--report") + 1]).write_text(json.dumps({"install": entries}))
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(aarch64_wheels, "subprocess", SimpleNamespace(run=run))
    return commands


def test_pip_is_asked_for_the_boards_python_and_binaries_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = fake_pip(monkeypatch)
    assert wheels_for("cuda-bindings>=12.6", ORIN)[0].startswith("numpy-2.2.6")
    (command,) = commands
    assert {"--dry-run", "--only-binary=:all:"} <= set(command)
    assert command[command.index("--python-version") + 1] == "3.10"
    assert command[-2:] == ["cuda-bindings>=12.6", "cuda-bindings>=12.6,<13"]
    wheels_for("numpy>=1.26", ORIN)
    assert commands[-1][-1] == "numpy>=1.26"


def test_a_missing_wheel_stands_in_the_table_and_its_reason_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_pip(monkeypatch, missing="openvino")
    lines = table(["numpy>=1.26", "openvino>=2025.0"]).splitlines()
    assert (
        lines[2]
        == "| `numpy>=1.26` | numpy-2.2.6 (aarch64), with 1 more | numpy-2.2.6 (aarch64), with 1 more |"
    )
    assert lines[3] == "| `openvino>=2025.0` | **none** | **none** |"
    assert "JetPack 6 (Ubuntu 22.04): openvino>=2025.0: No matching" in capsys.readouterr().err
