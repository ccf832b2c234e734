"""Groups of options: dataclasses whose fields are the options of every command that takes a group.

A command names a group by a parameter of that type. typer reads options from a command's signature, so
`takes_groups` puts the fields of the group in place of the parameter, and passes the command one object.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from edgebs.cli.options import (
    MOST,
    Depth,
    DisPreset,
    Hold,
    Intervals,
    Maps,
    MaxMagnitude,
    NominalFps,
    Norm,
    References,
    Seed,
    Width,
    given,
    intervals_of,
    option,
    refuse_given,
)
from edgebs.nvidia import DeviceOptions, Graphs

Command = Callable[..., None]


def takes_groups(command: Command) -> Command:
    """Replace each parameter of a group's type by the options of the group."""
    declared = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {
        name: p.annotation for name, p in declared.parameters.items() if is_dataclass(p.annotation)
    }
    # By keyword alone: options with defaults may then stand before arguments without.
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, own in declared.parameters.items()
        for parameter in (_parameters(groups[name]) if name in groups else [own])
    ]

    @functools.wraps(command)
    def parsed(**values: Any) -> None:
        made = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **made)

    parsed.__signature__ = declared.replace(parameters=parameters)  # type: ignore[attr-defined]
    parsed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return parsed


def _parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(field.name, keyword, default=field.default, annotation=hints[field.name])
        for field in fields(group)
    ]


def names_of(group: Any) -> tuple[str, ...]:
    """The parameters of a group's options."""
    return tuple(field.name for field in fields(group))


_plans = functools.partial(option, rich_help_panel="Bundles of TensorRT plans")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadingOptions:
    """How plans are loaded on an NVIDIA GPU."""

    device: Annotated[int, _plans("Position of the GPU, as CUDA counts.", 0, MOST)] = 0
    host_code: Annotated[
        bool,
        _plans(
            "Let plans bring native code for the CPU. Only for plans that you built yourself.",
            names=("--host-code",),
        ),
    ] = False
    lean: Annotated[
        bool, _plans("Load version-compatible plans by the package tensorrt_lean.", names=("--lean",))
    ] = False
    lean_runtime: Annotated[
        Path | None,
        _plans("Load version-compatible plans by this library: libnvinfer_lean.so.10 of TensorRT, say."),
    ] = None

    def options(self, **others: Any) -> DeviceOptions:
        """The value that the runtime takes. Raises typer.BadParameter where options exclude each other."""
        try:
            return DeviceOptions(
                device=self.device,
                host_code=self.host_code,
                lean=self.lean,
                lean_runtime=self.lean_runtime,
                **others,
            )
        except ValueError as cause:
            raise typer.BadParameter(str(cause), param_hint="--lean" if self.lean else "--device") from cause


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningOptions(LoadingOptions):
    """How plans are loaded and run on an NVIDIA GPU."""

    no_overlap: Annotated[
        bool,
        _plans(
            "One stream: cue and segmentation share scratch memory, and wait for each other.",
            names=("--no-overlap",),
        ),
    ] = False
    graphs: Annotated[
        Graphs, _plans("CUDA graphs: auto (where a capture succeeds), off, or required (else an error).")
    ] = Graphs.AUTO

    def options(self, **others: Any) -> DeviceOptions:
        return LoadingOptions.options(self, overlap=not self.no_overlap, graphs=self.graphs, **others)


def refuse_idle_options(context: typer.Context, bundles: Sequence[str | Path]) -> None:
    """Refuse options without effect: of plans on a CPU, of TensorRT for RTX plans, CPU threads on a GPU."""
    from edgebs.bundle import bundle_path, read_manifest

    typed = given(context, names_of(RunningOptions))
    threads = given(context, ("threads",))
    if not typed and not threads:
        return
    manifests = [read_manifest(bundle_path(bundle)) for bundle in bundles]
    names = ", ".join(map(str, bundles))
    on_device = [manifest.runs_on_device for manifest in manifests]
    if all(on_device):
        refuse_given(context, threads, f"the networks of {names} run on a GPU")
    if not any(on_device):
        refuse_given(context, typed, f"nothing of {names} runs on a GPU")
    backends = {facts.backend for manifest in manifests for facts in manifest.networks.values()}
    if "tensorrt" not in backends:
        refuse_given(context, ("lean", "lean_runtime"), f"TensorRT-RTX alone loads the plans of {names}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """A network and its cue, as `edgebs export` and `edgebs train` build them."""

    width: Width = None
    depth: Depth = None
    norm: Norm = ""
    intervals: Intervals = None
    max_magnitude: MaxMagnitude = None
    nominal_fps: NominalFps = None
    references: References = None
    maps: Maps = None
    hold: Hold = None
    dis_preset: DisPreset = ""
    seed: Seed = 0

    def values(self, without: Iterable[str] = ()) -> dict[str, Any]:
        """Keyword arguments of `export.models.request.ModelRequest`."""
        found = {name: getattr(self, name) for name in names_of(type(self)) if name not in set(without)}
        return {**found, "intervals": intervals_of(self.intervals)}
