"""`python -m bench.memory BUNDLE SOURCE FRAMES THREADS`: run a bundle, print the memory it took as JSON."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from edgebs.loading import load
from edgebs.sources import open_source


def resident_mb() -> float:
    """Memory resident now, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def peak_mb() -> float:
    """The most memory that this process has had resident, in MB.

    Not getrusage: its ru_maxrss survives exec, so a small process reports that of the large one it came from.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kib) * 1024 / 1e6


def measure(bundle: str, source: str, frames: int, threads: int) -> dict[str, float]:
    """Peak over the life of the process, and what is resident while the last frames run, in MB."""
    steady = 0.0
    with load(bundle, threads=threads) as pipeline:
        for _result in pipeline.run(open_source(source, loop=True), frames=frames):
            steady = resident_mb()
    return {"peak_rss_mb": round(peak_mb(), 1), "steady_rss_mb": round(steady, 1)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
