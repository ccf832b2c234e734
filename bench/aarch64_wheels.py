"""`python -m bench.aarch64_wheels`: whether every runtime dependency has a wheel for the Jetsons.

pip resolves each requirement of the installed edgebs, with its dependencies, for the operating system and
Python of a JetPack, without an installation. A requirement that needs a compiler fails.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from edgebs.files import scratch_folder
from edgebs.machine.console import note, print_line

RUNTIME_EXTRAS = ("cpu", "onnx", "headless", "cuda")
"""Extras for an appliance, beside the requirements of edgebs itself. TensorRT comes with JetPack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JetPack:
    """The facts that decide which wheels fit a Jetson."""

    name: str
    python: str
    """ "3.10" """
    glibc: tuple[int, int]
    pins: tuple[str, ...] = ()
    """Versions that its CUDA allows."""

    def tags(self) -> list[str]:
        """Platform tags of wheels that fit, the newest first."""
        minor = range(self.glibc[1], 16, -1)
        return [f"manylinux_2_{number}_aarch64" for number in minor] + ["manylinux2014_aarch64"]


JETPACKS = (
    JetPack(name="JetPack 6 (Ubuntu 22.04)", python="3.10", glibc=(2, 35), pins=("cuda-bindings>=12.6,<13",)),
    JetPack(name="JetPack 7 (Ubuntu 24.04)", python="3.12", glibc=(2, 39)),
)


def runtime_requirements(requires: Sequence[str]) -> list[str]:
    """Those of `requires` (importlib.metadata) that an appliance may need, without their markers."""
    chosen = []
    for line in requires:
        requirement, _, marker = line.partition(";")
        extra = re.search(r"""extra == ["'](\w+)["']""", marker)
        if extra is None or extra[1] in RUNTIME_EXTRAS:
            chosen.append(requirement.strip())
    return list(dict.fromkeys(chosen))


def wheels_for(requirement: str, jetpack: JetPack) -> list[str]:
    """File names of the wheels that pip would install; none, with pip's reason noted, if one is missing."""
    name = re.split(r"[<>=!~\[ ]", requirement)[0]
    pins = [pin for pin in jetpack.pins if re.split(r"[<>=!~]", pin)[0] == name]
    with scratch_folder() as folder:
        report = folder / "report.json"
        platforms = [word for tag in jetpack.tags() for word in ("--platform", tag)]
        command = [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"),
            *("--only-binary=:all:", "--implementation", "cp", "--python-version", jetpack.python),
            *("--target", str(folder), "--report", str(report), *platforms, requirement, *pins),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            note(f"{jetpack.name}: {requirement}: {done.stderr.strip()[-300:]}")
            return []
        return wheels_in(json.loads(report.read_text(encoding="utf-8")))


def wheels_in(report: dict[str, Any]) -> list[str]:
    """File names in pip's installation report, the requested one first."""
    entries = sorted(report["install"], key=lambda entry: not entry.get("requested", False))
    return [str(entry["download_info"]["url"]).rpartition("/")[2].partition("#")[0] for entry in entries]


def table(requirements: Sequence[str]) -> str:
    """Markdown with one row per requirement and one column per JetPack."""
    rows = [
        "| requirement | " + " | ".join(f"{j.name}, cp{j.python.replace('.', '')}" for j in JETPACKS) + " |"
    ]
    rows.append("|---" * (len(JETPACKS) + 1) + "|")
    for requirement in requirements:
        cells = [_cell(wheels_for(requirement, jetpack)) for jetpack in JETPACKS]
        rows.append(f"| `{requirement}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(wheels: Sequence[str]) -> str:
    if not wheels:
        return "**none**"
    first = "-".join(wheels[0].split("-")[:2])
    kind = "any" if wheels[0].endswith("none-any.whl") else "aarch64"
    return f"{first} ({kind}), with {len(wheels) - 1} more" if len(wheels) > 1 else f"{first} ({kind})"


if __name__ == "__main__":
    print_line(table(runtime_requirements(metadata.requires("edgebs") or [])))
    print_line(f"\nResolved by pip on {time.strftime('%Y-%m-%d')}, nothing installed.")
