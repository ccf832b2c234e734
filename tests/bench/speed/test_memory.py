"""bench/speed/memory.py: what a fresh process is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.speed.memory import device_from_json, json_from_device
from edgebs.nvidia import DeviceOptions, Graphs


@pytest.mark.parametrize(
    "options",
    [
        DeviceOptions(),
        DeviceOptions(device=1, overlap=False, graphs=Graphs.REQUIRED, timed=True, lean_runtime=Path("l.so")),
    ],
)
def test_another_process_runs_plans_on_the_same_gpu_in_the_same_way(options: DeviceOptions) -> None:
    assert device_from_json(json_from_device(options)) == options
