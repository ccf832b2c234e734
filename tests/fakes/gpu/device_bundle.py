"""A bundle of fake plans on disk, for the networks of fake_tensorrt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgebs.bundle import Bundle, write_bundle
from edgebs.bundle.manifest import NetworkFacts
from edgebs.bundle.plan import PlanFacts, platform_name
from edgebs.tensors import TensorSpec
from fakes.gpu.device_scenarios import SETTINGS
from fakes.gpu.tensorrt import batched, cue_plan, plan
from fakes.networks.backends import fake_manifest

BUILD = PlanFacts(
    module="tensorrt", tensorrt="10.3.0.30", compute_capability="7.5", platform=platform_name()
).to_json()
DIS = replace(SETTINGS, provider="dis", preset="fast")


def plan_bundle(folder: Path, *, network: bool, most: int = 1, size: tuple[int, int] = (2, 2)) -> Bundle:
    """A bundle with a cue network, or with DIS flow on the CPU. most: frames at once that the plans take."""
    frame = TensorSpec((1, *size, 3), "uint8")
    cue = TensorSpec((1, 3, *size), "float32")
    inputs = {"frame": frame} | {f"past_{interval}": frame for interval in SETTINGS.intervals}
    shapes = {"frame": {"shape": [1, *size, 3]}, "cue": {"shape": [1, 3, *size]}}
    plans = {"segment": plan(**shapes, probability={"shape": [1, *size]})}
    probability = TensorSpec((1, *size), "float32")
    networks = {"segment": _facts("segment", {"frame": frame, "cue": cue}, {"probability": probability})}
    if network:
        plans["cue"] = cue_plan(SETTINGS.intervals, size=size)
        networks["cue"] = _facts("cue", inputs, {"cue": cue})
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in plans.items():
        (folder / f"{name}.made").write_bytes(batched(data, most) if most > 1 else data)
    manifest = fake_manifest(
        name="fake-gpu-fp32",
        target="gpu",
        size=size,
        cue=SETTINGS if network else DIS,
        networks=networks,
        weights=dict.fromkeys(networks, fake_manifest().weights["segment"]),
        build=BUILD,
    )
    files = {f"{name}.plan": folder / f"{name}.made" for name in plans}
    return write_bundle(manifest, files, folder / "bundle")


def _facts(name: str, inputs: dict[str, TensorSpec], outputs: dict[str, TensorSpec]) -> NetworkFacts:
    facts = fake_manifest().networks["segment"]
    return replace(facts, file=f"{name}.plan", backend="tensorrt", inputs=inputs, outputs=outputs)
