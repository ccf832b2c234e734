"""The calls over NVIDIA's cuda-bindings (12.9.1 and later: these release the GIL while they wait).

The runtime API works in the primary context of the device, so a thread needs `enter` and nothing else.
"""

from __future__ import annotations

from typing import Any

from edgebs.errors import CaptureFailed, DeviceLost
from edgebs.nvidia.cuda.calls import DeviceFacts, Devices, Direction, Memory, check, explained


class BindingsCalls:
    """See `Calls`."""

    name = "cuda-bindings"

    def __init__(self, module: Any) -> None:
        """module: cuda.bindings.runtime."""
        self.module = module

    def _do(self, call: str, *arguments: Any) -> Any:
        spoken = ", ".join(getattr(argument, "name", str(argument)) for argument in arguments)
        return check(getattr(self.module, call)(*arguments), f"{call}({spoken})")

    def devices(self) -> Devices:
        """GPUs here; 0 with the reason where there is no driver or no GPU."""
        status, count = self.module.cudaGetDeviceCount()
        if int(status) != 0 and self.module.cudaDriverGetVersion()[1] == 0:
            return Devices(0, "no NVIDIA driver is installed")
        if int(status) != 0:
            return Devices(0, ": ".join(explained(status)))
        return Devices(int(count), "" if count else "the driver lists no device")

    def facts(self, index: int) -> DeviceFacts:
        facts = self._do("cudaGetDeviceProperties", index)
        driver = int(self._do("cudaDriverGetVersion"))
        name = facts.name.decode() if isinstance(facts.name, bytes) else str(facts.name)
        return DeviceFacts(
            name=name.rstrip("\0"),
            compute_capability=f"{facts.major}.{facts.minor}",
            driver=f"{driver // 1000}.{driver % 1000 // 10}",
            memory_bytes=int(facts.totalGlobalMem),
            pci_bus_id=f"{facts.pciDomainID:04x}:{facts.pciBusID:02x}:{facts.pciDeviceID:02x}.0",
        )

    def enter(self, index: int) -> None:
        """Cheap (under a microsecond) if it is this thread's already."""
        self._do("cudaSetDevice", index)

    def leave(self) -> None:
        """Nothing: the runtime API keeps no stack."""

    def memory(self) -> Memory:
        free, total = self._do("cudaMemGetInfo")
        return Memory(int(free), int(total))

    def synchronize(self) -> None:
        self._do("cudaDeviceSynchronize")

    def reset(self) -> None:
        self._do("cudaDeviceReset")

    def allocate(self, nbytes: int) -> int:
        """Device memory, aligned to 256 bytes at least."""
        return int(self._do("cudaMalloc", nbytes))

    def free(self, address: int) -> None:
        self._do("cudaFree", address)

    def allocate_pinned(self, nbytes: int) -> int:
        """Host memory that the GPU reads without staging."""
        return int(self._do("cudaHostAlloc", nbytes, self.module.cudaHostAllocDefault))

    def free_pinned(self, address: int) -> None:
        self._do("cudaFreeHost", address)

    def copy(self, target: int, source: int, nbytes: int, direction: Direction, stream: int) -> None:
        kind = getattr(self.module.cudaMemcpyKind, direction.value)
        result = self.module.cudaMemcpyAsync(target, source, nbytes, kind, stream)
        check(result, f"cudaMemcpyAsync({nbytes} bytes, {direction.value})")

    def create_stream(self) -> int:
        """One that does not wait for the default stream."""
        return int(self._do("cudaStreamCreateWithFlags", self.module.cudaStreamNonBlocking))

    def destroy_stream(self, stream: int) -> None:
        self._do("cudaStreamDestroy", stream)

    def synchronize_stream(self, stream: int) -> None:
        """Errors of the queued work are raised here."""
        self._do("cudaStreamSynchronize", stream)

    def create_event(self, *, timed: bool) -> int:
        """The waiting thread sleeps instead of spinning: an appliance's cores have other work."""
        untimed = 0 if timed else self.module.cudaEventDisableTiming
        return int(self._do("cudaEventCreateWithFlags", self.module.cudaEventBlockingSync | untimed))

    def destroy_event(self, event: int) -> None:
        self._do("cudaEventDestroy", event)

    def record(self, event: int, stream: int) -> None:
        self._do("cudaEventRecord", event, stream)

    def wait(self, stream: int, event: int) -> None:
        self._do("cudaStreamWaitEvent", stream, event, 0)

    def synchronize_event(self, event: int) -> None:
        """Errors of the work before the event are raised here."""
        self._do("cudaEventSynchronize", event)

    def elapsed_ms(self, start: int, end: int) -> float:
        return float(self._do("cudaEventElapsedTime", start, end))

    def begin_capture(self, stream: int) -> None:
        """Other threads' CUDA calls do not disturb the capture."""
        mode = self.module.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._do("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: int) -> int:
        try:
            graph = self._do("cudaStreamEndCapture", stream)
        except DeviceLost:
            raise
        except Exception as error:
            self.module.cudaGetLastError()
            raise CaptureFailed(str(error)) from error
        try:
            return int(self._do("cudaGraphInstantiate", graph, 0))
        finally:
            self.module.cudaGraphDestroy(graph)

    def abandon_capture(self, stream: int) -> None:
        status, graph = self.module.cudaStreamEndCapture(stream)
        if int(status) == 0:
            self.module.cudaGraphDestroy(graph)
        # TensorRT reads the last error itself, and would take this one for its own.
        self.module.cudaGetLastError()

    def launch_graph(self, graph: int, stream: int) -> None:
        self._do("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        self._do("cudaGraphExecDestroy", graph)
