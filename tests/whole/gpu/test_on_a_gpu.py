"""What needs an NVIDIA GPU: skipped without one, failing without one when EDGEBS_REQUIRE_GPU=1.

The ring, its waits and its graphs run with kernels that are compiled here, on any GPU; with real plans where
TensorRT is installed and supports the card. A skip says that it is not, and what stood in.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.gpu.device_scenarios import (
    LEVELS,
    SETTINGS,
    CountingCue,
    expected_of_counting,
    expected_of_network,
)
from fakes.gpu.kernel_engine import KernelEngine, Kernels, compiled

from edgebs.backends import open_backend
from edgebs.bundle.plan import AHEAD_OF_TIME
from edgebs.cues.cue import CueOutput
from edgebs.errors import CaptureFailed, OutOfDeviceMemory
from edgebs.nvidia import DeviceOptions, cuda
from edgebs.nvidia.runner import DeviceRunner
from edgebs.nvidia.tensorrt.engine import TensorRTEngine
from edgebs.tensors import Array, Frame, TensorSpec
from engines.build import build_engine

pytest.importorskip("torch", reason="needs pip install 'edgebs[export]'")
from fakes.networks import onnx_toys

pytestmark = pytest.mark.gpu

SIZE = (48, 64)


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    cuda.require_device()
    with cuda.on_device():
        return Kernels(compiled(cuda.device_facts().compute_capability))


@pytest.fixture
def target() -> str:
    """What plans are built for here; skipped, with the reason, where TensorRT cannot run on this GPU."""
    cuda.require_device()
    facts = cuda.device_facts()
    if importlib.util.find_spec("tensorrt") is not None:
        return "gpu"
    is_rtx = importlib.util.find_spec("tensorrt_rtx") is not None
    if is_rtx and facts.compute_capability in AHEAD_OF_TIME:
        return f"sm{facts.compute_capability.replace('.', '')}"
    why = f"TensorRT-RTX has no target for {facts.compute_capability}" if is_rtx else "no TensorRT-RTX"
    pytest.skip(
        f"{facts.name}: TensorRT is not installed, and {why}; "
        "kernels compiled at run time stood in for engines in test_frames_go_through_the_ring"
    )


def engines(kernels: Kernels, cameras: int = 1) -> tuple[KernelEngine, KernelEngine]:
    """The segmentation network and the cue network."""
    frame = TensorSpec((cameras, *SIZE, 3), "uint8")
    cue = TensorSpec((cameras, 3, *SIZE), "float32")
    pasts = {f"past_{interval}": frame for interval in SETTINGS.intervals}
    probability = TensorSpec((cameras, *SIZE), "float32")
    return (
        KernelEngine(kernels, {"frame": frame, "cue": cue}, {"probability": probability}),
        KernelEngine(kernels, {"frame": frame, **pasts}, {"cue": cue}),
    )


def streamed(path: DeviceRunner, levels: tuple[int, ...]) -> Iterator[float]:
    """Three frames in flight, as in a run; one number per frame, the same at every pixel."""
    begun = []
    for level in (*levels, None, None):
        if level is not None:
            begun.append(path.begin(np.full((*SIZE, 3), level, np.uint8), None))
        if len(begun) == 3 or level is None:
            probability = path.finish(begun.pop(0))
            assert np.ptp(probability) < 1e-4
            yield float(probability[0, 0])


def test_bytes_survive_the_way_to_the_device_and_back() -> None:
    sent = np.random.default_rng(0).integers(0, 255, (3, 1000, 7), np.uint8)
    with (
        cuda.on_device(),
        cuda.Stream() as stream,
        cuda.PinnedBuffer(sent.shape, "uint8") as there,
        cuda.PinnedBuffer(sent.shape, "uint8") as back,
        cuda.DeviceBuffer(sent.nbytes) as device,
        cuda.DeviceBuffer(sent.nbytes) as other,
    ):
        there.array[...] = sent
        back.array[...] = 0
        cuda.copy_to_device(device, there, stream)
        cuda.copy_on_device(other, device, stream)
        cuda.copy_to_host(back, other, stream)
        stream.synchronize()
        np.testing.assert_array_equal(back.array, sent)


def test_the_device_says_what_it_is() -> None:
    facts, memory = cuda.device_facts(), cuda.memory_info()
    assert facts.name
    assert float(facts.compute_capability) >= 5
    assert 0 < memory.free <= memory.total


def test_events_order_streams_and_measure_time() -> None:
    nbytes = 64 << 20
    with (
        cuda.on_device(),
        cuda.Stream() as there,
        cuda.Stream() as back,
        cuda.Event(timed=True) as start,
        cuda.Event(timed=True) as sent,
        cuda.PinnedBuffer((nbytes,), "uint8") as source,
        cuda.PinnedBuffer((nbytes,), "uint8") as result,
        cuda.DeviceBuffer(nbytes) as device,
    ):
        for value in (3, 7):
            source.array[:] = value
            there.record(start)
            cuda.copy_to_device(device, source, there)
            there.record(sent)
            back.wait(sent)
            cuda.copy_to_host(result, device, back)
            back.synchronize()
            assert (result.array[0], result.array[-1]) == (value, value)
        assert start.elapsed_ms(sent) > 0


def test_too_much_memory_is_refused_by_name_and_less_is_not() -> None:
    with cuda.on_device():
        with pytest.raises(OutOfDeviceMemory, match="cudaErrorMemoryAllocation"):
            cuda.DeviceBuffer(1 << 50)
        cuda.DeviceBuffer(1 << 20).close()


@pytest.mark.parametrize(
    "options",
    [{"graphs": "required"}, {"graphs": "off"}, {"graphs": "required", "overlap": False}, {"timed": True}],
    ids=str,
)
def test_frames_go_through_the_ring(kernels: Kernels, options: dict[str, Any]) -> None:
    segment, cue = engines(kernels)
    path = DeviceRunner(segment, cue, SETTINGS, DeviceOptions(**options))
    for _ in range(20):
        np.testing.assert_allclose(list(streamed(path, LEVELS)), expected_of_network(LEVELS), rtol=1e-5)
        path.reset()
    captured = 0 if options.get("graphs") == "off" else 3
    assert {count.captured for count in path.graphs.values()} == {captured}
    path.close()


def test_a_cue_of_the_cpu_goes_through_the_ring(kernels: Kernels) -> None:
    class Counting(CountingCue):
        def update(self, frame: Frame, captured_s: float | None) -> CueOutput:
            output = super().update(frame, captured_s)
            value = float(output.tensors["cue"].flat[0])
            return CueOutput({"cue": np.full((1, 3, *SIZE), value, np.float32)}, output.warming_up)

    path = DeviceRunner(engines(kernels)[0], [Counting()], SETTINGS, DeviceOptions())
    np.testing.assert_allclose(list(streamed(path, LEVELS)), expected_of_counting(LEVELS), rtol=1e-5)
    path.close()


def test_several_cameras_go_through_the_ring_in_one_call(kernels: Kernels) -> None:
    path = DeviceRunner(*engines(kernels, cameras=3), SETTINGS, DeviceOptions())
    rows = (LEVELS, LEVELS[::-1], tuple(level + 50 for level in LEVELS))
    found: list[Array] = []
    for levels in zip(*rows, strict=True):
        frames = [np.full((*SIZE, 3), level, np.uint8) for level in levels]
        found.append(path.finish_all(path.begin_all(frames, [None] * 3))[:, 0, 0].copy())
    path.close()
    for place, levels in enumerate(rows):
        np.testing.assert_allclose([row[place] for row in found], expected_of_network(levels), rtol=1e-5)


def test_work_that_cannot_be_captured_falls_back(kernels: Kernels) -> None:
    segment, cue = engines(kernels)
    segment.cannot_be_captured = True
    path = DeviceRunner(segment, cue, SETTINGS, DeviceOptions())
    assert (path.graphs["segment"].captured, path.graphs["cue"].captured) == (0, 3)
    assert "cudaErrorStreamCapture" in path.graphs["segment"].reason
    np.testing.assert_allclose(list(streamed(path, LEVELS)), expected_of_network(LEVELS), rtol=1e-5)
    path.close()
    with pytest.raises(CaptureFailed):
        DeviceRunner(segment, cue, SETTINGS, DeviceOptions(graphs="required"))  # type: ignore[arg-type]


def test_a_lost_gpu_is_named_and_everything_is_given_back(
    record_property: Callable[[str, object], None],
) -> None:
    program = Path(__file__).parents[2] / "fakes" / "gpu" / "lose_a_gpu.py"
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120, check=True)
    said = json.loads(done.stdout)
    assert said["is_lost"], said
    assert said["held"] == 0
    print(f"after a lost GPU, this process could{'' if said['revived'] else ' not'} use it again: {said}")
    record_property("revived", said["revived"])


def test_a_plan_for_this_gpu_says_what_onnx_runtime_says(tmp_path: Path, target: str) -> None:
    network = onnx_toys.export("segmenter", tmp_path / "toy.onnx")
    facts = build_engine(network, target, tmp_path / "toy.plan")
    plan = open_backend(facts.backend, facts.file)
    for feed in onnx_toys.feeds("segmenter"):
        expected = onnx_toys.run(network, feed)
        np.testing.assert_allclose(plan.infer(feed)["probability"], expected, atol=2e-3)
    plan.close()


@pytest.mark.parametrize("graphs", ["auto", "off"])
def test_a_plan_in_the_ring_says_what_onnx_runtime_says(tmp_path: Path, target: str, graphs: str) -> None:
    network = onnx_toys.export("segmenter", tmp_path / "toy.onnx")
    facts = build_engine(network, target, tmp_path / "toy.plan")
    feeds = onnx_toys.feeds("segmenter", 6)

    class Fed(CountingCue):
        def update(self, frame: Frame, captured_s: float | None) -> CueOutput:
            super().update(frame, captured_s)
            return CueOutput({"cue": feeds[self.seen - 1]["cue"]}, False)

    with cuda.on_device():
        engine = TensorRTEngine(facts.file, module=facts.backend)
    path = DeviceRunner(engine, [Fed()], SETTINGS, DeviceOptions(graphs=graphs))  # type: ignore[arg-type]
    print(path.descriptions()["segment"])
    begun = [path.begin(feed["frame"][0], None) for feed in feeds[:3]]
    for place, feed in enumerate(feeds):
        found = path.finish(begun[place]).copy()
        if place + 3 < len(feeds):
            begun.append(path.begin(feeds[place + 3]["frame"][0], None))
        np.testing.assert_allclose(found[None], onnx_toys.run(network, feed), atol=2e-3)
    path.close()
