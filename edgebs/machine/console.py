"""How the command line speaks: results on stdout, progress and notes on stderr."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgebs.errors import EdgebsError, OptionError
from edgebs.text import json_text, make_printable, without_secrets

if TYPE_CHECKING:
    from rich.table import Table


Log = Callable[[str], None]
"""Receives one line per step of a long job."""
Progress = Callable[[int, int], None]
"""Receives (done, total); total is 0 if it is unknown."""
ProgressBar = Callable[[str], AbstractContextManager[Progress]]
"""Opens a progress bar with a title."""

_CONTROL = re.compile(
    r"\n(?!  - )|[^\S \n]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def prepare_streams() -> None:
    """Let stdout and stderr take every file name, in every locale, and tracebacks hide what is secret."""
    make_printable(sys.stdout)
    make_printable(sys.stderr)
    sys.excepthook = _print_traceback


def configure_log(level: int) -> None:
    """Log to stderr from `level` on, without the secrets of addresses."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # The whole, not the message alone: tracebacks repeat what libraries were given.
        return without_secrets(super().format(record))


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    note("".join(traceback.format_exception(kind, error, trace)).rstrip())


def print_json(data: Any) -> None:
    """One JSON object and nothing else on stdout."""
    sys.stdout.write(json_text(data, allow_nan=False))


def print_line(text: str) -> None:
    """A line of a result, on stdout."""
    sys.stdout.write(without_secrets(text) + "\n")


def note(text: str) -> None:
    """A line about what is going on, on stderr."""
    sys.stderr.write(without_secrets(text) + "\n")
    sys.stderr.flush()


@contextmanager
def errors_in_one_line(speaker: str = "") -> Iterator[None]:
    """End the program with one line on stderr for an expected error: exit code 1, or 2 for wrong usage.

    speaker: what the line begins with, "edgebs: ".
    """
    code = 1
    try:
        yield
    except EdgebsError as error:
        reason = str(error)
        code = 2 if isinstance(error, OptionError) else 1
    except OSError as error:
        # Whatever a library could not read or write and no function of ours foresaw.
        where = f"{error.filename}: " if error.filename else ""
        reason = f"{where}{error.strerror or error}. Check path, permissions and free space."
    except UnicodeEncodeError as error:
        # A name that was typed or read as text, and that this locale has no bytes for.
        reason = (
            f"'{error.object}' cannot be a file name here: the locale knows {error.encoding} only. "
            "Set LC_ALL=C.UTF-8, or PYTHONUTF8=1."
        )
    else:
        return
    note(f"{speaker}error: {_in_one_line(reason)}")
    sys.exit(code)


def _in_one_line(reason: str) -> str:
    """The message with the control characters of file names escaped; lists keep their lines."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], reason)


def print_table(table: Table) -> None:
    """A table for people, on stdout; as wide as it needs where stdout is no terminal."""
    from rich.console import Console

    # Without markup: [x] in the name of a bundle or a sequence is its name, not a colour.
    width = None if sys.stdout.isatty() else 160
    Console(file=sys.stdout, width=width, soft_wrap=False, markup=False, emoji=False).print(table)


@contextmanager
def no_bar(_title: str) -> Iterator[Progress]:
    """A `ProgressBar` that draws nothing."""
    yield lambda _done, _total: None


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """Yield a callback (done, total) that draws a bar on stderr; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(file=sys.stderr)
    with RichProgress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(without_secrets(what), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
