"""The networks of fake_tensorrt as CUDA kernels, compiled when a test runs.

They stand in for engines on a GPU that TensorRT does not support, or where it is not installed.

segment: twice the mean colour, plus the mean of the cue. cue: the difference of the frame's mean colour from
each past frame's. As in a real network, a run is two kernels with scratch memory between them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from edgebs.errors import EnqueueRefused
from edgebs.nvidia import cuda
from edgebs.tensors import TensorSpec

SOURCE = r"""
__device__ float colour(const unsigned char *frame, int pixel) {
    return (frame[3 * pixel] + frame[3 * pixel + 1] + frame[3 * pixel + 2]) / 3.0f;
}

extern "C" __global__ void segment(const unsigned char *frame, const float *cue, float *scratch,
                                   int frames, int pixels, int channels) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= frames * pixels) return;
    float sum = 0;
    for (int channel = 0; channel < channels; ++channel)
        sum += cue[(at / pixels * channels + channel) * pixels + at % pixels];
    scratch[at] = 2 * colour(frame, at) + sum / channels;
}

extern "C" __global__ void past(const unsigned char *frame, const unsigned char *other, float *scratch,
                                int frames, int pixels, int channels, int channel) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= frames * pixels) return;
    scratch[(at / pixels * channels + channel) * pixels + at % pixels] =
        fabsf(colour(frame, at) - colour(other, at));
}

extern "C" __global__ void bring(const float *scratch, float *output, int count) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < count) output[at] = scratch[at];
}

extern "C" __global__ void broken(float *nowhere) { *nowhere = 1; __trap(); }
"""

BLOCK = 128


def compiled(capability: str) -> bytes:
    """`SOURCE` as machine code for a compute capability, "7.5". Needs NVRTC, and no GPU.

    Not PTX: a driver that is older than NVRTC does not read that.
    """
    from cuda.bindings import nvrtc

    status, program = nvrtc.nvrtcCreateProgram(SOURCE.encode(), b"networks.cu", 0, [], [])
    assert int(status) == 0, status
    options = [f"--gpu-architecture=sm_{capability.replace('.', '')}".encode()]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    # Written in place. A bytes object of length 1, an empty log, is the interpreter's own: b" " * 1 would
    # make every b" " of the process, and with it the number 32 in every file read after it, a zero.
    log = bytearray(size)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert int(status) == 0, log.decode()
    _, size = nvrtc.nvrtcGetCUBINSize(program)
    code = bytearray(size)
    (status,) = nvrtc.nvrtcGetCUBIN(program, code)
    assert int(status) == 0, status
    nvrtc.nvrtcDestroyProgram(program)
    return bytes(code)


class Kernels:
    """The compiled kernels, loaded on this thread's GPU for as long as the process lives."""

    def __init__(self, code: bytes) -> None:
        from cuda.bindings import driver

        self._driver = driver
        # The runtime API makes the primary context current when something is allocated.
        cuda.DeviceBuffer(1).close()
        self._module = _done(driver.cuModuleLoadData(code))
        self._functions: dict[str, Any] = {}

    def launch(self, name: str, count: int, stream: int, *arguments: int) -> None:
        """Queue a kernel over `count` elements. Addresses are above 32 bits, and sizes are not."""
        if name not in self._functions:
            self._functions[name] = _done(self._driver.cuModuleGetFunction(self._module, name.encode()))
        types = tuple(ctypes.c_void_p if argument >= 1 << 31 else ctypes.c_int for argument in arguments)
        blocks = -(-count // BLOCK)
        _done(
            self._driver.cuLaunchKernel(
                self._functions[name], blocks, 1, 1, BLOCK, 1, 1, 0, stream, (arguments, types), 0
            )
        )


def _done(result: tuple[Any, ...]) -> Any:
    status, *values = result
    if int(status) != 0:
        raise EnqueueRefused(f"kernel: {status.name}")
    return values[0] if values else None


class KernelEngine:
    """A DeviceEngine whose network is two kernels."""

    def __init__(
        self, kernels: Kernels, inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]
    ) -> None:
        self.kernels, self.inputs, self.outputs = kernels, inputs, outputs
        (self.output,) = outputs
        self.name = self.output
        self.description = "kernels compiled at run time"
        self.scratch_bytes = outputs[self.output].nbytes
        self.cannot_be_captured = False

    def context(self, scratch: cuda.DeviceBuffer | None = None) -> KernelContext:
        """A context that works in `scratch`."""
        assert scratch is not None
        return KernelContext(self, scratch)

    def close(self) -> None:
        """Nothing is held."""


class KernelContext:
    """Launches the kernels of one network."""

    def __init__(self, engine: KernelEngine, scratch: cuda.DeviceBuffer) -> None:
        self._engine, self._scratch = engine, scratch
        self._at: dict[str, int] = {}

    def bind(self, buffers: Mapping[str, cuda.DeviceBuffer]) -> None:
        """See DeviceContext."""
        self._at = {name: buffer.handle for name, buffer in buffers.items()}

    def enqueue(self, stream: cuda.Stream) -> None:
        """See DeviceContext."""
        if self._engine.cannot_be_captured:
            cuda.DeviceBuffer(1 << 20).close()  # not allowed while a stream of this thread is captured
        launch, scratch, queue = self._engine.kernels.launch, self._scratch.handle, stream.handle
        count, height, width, _ = self._engine.inputs["frame"].shape
        pixels = height * width
        if self._engine.output == "probability":
            channels = self._engine.inputs["cue"].shape[1]
            tensors = (self._at["frame"], self._at["cue"], scratch)
            launch("segment", count * pixels, queue, *tensors, count, pixels, channels)
        else:
            pasts = [name for name in self._engine.inputs if name != "frame"]
            for channel, name in enumerate(pasts):
                tensors = (self._at["frame"], self._at[name], scratch)
                launch("past", count * pixels, queue, *tensors, count, pixels, len(pasts), channel)
        total = self._engine.scratch_bytes // 4
        launch("bring", total, queue, scratch, self._at[self._engine.output], total)

    def captured(self, stream: cuda.Stream) -> cuda.Graph:
        """See DeviceContext."""
        return cuda.capture(stream, lambda: self.enqueue(stream))

    def close(self) -> None:
        """Nothing is held."""
