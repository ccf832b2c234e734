"""The command line: every command parses, calls a function that Python can call too, and prints.

Heavy imports stand inside the commands, so that `--help` is instant and needs no extra.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""As in `typing`, which takes a while to import."""
if TYPE_CHECKING:
    from edgebs.cli.entry import app
    from edgebs.cli.export import TARGET_NAMES

__all__ = ["TARGET_NAMES", "app", "main"]


def main() -> None:
    """Run the command line; expected errors become one line on stderr and exit code 1, a signal 130."""
    from edgebs.machine import interrupts

    # Before anything else is imported: a signal during the imports ends the process as any other does.
    interrupts.install()
    try:
        from edgebs.cli.entry import run_app

        run_app()
    finally:
        interrupts.exit_if_asked()


def __getattr__(name: str) -> object:
    """`app` and `TARGET_NAMES`, imported at first use."""
    if name == "app":
        from edgebs.cli.entry import app

        return app
    if name == "TARGET_NAMES":
        from edgebs.cli.export import TARGET_NAMES

        return TARGET_NAMES
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
