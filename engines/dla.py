"""A plan on a Jetson's deep learning accelerator (DLA), and which of its layers the GPU must take over.

The fallback is silent in TensorRT. `tensorrt_rtx` knows no DLA and ignores the request as silently; Orin Nano
and desktop GPUs have none.
"""

from __future__ import annotations

from typing import Any

from edgebs.errors import ExportError


def use_dla(trt: Any, builder: Any, network: Any, config: Any, core: int) -> tuple[str, ...]:
    """Let the plan run on DLA `core`, and return the layers that it refuses, "name (KIND)", which the
    GPU runs.

    Raises ExportError where there is no such core, or where no layer could run on it.
    """
    cores = int(getattr(builder, "num_DLA_cores", 0))
    if not 0 <= core < cores:
        there = f"its cores are 0 to {cores - 1}" if cores else "this machine's TensorRT finds none"
        raise ExportError(
            f"no DLA core {core}: {there}. Orin Nano has no DLA, and TensorRT 10.8 to 11.4.0 leave it out. "
            "Leave --dla-core out to build for the GPU."
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    refused = tuple(
        f"{layer.name} ({layer.type.name})" for layer in layers if not config.can_run_on_DLA(layer)
    )
    if len(refused) == len(layers):
        raise ExportError(
            f"no layer of the network can run on DLA core {core}: it computes in FP16 and INT8 with fixed "
            "sizes. Export with --precision fp16 or int8, or leave --dla-core out."
        )
    return refused
