"""A bundle that needs no PyTorch: a few nodes of ONNX at 48x32, flow by DIS, for the CPU."""

from __future__ import annotations

from pathlib import Path

from edgebs.bundle import Bundle, write_bundle
from edgebs.bundle.manifest import CueSettings, Manifest, NetworkFacts
from edgebs.tensors import TensorSpec
from fakes.networks.toy_onnx import scaled_sum

SIZE = (32, 48)


def small_bundle(folder: Path, *, backend: str = "onnxruntime") -> Bundle:
    """probability = brightness / 255 + mean of the cue; a white bar is foreground."""
    engine = scaled_sum(
        folder.with_name(f"{folder.name}.onnx"), factor=1 / 255, height=SIZE[0], width=SIZE[1]
    )
    network = NetworkFacts(
        file="segment.onnx",
        backend=backend,
        precision="fp32",
        inputs={
            "frame": TensorSpec((1, *SIZE, 3), "uint8"),
            "cue": TensorSpec((1, 3, *SIZE), "float32"),
        },
        outputs={"probability": TensorSpec((1, *SIZE), "float32")},
        description={"network": "small"},
        weights_sha256="0" * 64,
        parameters=1,
        gflop=0.001,
    )
    manifest = Manifest(
        name=folder.name,
        model="small",
        target="cpu",
        precision="fp32",
        size=SIZE,
        threshold=0.9,
        cue=CueSettings(
            kind="hop",
            provider="dis",
            intervals=(1, 2, 3),
            max_magnitude=20.0,
            nominal_fps=25.0,
            preset="ultrafast",
        ),
        networks={"segment": network},
        weights={"segment": {"trained": True, "file": None, "seed": 0, "sha256": "0" * 64}},
        tools={"edgebs": "0.1.0"},
    )
    return write_bundle(manifest, {"segment.onnx": engine}, folder)
