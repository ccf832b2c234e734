"""docs/jetson.md: messages that it explains are messages that the code gives, and its options exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgebs.cli import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/jetson.md").read_text()
SOURCES = "\n".join(
    file.read_text()
    for folder in ("edgebs", "engines", "bench")
    for file in sorted((ROOT / folder).rglob("*.py"))
)
JOINED = re.sub(r'"\s*\n\s*f?"', "", SOURCES)
"""With messages that stand on several lines in one."""


@pytest.mark.parametrize(
    "said",
    [
        "needs TensorRT: pip install 'edgebs[trt]' (on Jetson it comes with JetPack)",
        "needs CUDA for Python: pip install 'edgebs[cuda]'",
        "no NVIDIA GPU: ",
        "was built for ",
        "building a plan of ",
        "shared by CPU and GPU",
        "of memory left, before the kernel would have killed the process",
        "this machine's TensorRT finds none",
        "TensorRT cannot read ",
        "parity gate ",
        "was throttled (",
    ],
)
def test_messages_are_those_of_the_code(said: str) -> None:
    assert said in PAGE
    assert said in JOINED


@pytest.mark.parametrize("command", ["export", "run", "inspect", "bench"])
def test_options_exist(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "300", "NO_COLOR": "1"}).output
    lines = [line for line in PAGE.splitlines() if f"edgebs {command} " in line]
    assert lines
    for option in {option for line in lines for option in re.findall(r" (--[a-z-]+)", line)}:
        assert option in shown, option


def test_options_that_errors_name_exist() -> None:
    shown = CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "300", "NO_COLOR": "1"}).output
    for option in ("--workspace-mb", "--dla-core", "--batch", "--precision"):
        assert option in shown
