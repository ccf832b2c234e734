"""Run the tests of the runtime on every Python at hand: `make test-pythons`.

Each interpreter gets a virtual environment of its own under build/pythons with the runtime and no PyTorch:
`pip install '.[cpu,onnx,headless,test]'`. Where this interpreter has the exporter, it makes the toy bundle
that those environments cannot make; tests that need more than the runtime are skipped there, and counted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PLACE = ROOT / "build" / "pythons"
EXTRAS = "cpu,onnx,headless,test"
FOLDERS = ("tests/edgebs", "tests/whole/rules/test_no_clocks.py")
OLDEST, NEWEST = 10, 19
"""Minor versions of Python 3 that are looked for."""
SHOWN = ("numpy", "opencv-python-headless", "openvino", "onnxruntime", "typer", "rich")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython that can make virtual environments."""

    version: tuple[int, int, int]
    path: Path

    @property
    def name(self) -> str:
        """As in 3.13.0."""
        return ".".join(map(str, self.version))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the tests said on one interpreter."""

    name: str
    passed: int
    failed: int
    skipped: int
    exit_code: int


def interpreters_at_hand() -> list[Interpreter]:
    """The newest patch release of each minor version, on PATH and in pyenv's folder, oldest version first."""
    on_path = [shutil.which(f"python3.{minor}") for minor in range(OLDEST, NEWEST + 1)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [*filter(None, on_path), sys.executable, *map(str, pyenv.glob("3.*/bin/python"))]
    found = sorted(filter(None, map(interpreter_at, places)), key=lambda one: one.version)
    return list({one.version[:2]: one for one in found}.values())


def interpreter_at(place: str) -> Interpreter | None:
    """The interpreter there; None for one that is too old, does not start, or cannot make environments."""
    code = (
        "import sys, ensurepip, venv; sys.implementation.name == 'cpython' or sys.exit(1);"
        "print(*sys.version_info[:3], sys.base_prefix)"
    )
    try:
        done = subprocess.run([place, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    except (OSError, subprocess.SubprocessError):
        return None
    major, minor, patch, prefix = done.stdout.strip().split(" ", 3)
    version = int(major), int(minor), int(patch)
    # The interpreter itself: the parent of a virtual environment, not a link into one that may go.
    path = Path(prefix) / "bin" / f"python{major}.{minor}"
    return Interpreter(version, path) if version[:2] >= (3, OLDEST) and path.exists() else None


def environment_for(interpreter: Interpreter) -> Path:
    """The Python of its virtual environment, made anew where pyproject.toml has changed since."""
    place = PLACE / interpreter.name
    python, made = place / "bin" / "python", place / "made-for"
    wanted = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if not made.is_file() or made.read_text(encoding="utf-8") != wanted:
        subprocess.run([interpreter.path, "-m", "venv", "--clear", place], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--editable", f".[{EXTRAS}]"]
        subprocess.run(install, check=True, cwd=ROOT)
        made.write_text(wanted, encoding="utf-8")
    return python


def toy_bundle() -> Path | None:
    """The bundle of tests/conftest.py, exported by this interpreter; None where it has no exporter."""
    if find_spec("torch") is None:
        print("No PyTorch here: tests of the toy bundle will be skipped.", flush=True)
        return None
    sys.path.insert(0, str(TESTS))
    from fakes.networks.tiny_bundle import export_tiny_bundle

    shutil.rmtree(PLACE / "tiny", ignore_errors=True)
    return export_tiny_bundle(PLACE / "tiny").path


def outcome_on(interpreter: Interpreter, bundle: Path | None, workers: int, words: list[str]) -> Outcome:
    """Install what is missing and run the tests; their output is shown as it comes."""
    print(f"\n== Python {interpreter.name} ==", flush=True)
    python = environment_for(interpreter)
    print("   ".join(f"{name} {version_in(python, name)}" for name in SHOWN), flush=True)
    environment = os.environ.copy()
    environment.pop("EDGEBS_REQUIRE_PACKAGES", None)
    if bundle is not None:
        environment["EDGEBS_TINY_BUNDLE"] = str(bundle)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [python, "-m", "pytest", "-q", "-n", str(workers), f"--junitxml={report}"]
        done = subprocess.run([*command, *(words or FOLDERS)], cwd=ROOT, env=environment, check=False)
        return outcome_of(interpreter.name, report, done.returncode)


def version_in(python: Path, package: str) -> str:
    """The version of a package in that environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "missing"


def outcome_of(name: str, report: Path, exit_code: int) -> Outcome:
    """What pytest's JUnit report says; nothing passed where it wrote none."""
    if not report.is_file():
        return Outcome(name, 0, 0, 0, exit_code)
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    counts = [
        [int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")] for suite in suites
    ]
    tests, failures, errors, skipped = (sum(column) for column in zip(*counts, strict=True))
    return Outcome(name, tests - failures - errors - skipped, failures + errors, skipped, exit_code)


def chosen(wanted: list[str]) -> list[Interpreter]:
    """The interpreters of these versions, all where none is named. Exits where one is not at hand."""
    at_hand = interpreters_at_hand()
    minors = {f"{one.version[0]}.{one.version[1]}": one for one in at_hand}
    if missing := [version for version in wanted if version not in minors]:
        sys.exit(f"Python {', '.join(missing)} is not at hand; at hand: {', '.join(minors)}")
    return [minors[version] for version in wanted] if wanted else at_hand


def main() -> int:
    """Run the tests on each interpreter and print a table. 1 where a test failed or none ran."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("version", nargs="*", help="as in 3.12; default: every interpreter at hand")
    parser.add_argument("--workers", type=int, default=2, help="processes of pytest, default 2")
    parser.add_argument("--pytest", action="append", default=[], help=f"instead of {' '.join(FOLDERS)}")
    options = parser.parse_args()
    interpreters = chosen(options.version)
    PLACE.mkdir(parents=True, exist_ok=True)
    bundle = toy_bundle()
    outcomes = [outcome_on(one, bundle, options.workers, options.pytest) for one in interpreters]
    print()
    for one in outcomes:
        print(f"Python {one.name:8} {one.passed:5} passed {one.failed:4} failed {one.skipped:4} skipped")
    return int(any(one.exit_code != 0 or one.passed == 0 for one in outcomes))


if __name__ == "__main__":
    sys.exit(main())
