"""The application: its commands in the order of `--help`, how it starts, and how errors end it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edgebs.cli.export import export
from edgebs.cli.listing import doctor, inspect, models
from edgebs.cli.measurement import bench, evaluate, parity
from edgebs.cli.preparation import calibrate, import_weights
from edgebs.cli.run import run
from edgebs.cli.train import train
from edgebs.console import errors_in_one_line, print_line
from edgebs.version import __version__

app = typer.Typer(
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
    import logging

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(message)s",
        stream=sys.stderr,
    )
