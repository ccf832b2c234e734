"""How plans run on an NVIDIA GPU, as options that are declared once for every command that runs a bundle."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edgebs.cli.parsing import MOST, given, refuse_given
from edgebs.nvidia.options import DeviceOptions, Graphs

PANEL = "Bundles of TensorRT plans"
Command = Callable[..., None]


def _device_options(
    device: Annotated[
        int, typer.Option(min=0, max=MOST, help="Position of the GPU, as CUDA counts.", rich_help_panel=PANEL)
    ] = 0,
    no_overlap: Annotated[
        bool,
        typer.Option(
            "--no-overlap",
            help="One stream: cue and segmentation share scratch memory, and wait for each other.",
            rich_help_panel=PANEL,
        ),
    ] = False,
    graphs: Annotated[
        Graphs,
        typer.Option(
            help="CUDA graphs: auto (where a capture succeeds), off, or required (else an error).",
            rich_help_panel=PANEL,
        ),
    ] = Graphs.AUTO,
    host_code: Annotated[
        bool,
        typer.Option(
            "--host-code",
            help="Let plans bring native code for the CPU. Only for plans that you built yourself.",
            rich_help_panel=PANEL,
        ),
    ] = False,
    lean: Annotated[
        bool,
        typer.Option(
            "--lean",
            help="Load version-compatible plans by the package tensorrt_lean.",
            rich_help_panel=PANEL,
        ),
    ] = False,
    lean_runtime: Annotated[
        Path | None,
        typer.Option(
            help="Load version-compatible plans by this library: libnvinfer_lean.so.10 of TensorRT, say.",
            rich_help_panel=PANEL,
        ),
    ] = None,
) -> DeviceOptions:
    try:
        return DeviceOptions(
            device=device,
            overlap=not no_overlap,
            graphs=graphs,
            host_code=host_code,
            lean=lean,
            lean_runtime=lean_runtime,
        )
    except ValueError as cause:
        raise typer.BadParameter(str(cause), param_hint="--lean" if lean else "--device") from cause


OPTIONS = inspect.signature(_device_options, eval_str=True).parameters
RUNNING = tuple(OPTIONS)
"""All of them."""
LOADING = ("device", "host_code", "lean", "lean_runtime")
"""Those that matter before a plan is run."""
OF_TENSORRT = ("lean", "lean_runtime")
"""Those that matter to plans of TensorRT, and not to those of TensorRT-RTX."""


def takes_device_options(*names: str) -> Callable[[Command], Command]:
    """Replace a command's parameter `device` by the options `names`; it is given what they make.

    typer reads the options of a command from its signature, and knows no groups of them.
    """

    def replaced(command: Command) -> Command:
        declared = inspect.signature(command, eval_str=True)
        # By keyword alone: options with defaults may then stand before arguments without.
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, own in declared.parameters.items()
            for parameter in ([OPTIONS[name] for name in names] if name == "device" else [own])
        ]

        @functools.wraps(command)
        def parsed(**values: Any) -> None:
            chosen = {name: values.pop(name) for name in names}
            command(**values, device=_device_options(**chosen))

        parsed.__signature__ = declared.replace(parameters=parameters)  # type: ignore[attr-defined]
        parsed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return parsed

    return replaced


def refuse_without_plans(context: typer.Context, bundles: Sequence[str | Path]) -> None:
    """Refuse these options where they would do nothing: no bundle runs on a GPU, or by what they choose."""
    from edgebs.bundle.folder import read_manifest
    from edgebs.bundle.shipped import bundle_path

    typed = given(context, OPTIONS)
    if not typed:
        return
    manifests = [read_manifest(bundle_path(bundle)) for bundle in bundles]
    names = ", ".join(map(str, bundles))
    if not any(manifest.runs_on_device for manifest in manifests):
        refuse_given(context, typed, f"nothing of {names} runs on a GPU")
    backends = {facts.backend for manifest in manifests for facts in manifest.networks.values()}
    if "tensorrt" not in backends:
        refuse_given(context, OF_TENSORRT, f"TensorRT-RTX alone loads the plans of {names}")
