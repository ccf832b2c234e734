"""Breaks the GPU's context on purpose, and says as JSON what this process could still do. A program."""

from __future__ import annotations

import json
from typing import Any

from edgebs.errors import BackendError, DeviceLost
from edgebs.nvidia import cuda
from fakes.gpu.kernel_engine import Kernels, compiled


def main() -> None:
    """One JSON object: what was raised, and whether the GPU could be used again."""
    said: dict[str, Any] = {}
    with cuda.on_device():
        kernels = Kernels(compiled(cuda.device_facts().compute_capability))
        stream, buffer = cuda.Stream(), cuda.DeviceBuffer(1 << 20)
        kernels.launch("broken", 1, stream.handle, 0)
        try:
            stream.synchronize()
        except BackendError as error:
            said["raised"], said["is_lost"] = str(error), isinstance(error, DeviceLost)
        stream.close()
        buffer.close()
    said["held"] = cuda.held()
    try:
        cuda.revive_device()
        with cuda.on_device(), cuda.Stream() as again:
            again.synchronize()
        said["revived"] = True
    except DeviceLost as error:
        said["revived"], said["why_not"] = False, str(error)
    print(json.dumps(said))


if __name__ == "__main__":
    main()
