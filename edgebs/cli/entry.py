"""The application: its commands in the order of `--help`, how it starts, and how errors end it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from edgebs.cli.export import export
from edgebs.cli.listing import doctor, inspect, models
from edgebs.cli.measurement import bench, evaluate, parity
from edgebs.cli.preparation import calibrate, import_weights
from edgebs.cli.run import run
from edgebs.cli.train import train
from edgebs.machine.console import configure_log, errors_in_one_line, prepare_streams, print_line
from edgebs.text import without_secrets
from edgebs.version import __version__

_USAGE_ERROR: Any = typer.BadParameter.__base__
"""click's UsageError: newer versions of typer bring their own click."""


class _Commands(TyperGroup):
    """The commands. Their usage errors show the value that was typed, without secrets."""

    def invoke(self, ctx: Any) -> Any:
        """Parse and run the command that was typed."""
        try:
            return super().invoke(ctx)
        except _USAGE_ERROR as error:
            error.message = without_secrets(_with_value(error))
            raise


def _with_value(error: Any) -> str:
    """The message of a usage error, with the value: typer's messages name only the option and its limit."""
    names = getattr(getattr(error, "param", None), "opts", ())
    value = next((word for name in names for word in _typed(name, sys.argv[1:])), None)
    return error.message if value is None or value in error.message else f"{error.message}, got {value!r:.60}"


def _typed(name: str, words: Sequence[str]) -> Iterator[str]:
    """The values of option `name` on a command line, the last one first."""
    for place in reversed(range(len(words))):
        if words[place].startswith(f"{name}="):
            yield words[place].removeprefix(f"{name}=")
        elif words[place] == name and place + 1 < len(words):
            yield words[place + 1]


app = typer.Typer(
    cls=_Commands,
    name="edgebs",
    help="Background subtraction networks: PyTorch to ONNX, OpenVINO and TensorRT engines, pipelined.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(export)
app.command()(train)
app.command("import-weights")(import_weights)
app.command()(calibrate)
app.command()(bench)
app.command()(parity)
app.command("eval")(evaluate)
app.command()(run)
app.command()(inspect)
app.command()(doctor)
app.command()(models)


def run_app() -> None:
    """Run the command line; expected errors become one line on stderr and exit code 1."""
    prepare_streams()
    with errors_in_one_line("edgebs: "):
        app()


def _version(value: bool) -> None:
    if value:
        print_line(__version__)
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step on stderr.")] = False,
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    configure_log(logging.INFO if verbose else logging.WARNING)
