"""What a TensorRT plan was built for, and whether that is what is here.

A plan loads only in the same TensorRT (to the build number; a version-compatible plan also in later ones),
on the same operating system and on a GPU of the same compute capability, and loading it runs native code:
compare before reading it.
"""

from __future__ import annotations

import itertools
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgebs.errors import BundleError, EngineMismatch

AHEAD_OF_TIME = ("7.5", "8.6", "8.9", "12.0")
"""Compute capabilities that are targets of their own (engines/__init__.py)."""
ON_THE_GPU = ("8.0", "12.1")
"""Those that TensorRT-RTX builds for as well, with the GPU at hand: A100 and GB10, say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFacts:
    """Where a plan was built for, or what is here to load one."""

    module: str
    """The Python module whose runtime it is: tensorrt or tensorrt_rtx."""
    tensorrt: str
    """Its version to the build number, "10.3.0.30"; empty where it is not installed."""
    compute_capability: str
    """ "8.7"; empty where there is no GPU."""
    platform: str
    """ "linux-x86_64" """
    gpu: str = ""
    """The GPU's name; empty if the plan was built without one."""
    version_compatible: bool = False
    """Whether the plan was built to be loaded by later versions too, by their lean runtime."""
    no_gpu: str = ""
    """The reason why there is no GPU here; not used for plans."""

    def to_json(self) -> dict[str, Any]:
        """The form written into manifest.json under `build`."""
        dropped = {"no_gpu"} if self.version_compatible else {"no_gpu", "version_compatible"}
        return {key: value for key, value in asdict(self).items() if key not in dropped}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PlanFacts:
        """The inverse of `to_json`. Raises BundleError naming the missing key."""
        keys = ("module", "tensorrt", "compute_capability", "platform")
        missing = [key for key in keys if not data.get(key)]
        if missing:
            raise BundleError(
                f"the manifest does not say for what its plan was built: no {', '.join(missing)}"
            )
        return cls(
            **{key: str(data[key]) for key in keys},
            gpu=str(data.get("gpu") or ""),
            version_compatible=bool(data.get("version_compatible", False)),
        )


def platform_name() -> str:
    """Operating system and processor, "linux-x86_64"."""
    return f"{platform.system()}-{platform.machine()}".lower()


def check_plan_fits(build: PlanFacts, here: PlanFacts, *, where: str, target: str) -> None:
    """Raise EngineMismatch unless a plan built for `build` can load `here`.

    where: the bundle or plan, for messages. target: what it was exported for, for the repair.
    """
    if _same(build, here):
        return
    raise EngineMismatch(
        f"{where} was built for {_describe(build)}; here {_spoken_here(here)}. {_repair(build, here, target)}"
    )


def _same(build: PlanFacts, here: PlanFacts) -> bool:
    if (build.compute_capability, build.platform) != (here.compute_capability, here.platform):
        return False
    return build.tensorrt == here.tensorrt or (
        build.version_compatible and _is_later(numbers(build.tensorrt), numbers(here.tensorrt))
    )


def _is_later(built: tuple[int, ...], here: tuple[int, ...]) -> bool:
    """Whether TensorRT `here` loads version-compatible plans of `built`: up to the next major version."""
    majors = [8, 10, 11]
    if not here or built < (8, 6) or here < built or not {built[0], here[0]} <= set(majors):
        return False
    return majors.index(here[0]) - majors.index(built[0]) <= 1


def numbers(version: str) -> tuple[int, ...]:
    """ "10.3.0.30" as (10, 3, 0, 30); empty for no version, and up to what is no number."""
    parts = itertools.takewhile(str.isdigit, version.split("."))
    return tuple(int(part) for part in parts)


def _describe(facts: PlanFacts) -> str:
    version = f"{facts.module} {facts.tensorrt}"
    return f"compute capability {facts.compute_capability} with {version} on {facts.platform}"


def _spoken_here(here: PlanFacts) -> str:
    gpu = f"the GPU is {here.compute_capability}" if here.compute_capability else f"is no GPU ({here.no_gpu})"
    version = f"{here.module} {here.tensorrt}" if here.tensorrt else f"no {here.module}"
    return f"{gpu}, with {version} on {here.platform}"


def _repair(build: PlanFacts, here: PlanFacts, target: str) -> str:
    if not here.compute_capability:
        return "Run it on a machine with that GPU, or export for this one: edgebs export ... --target cpu"
    if build.compute_capability == here.compute_capability and build.platform == here.platform:
        if build.module == "tensorrt_rtx":
            return f"Install the version it was built with: pip install tensorrt_rtx=={build.tensorrt}"
        return "Export it again on this machine: edgebs export ... --target gpu"
    wanted = "gpu"
    if target != "gpu" and here.compute_capability in AHEAD_OF_TIME:
        wanted = f"sm{here.compute_capability.replace('.', '')}"
    elif target != "gpu" and here.compute_capability in ON_THE_GPU:
        wanted = "rtx"
    return f"Export it for this machine: edgebs export ... --target {wanted}"
