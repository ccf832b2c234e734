"""Commands and the snippet of README and docs, run as they stand, on a small video and a narrow network."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from edgebs.bundle import FIGURES
from edgebs.cli import main
from export.models import take_when

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    README,
    *((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("running.md", "python.md")),
]
SMALLER = {
    "export": ["--width", "4"],
    "bench": ["--frames", "5", "--repeats", "1"],
    "parity": ["--frames", "8"],
    "calibrate": ["--frames", "8"],
}


def commands():
    """The lines of README's indented blocks that start with edgebs, continuation lines joined."""
    text = "\n".join(PAGES).replace("\\\n", " ")
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
        "run",
    ]
    for arguments in wanted:
        code = run(monkeypatch, arguments + SMALLER.get(arguments[0], []))
        assert code == 0, capsys.readouterr().err
    assert {"mask.avi", "overlay.mp4", "bundles", "calibration", "scene.npz", "yard-mask.avi"} <= {
        path.name for path in tmp_path.iterdir()
    }

    (snippet,) = re.findall(r"```python\n(.*?)```", PAGES[-1], re.DOTALL)
    exec(compile(snippet, "python.md", "exec"), {})


PAGE_FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGE_FILES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_points_to_is_there(page):
    links = re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_table_of_models_has_the_figures_of_the_package_and_the_order_in_which_to_take_them():
    measured = json.loads(FIGURES.read_text(encoding="utf-8"))
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in README.splitlines() if line[:1] == "|"
    ]
    said = {match[1]: row for row in rows if (match := re.match(r"\[`(.+?)`\]", row[0]))}
    for name, row in said.items():
        speeds = [cell if cell.isdecimal() else None for cell in row[3:5]]
        fps = measured[name]["fps"]
        assert row[2] == f"{measured[name]['F']:.3f}".removeprefix("0"), name
        assert speeds == [f"{fps[kind]['fps']:.0f}" if kind in fps else None for kind in ("avx2", "vnni")], (
            name
        )
    worth_it = [name for name, facts in take_when(measured).items() if not facts["when"].startswith("never")]
    (advice,) = re.findall(r"^Take (`.+?):", README, re.MULTILINE)
    assert re.findall("`(.+?)`", advice) == worth_it
    assert set(worth_it) <= set(said)


def test_readme_is_one_page():
    assert len(README.splitlines()) <= 120


def test_no_figure_is_left_to_be_filled_in():
    for page in PAGE_FILES:
        assert not re.search(
            r"^(FIGURES|TODO|TBD|[A-Z]+_TABLE)\b", page.read_text(encoding="utf-8"), re.MULTILINE
        ), page
