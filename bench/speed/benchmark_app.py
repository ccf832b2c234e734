"""`python -m bench.speed.benchmark_app BUNDLE`: the segmentation stage beside OpenVINO's own tool, in turns.

Both run the same file with as many threads, one request at a time; the figure is the median over the rounds.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from edgebs.backends import Backend, open_backend
from edgebs.bundle import Bundle
from edgebs.errors import MissingDependency
from edgebs.loading import load_bundle
from edgebs.machine.console import print_json

ROUNDS = 5
SECONDS = 8


def compare(bundle: Bundle, threads: int) -> dict[str, object]:
    """Median milliseconds of each round, ours and the tool's, and the median of their ratios."""
    facts = bundle.manifest.networks["segment"]
    backend = open_backend(facts.backend, bundle.file("segment"), compute=facts.compute, threads=threads)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(_ours_ms(backend))
        theirs.append(_theirs_ms(bundle.file("segment"), facts.compute, threads))
    backend.close()
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "edgebs_ms": ours,
        "benchmark_app_ms": theirs,
        "ratio": statistics.median(ratios),
        "engine": backend.description,
    }


def _ours_ms(backend: Backend) -> float:
    feed = {name: _noise(spec.shape, spec.dtype) for name, spec in backend.inputs.items()}
    taken: list[float] = []
    ends_s = time.perf_counter() + SECONDS
    while time.perf_counter() < ends_s:
        started_s = time.perf_counter()
        backend.infer(feed)
        taken.append((time.perf_counter() - started_s) * 1e3)
    return statistics.median(taken)


def _noise(shape: tuple[int, ...], dtype: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    # What benchmark_app feeds, too; speed does not depend on the pictures here.
    return np.random.default_rng(0).integers(0, 255, shape).astype(dtype)


def _theirs_ms(file: Path, compute: str, threads: int) -> float:
    tool = shutil.which("benchmark_app", path=str(Path(sys.executable).parent)) or shutil.which(
        "benchmark_app"
    )
    if tool is None:
        raise MissingDependency("needs benchmark_app, which comes with: pip install 'edgebs[cpu]'")
    settings = (
        f"-d CPU -hint none -nstreams 1 -nireq 1 -api sync -infer_precision {compute} -nthreads {threads}"
    )
    command = [tool, "-m", str(file), *settings.split(), "-t", str(SECONDS)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Median:\s+([\d.]+)", said)
    if found is None:
        raise RuntimeError(f"benchmark_app printed no median: {said[-500:]}")
    return float(found.group(1))


if __name__ == "__main__":
    from edgebs.machine.cpu import usable_cores

    print_json(compare(load_bundle(sys.argv[1]), usable_cores()))
