"""docker/: what can be said of the images without building them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docker").glob("Dockerfile.*"))


def instructions(file: Path) -> list[tuple[str, str]]:
    """(word, rest) of each instruction, continued lines joined, comments left out."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


def test_there_is_an_image_for_each_appliance() -> None:
    assert [file.suffix for file in FILES] == [".jetpack6", ".jetpack7", ".x86-cuda13"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_instruction_is_one_and_the_base_has_a_version(file: Path) -> None:
    found = instructions(file)
    known = {"FROM", "ENV", "RUN", "COPY", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in found} <= known
    assert found[0][0] == "FROM"
    assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*", found[0][1])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_copied_exists_and_is_let_through(file: Path) -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    for word, rest in instructions(file):
        if word == "COPY":
            *sources, _ = rest.split()
            for source in sources:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in ignore


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_extras_that_are_installed_exist(file: Path) -> None:
    declared = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    (asked,) = re.findall(r"'/src\[([\w,]+)\]'", file.read_text())
    assert set(asked.split(",")) <= set(declared)


@pytest.mark.parametrize("name", ["jetpack6", "jetpack7"])
def test_on_a_jetson_tensorrt_is_the_boards_own(name: str) -> None:
    text = (ROOT / "docker" / f"Dockerfile.{name}").read_text()
    assert "--system-site-packages" in text
    assert "trt" not in re.findall(r"'/src\[([\w,]+)\]'", text)[0].split(",")
