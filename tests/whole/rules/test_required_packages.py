"""tests/fakes/process/required_packages.py: `make test` cannot pass by skipping for a missing package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
CASES = """
import pytest
def test_of_a_missing_package():
    pytest.importorskip("no_such_package", reason="not here")
def test_of_one_that_is_there():
    assert pytest.importorskip("json").loads("1") == 1
"""


@pytest.mark.parametrize(
    ("required", "exit_code", "outcome"),
    [("1", 1, "1 failed, 1 passed"), ("", 0, "1 passed, 1 skipped")],
)
def test_a_missing_package_fails_where_all_are_required_and_skips_elsewhere(
    tmp_path: Path, required: str, exit_code: int, outcome: str
) -> None:
    (tmp_path / "test_cases.py").write_text(CASES)
    (tmp_path / "conftest.py").write_text(
        "from fakes.process import required_packages\nrequired_packages.apply()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        env={**os.environ, "EDGEBS_REQUIRE_PACKAGES": required, "PYTHONPATH": str(TESTS)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, outcome in done.stdout) == (exit_code, True), done.stdout
    assert ("no_such_package cannot be imported" in done.stdout) is (required == "1")


def test_this_run_of_make_test_requires_them_and_conftest_applies_the_rule() -> None:
    makefile = (TESTS.parent / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^test: .*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert "EDGEBS_REQUIRE_PACKAGES=1 $(BIN)/python -m pytest" in recipe
    is_strict = pytest.importorskip.__name__ == "import_or_fail"
    assert is_strict == (os.environ.get("EDGEBS_REQUIRE_PACKAGES") == "1")
