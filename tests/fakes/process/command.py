"""The command line in this process."""

from __future__ import annotations

import functools
import sys

import pytest
import typer.main

from edgebs.cli import main

EXPORTER = {"export", "import-weights", "parity", "train"}
"""Commands that need PyTorch. Where it is missing their tests are skipped (`make test-pythons`)."""
_parser = functools.cache(typer.main.get_command)
"""Built once: that takes longer than to parse and run most of what the tests type."""


class Command:
    """Calls `edgebs` with arguments; what it said is caught."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setattr(typer.main, "get_command", _parser)

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        if EXPORTER.intersection(arguments[:1]):
            pytest.importorskip("torch", reason="needs pip install 'edgebs[export]'")
        self._monkeypatch.setattr(sys, "argv", ["edgebs", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = self._capsys.readouterr()
        code = stopped.value.code
        assert isinstance(code, int)
        return code, said.out, said.err
