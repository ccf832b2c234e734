"""A bundle that needs no PyTorch: a few nodes of ONNX at 48x32, flow by DIS, for the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgebs.bundle import Bundle, write_bundle
from edgebs.tensors import TensorSpec
from fakes.networks.backends import fake_manifest
from fakes.networks.toy_onnx import scaled_sum

SIZE = (32, 48)


def small_bundle(folder: Path, *, backend: str = "onnxruntime") -> Bundle:
    """probability = brightness / 255 + mean of the cue; a white bar is foreground."""
    engine = scaled_sum(
        folder.with_name(f"{folder.name}.onnx"), factor=1 / 255, height=SIZE[0], width=SIZE[1]
    )
    facts = fake_manifest().networks["segment"]
    inputs = {"frame": TensorSpec((1, *SIZE, 3), "uint8"), "cue": TensorSpec((1, 3, *SIZE), "float32")}
    outputs = {"probability": TensorSpec((1, *SIZE), "float32")}
    network = replace(
        facts, backend=backend, inputs=inputs, outputs=outputs, description={"network": "small"}
    )
    manifest = fake_manifest(
        name=folder.name,
        model="small",
        target="cpu",
        size=SIZE,
        threshold=0.9,
        cue=replace(fake_manifest().cue, intervals=(1, 2, 3), preset="ultrafast"),
        networks={"segment": network},
        weights={"segment": {"trained": True, "file": None, "seed": 0, "sha256": "0" * 64}},
    )
    return write_bundle(manifest, {"segment.onnx": engine}, folder)
