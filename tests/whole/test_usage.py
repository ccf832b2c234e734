"""Wrong usage of every option: exit code 2, and the option, the value and what is allowed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, get_args

import pytest
from fakes.process.command import Command
from typer.models import OptionInfo

from edgebs.cli.entry import app

REQUIRED = {
    "export": ("edge", "--out", "out"),
    "train": ("edge", "--out", "out", "--steps", "1"),
    "import-weights": ("crossnet", "checkpoint", "--out", "out"),
    "calibrate": ("video.mp4", "--out", "out"),
    "bench": ("--fps", "edge"),
    "parity": ("edge",),
    "eval": ("edge", "--data", "data"),
    "run": ("edge", "--source", "video.mp4"),
    "inspect": ("edge",),
    "doctor": (),
    "models": (),
}
"""What each command needs beside an option to be read."""
WORDS = {
    "--size": ("0x0", "256", "16385x16", "-1x4", "axb"),
    "--data-size": ("0x0", "256"),
    "--intervals": ("0", "1,,x", "1.5", ""),
    "--range": ("1", "2,1", "nan,1", "a,b"),
    "--fold": ("1", "a/b", "0/3", "4/3"),
    "--mix": ("rendered", "rendered=x", "rendered=-1,data=1"),
    "--batch": ("0", "4,1", "x"),
    "--precision": ("fp7", ","),
    "--flow-precision": ("fp7",),
    "--target": ("sm99",),
    "--norm": ("group",),
    "--warp": ("bilinear",),
    "--dis-preset": ("slow",),
    "--flow": ("raft",),
    "--loss": ("l2",),
    "--device": ("tpu",),
    "--against": ("vibe",),
}
"""Values that the options of plain text cannot have."""


def options_of(command: Callable[..., None]) -> Iterator[tuple[str, list[str]]]:
    """Each option with values that it must refuse."""
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        facts = next((f for f in get_args(parameter.annotation)[1:] if isinstance(f, OptionInfo)), None)
        if facts is None:
            continue
        named = [word for word in facts.param_decls or () if word.startswith("--")]
        kinds = set(flattened(get_args(parameter.annotation)[0])) - {type(None)}
        option = named[0] if named else f"--{name.replace('_', '-')}"
        yield option, bad_values(facts, kinds, option)


def flattened(kind: Any) -> Iterator[Any]:
    """The types in `int | None` or `list[int] | None`."""
    parts = get_args(kind)
    yield from (part for inner in parts for part in flattened(inner)) if parts else (kind,)


def bad_values(facts: OptionInfo, kinds: set[Any], option: str) -> list[str]:
    """Values outside an option's type and range."""
    if kinds & {int, float}:
        edges = [] if facts.min is None else [str(facts.min - 1)]
        edges += [] if facts.max is None else [str(facts.max + 1)]
        return ["nonsense", "nan", *edges]
    if any(isinstance(kind, type) and issubclass(kind, Enum) for kind in kinds):
        return ["nonsense"]
    return list(WORDS.get(option, ())) if str in kinds else []


CASES = [
    pytest.param(
        command.name or command.callback.__name__,
        option,
        value,
        id=f"{command.callback.__name__} {option}={value}",
    )
    for command in app.registered_commands
    if command.callback is not None
    for name in [command.name or command.callback.__name__]
    for option, values in options_of(command.callback)
    for value in dict.fromkeys(values)
]


NEEDED = {"--range": ("--source", "video.mp4"), "--fold": ("--data", "data"), "--mix": ("--data", "data")}
"""Other options without which an option has no effect."""


@pytest.mark.parametrize(("command", "option", "value"), CASES)
def test_a_value_that_an_option_cannot_have(monkeypatch, capsys, tmp_path, command, option, value) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    words = (*REQUIRED[command], *NEEDED.get(option, ()), f"{option}={value}")
    code, out, err = Command(monkeypatch, capsys)(command, *words)
    assert (code, out) == (2, ""), err
    assert option.removeprefix("--") in err
    assert value in err.replace(", ", ",")
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
