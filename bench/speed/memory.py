"""`python -m bench.speed.memory BUNDLE SOURCE FRAMES THREADS DEVICE RANGE`: memory of a run, as JSON.

DEVICE: the fields of edgebs.DeviceOptions as JSON. RANGE: [LOW, HIGH] of the source's values, or null.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path

from edgebs.loading import load
from edgebs.nvidia import DeviceOptions
from edgebs.text import json_text
from edgebs.video.bit_depth import ValueRange
from edgebs.video.open import open_source


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


def json_from_device(options: DeviceOptions) -> str:
    """For the argument DEVICE."""
    return json.dumps(asdict(options), default=str)


def device_from_json(text: str) -> DeviceOptions:
    """The inverse of `json_from_device`."""
    fields = json.loads(text)
    library = fields.pop("lean_runtime")
    return DeviceOptions(**fields, lean_runtime=None if library is None else Path(library))


def measure(
    bundle: str,
    source: str,
    frames: int,
    threads: int,
    device: DeviceOptions,
    value_range: ValueRange | None = None,
) -> dict[str, float]:
    """Peak over the life of the process, and what is resident while the last frames run, in MB."""
    steady = 0.0
    with load(bundle, threads=threads, device=device) as pipeline:
        opened = open_source(source, loop=True, value_range=value_range)
        for _result in pipeline.run(opened, frames=frames):
            steady = resident_mb()
    return {"peak_rss_mb": round(peak_mb(), 1), "steady_rss_mb": round(steady, 1)}


if __name__ == "__main__":
    name, video, *numbers, options, values = sys.argv[1:]
    count, cores = map(int, numbers)
    found = measure(name, video, count, cores, device_from_json(options), json.loads(values))
    sys.stdout.write(json_text(found))
