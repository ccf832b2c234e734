"""README's commands and snippet, run as they stand, on a small video and a narrow network."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from edgebs.cli import main

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SMALLER = {
    "export": ["--width", "4"],
    "bench": ["--frames", "5", "--repeats", "1"],
    "parity": ["--frames", "8"],
    "calibrate": ["--frames", "8"],
}


def commands():
    """The lines of README's indented blocks that start with edgebs, continuation lines joined."""
    text = README.replace("\\\n", " ")
    lines = re.findall(r"^    (edgebs [a-z].*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def run(monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["edgebs", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_the_commands_and_the_snippet_do_what_they_say(monkeypatch, street_video, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("street.mp4", "yard.mp4"):
        (tmp_path / name).symlink_to(street_video)
    wanted = commands()
    assert [arguments[0] for arguments in wanted] == [
        "run",
        "calibrate",
        "export",
        "inspect",
        "bench",
        "parity",
        "run",
        "run",
        "run",
    ]
    for arguments in wanted:
        code = run(monkeypatch, arguments + SMALLER.get(arguments[0], []))
        assert code == 0, capsys.readouterr().err
    assert {"mask.avi", "overlay.mp4", "bundles", "calibration", "scene.npz", "yard-mask.avi"} <= {
        path.name for path in tmp_path.iterdir()
    }

    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(snippet, "README.md", "exec"), {})


def test_every_file_that_readme_points_to_is_there():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (Path(__file__).parents[2] / link).exists()] == []


def test_no_figure_is_left_to_be_filled_in():
    assert not re.search(r"^(FIGURES|TODO|TBD)\b", README, re.MULTILINE)
