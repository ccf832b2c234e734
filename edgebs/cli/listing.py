"""What there is: `edgebs inspect`, `edgebs doctor` and `edgebs models`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgebs.cli.groups import LoadingOptions, names_of, refuse_idle_options, takes_groups
from edgebs.cli.options import Json, Threads, option, refuse_given
from edgebs.machine.console import print_json, print_line, print_table
from edgebs.nvidia import DeviceOptions


@takes_groups
def inspect(
    context: typer.Context,
    plans: LoadingOptions,
    bundle: Annotated[str, typer.Argument(help="Bundle folder or shipped model.")],
    layers: Annotated[
        bool, option("List each network's layers as its runtime runs and times them.", names=("--layers",))
    ] = False,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Verify a bundle and say what is in it."""
    from bench.tables import bundle_table
    from edgebs.bundle import bundle_path, verify_files
    from edgebs.machine.cpu import this_cpu

    if layers:
        refuse_idle_options(context, [bundle])
        _print_layers(bundle_path(bundle), threads, plans.options(), json)
        return
    refuse_given(context, names_of(LoadingOptions), "no engine is loaded without --layers")
    manifest = verify_files(bundle_path(bundle)).manifest.to_json()
    cpu = this_cpu()
    if json:
        print_json({**manifest, "cpu": cpu.to_json()})
    else:
        print_table(bundle_table(manifest, cpu))


def _print_layers(bundle: Path, threads: int, device: DeviceOptions, json: bool) -> None:
    from bench.tables import layer_table
    from edgebs.loading import load_bundle
    from engines.layers import layers_of_network

    loaded = load_bundle(bundle, device=device.device, lean=device.lean)  # also refuses a plan of another GPU
    found = {
        name: layers_of_network(loaded.file(name), facts, threads, device)
        for name, facts in loaded.manifest.networks.items()
    }
    if json:
        print_json({name: [layer.to_json() for layer in layers] for name, layers in found.items()})
        return
    for name, layers in found.items():
        print_table(layer_table(f"{loaded.manifest.name}, network {name}", layers))


def doctor(json: Json = False) -> None:
    """Say what is installed, what can be built and run here, and how to get what is missing."""
    from edgebs.doctor import diagnose, format_report
    from engines import Target

    report = diagnose(Target)
    if json:
        print_json(report.to_json())
    else:
        print_line(format_report(report))
    raise typer.Exit(report.exit_code)


def models(json: Json = False) -> None:
    """List the models that can be exported, the flows, the bundles shipped inside, and which to take."""
    from export.models import models_listing

    listing = models_listing()
    if json:
        print_json(listing)
        return
    from bench.tables import choice_table, models_table

    print_table(models_table(listing))
    choices = choice_table(listing)
    if choices is not None:
        print_table(choices)
