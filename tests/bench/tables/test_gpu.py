"""bench/tables.py: what a GPU's record and an automatic choice look like to people."""

from __future__ import annotations

from typing import Any

from fakes.networks.backends import fake_manifest
from rich.console import Console

from bench.tables import bundle_table, fps_table

STAGES = dict.fromkeys(("read", "pre", "cue", "segment", "post"), 1.0)
RUN = {
    "bundle": "edge-dis-gpu-fp16", "mode": "pipelined", "trained": True, "fps": 400.0, "peak_rss_mb": 300.0,
    "times_baseline": 20.0, "times_paper": None, "stages_ms": STAGES,
    "latency_ms": {"p50": 5.0, "p90": 6.0, "p99": 7.0},
}  # fmt: skip
RECORD = {
    "size": [360, 640], "repeats": 5, "runs": [RUN], "baseline": None, "source": "street.avi", "warnings": [],
    "paper": {"fps": 5.33}, "machine": {"cpu": "Cortex-A78AE", "cores": 6, "load_average": 0.5},
}  # fmt: skip


def printed(table: Any) -> str:
    console = Console(width=220)
    with console.capture() as said:
        console.print(table)
    return said.get()


def test_device_time_trtexec_and_the_cards_state_stand_below_the_table() -> None:
    gpu = {
        "what": "Jetson Orin Nano by tegrastats",
        "power_w": {"p50": 14.6, "max": 15.0, "min": 7.0},
        "clock_mhz": {"p50": 612.0, "max": 612.0, "min": 305.0},
    }
    times = {"segment": {"tool": "trtexec", "gpu_compute_ms": {"p50": 1.234}}, "cue": {"failure": "magicTag"}}
    record = {
        **RECORD,
        "runs": [{**RUN, "device_ms": {"upload": 0.05, "segment": 1.3}}],
        "trtexec": {"edge-dis-gpu-fp16": times},
        "gpu": gpu,
    }
    text = printed(fps_table(record))
    assert "edge-dis-gpu-fp16 pipelined, device time by events: upload 0.05 ms, segment 1.30 ms" in text
    assert "edge-dis-gpu-fp16, segment by trtexec: 1.23 ms" in text
    assert "edge-dis-gpu-fp16, cue by trtexec: magicTag" in text
    assert "Jetson Orin Nano by tegrastats: 612 MHz, 15 W" in text


def test_a_record_of_a_cpu_says_nothing_of_gpus() -> None:
    assert "device time" not in printed(fps_table(RECORD))


def test_inspect_says_what_auto_chose_and_why() -> None:
    why = {
        "by": "times measured in turns, and parity",
        "networks": {
            "segment": {
                "chosen": "fp16",
                "times_ms": {"fp16": 5.0, "int8": 5.1},
                "not_chosen": {"int8": "not faster than FP16: 5.1 ms against 5 ms"},
                "layers_in_floating_point": ["/up/Conv"],
            }
        },
    }
    facts = {"sha256": "0" * 64, "bytes": 1}
    manifest = fake_manifest(choice=why, files={"segment.onnx": facts}).to_json()
    text = printed(bundle_table(manifest))
    assert "by times measured in turns, and parity" in text
    assert "segment fp16 (fp16 5.00 ms, int8 5.10 ms), in floating point: /up/Conv" in text
    assert "not int8: not faster than FP16" in text
    assert "precision chosen" not in printed(bundle_table({**manifest, "choice": None}))
