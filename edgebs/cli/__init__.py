"""The command line: every command parses, calls a function that Python can call too, and prints.

Heavy imports stand inside the commands, so that `--help` is instant and needs no extra.
"""

from __future__ import annotations

from edgebs.cli.entry import app, main
from edgebs.cli.export import TARGET_NAMES

__all__ = ["TARGET_NAMES", "app", "main"]
