"""How the command line speaks: results on stdout, progress and notes on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edgebs.errors import EdgebsError

if TYPE_CHECKING:
    from rich.table import Table


def print_json(data: Any) -> None:
    """One JSON object and nothing else on stdout."""
    sys.stdout.write(json.dumps(data, indent=2, allow_nan=False, default=str) + "\n")


def print_line(text: str) -> None:
    """A line of a result, on stdout."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """A line about what is going on, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextmanager
def errors_in_one_line(speaker: str = "") -> Iterator[None]:
    """End the program with one line on stderr and exit code 1 where an expected error arrives.

    speaker: what the line begins with, "edgebs: ".
    """
    try:
        yield
    except EdgebsError as error:
        reason = str(error)
    except OSError as error:
        # Whatever a library could not read or write and no function of ours foresaw.
        where = f"{error.filename}: " if error.filename else ""
        reason = f"{where}{error.strerror or error}. Check path, permissions and free space."
    else:
        return
    note(f"{speaker}error: {reason}")
    sys.exit(1)


def print_table(table: Table) -> None:
    """A table for people, on stdout; as wide as it needs where stdout is no terminal."""
    from rich.console import Console

    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160, soft_wrap=False).print(table)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback (done, total) that draws a bar on stderr; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
