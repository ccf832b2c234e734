"""How many CPU threads a network gets where the user leaves that open."""

from __future__ import annotations

import os

from edgebs.bundle.manifest import Manifest

LIGHT_GFLOP = 6.0
"""Of an INT8 network and a core: DIS flow takes about as long on another core."""
FLOATING_POINT_COST = 3.0
"""Times as long as in INT8."""


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_beside_flow(manifest: Manifest, cores: int) -> int:
    """CPU threads of a bundle's network; 0 for every core.

    DIS flow of the next frame takes a core while the network runs. A network that the others finish about as
    soon is left to those: with a thread for each core it waits for the one that the flow holds. On 2 cores
    (AMD EPYC, Zen 5) edge in INT8 then gave 134 fps (129 to 135 in eight runs) for 124 (112 to 132), and 79
    for 98 where a frame is finished before the next begins; in FP32, three times as long, it would lose.
    """
    segment = manifest.networks["segment"]
    if manifest.cue.provider != "dis" or cores < 2:
        return 0
    cost = segment.gflop * (1.0 if segment.precision == "int8" else FLOATING_POINT_COST)
    return cores - 1 if cost <= LIGHT_GFLOP * (cores - 1) else 0
