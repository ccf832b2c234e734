"""The CUDA calls that engines and the pipeline on the device need, and no more.

devices.py: which GPUs there are, and this thread's. owners.py: streams, events, pinned and device memory.
graph.py: captures. status.py: every status as an exception. Over cuda-bindings (over_bindings.py), or over
pycuda, which has no graphs (over_pycuda.py). Whatever owns memory or a handle is a context manager, and may
be closed twice.
"""

from edgebs.nvidia.cuda.calls import DeviceFacts, Devices, Memory, check, runtime
from edgebs.nvidia.cuda.devices import (
    device_count,
    device_facts,
    memory_info,
    on_device,
    require_device,
)
from edgebs.nvidia.cuda.owners import (
    DeviceBuffer,
    DevicePart,
    Event,
    Graph,
    Owned,
    PinnedBuffer,
    Stream,
    capture,
    copy_on_device,
    copy_to_device,
    copy_to_host,
    held,
    revive_device,
)

__all__ = [
    "DeviceBuffer",
    "DeviceFacts",
    "DevicePart",
    "Devices",
    "Event",
    "Graph",
    "Memory",
    "Owned",
    "PinnedBuffer",
    "Stream",
    "capture",
    "check",
    "copy_on_device",
    "copy_to_device",
    "copy_to_host",
    "device_count",
    "device_facts",
    "held",
    "memory_info",
    "on_device",
    "require_device",
    "revive_device",
    "runtime",
]
