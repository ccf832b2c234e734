"""edgebs/cuda over pycuda, for images without cuda-bindings."""

from __future__ import annotations

import sys
import threading
from types import ModuleType

import numpy as np
import pytest
from fakes.gpu.pycuda import FakePycuda, LaunchError

from edgebs.errors import CaptureFailed, DeviceLost, OutOfDeviceMemory
from edgebs.nvidia import cuda


@pytest.fixture
def pycuda(monkeypatch: pytest.MonkeyPatch) -> FakePycuda:
    fake = FakePycuda()
    package = ModuleType("pycuda")
    package.driver = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", fake)
    return fake


def test_the_surface_is_the_same(pycuda: FakePycuda) -> None:
    facts = cuda.device_facts()
    assert (facts.name, facts.compute_capability, facts.driver) == ("Fake Xavier", "7.2", "11.4")
    assert facts.pci_bus_id == "0000:01:00.0"
    with (
        cuda.on_device(),
        cuda.Stream() as stream,
        cuda.Stream() as other,
        cuda.Event(timed=True) as sent,
        cuda.Event(timed=True) as done,
        cuda.PinnedBuffer((2, 3), "float32") as source,
        cuda.PinnedBuffer((2, 3), "float32") as result,
        cuda.DeviceBuffer(24) as first,
        cuda.DeviceBuffer(24) as second,
    ):
        assert cuda.memory_info().free == 100
        source.array[:] = np.arange(6).reshape(2, 3)
        cuda.copy_to_device(first, source, stream)
        stream.record(sent)
        other.wait(sent)
        cuda.copy_on_device(second, first, other)
        cuda.copy_to_host(result, second, other)
        other.record(done)
        done.synchronize()
        stream.synchronize()
        np.testing.assert_array_equal(result.array, np.arange(6).reshape(2, 3))
        assert sent.elapsed_ms(done) == 1.5
    assert (pycuda.memory, pycuda.pinned, pycuda.stack) == ({}, 0, [])


def test_there_are_no_graphs_and_it_says_so(pycuda: FakePycuda) -> None:
    del pycuda
    with (
        cuda.on_device(),
        cuda.Stream() as stream,
        pytest.raises(CaptureFailed, match=r"pycuda has no CUDA graphs.*pip install 'edgebs\[cuda\]'"),
    ):
        cuda.capture(stream, lambda: None)


def test_every_thread_enters_the_primary_context_and_leaves_it(pycuda: FakePycuda) -> None:
    def work() -> None:
        with cuda.on_device(), cuda.DeviceBuffer(8), cuda.on_device():
            assert len(pycuda.stack) == 2

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    work()
    assert [len(stack) for stack in pycuda.stacks.values()] == [0] * len(pycuda.stacks)


def test_errors_have_the_same_names(pycuda: FakePycuda) -> None:
    with cuda.on_device():
        with pytest.raises(OutOfDeviceMemory, match=r"mem_alloc\(\d+\) failed: cudaErrorMemoryAllocation"):
            cuda.DeviceBuffer(1 << 40)
        stream = cuda.Stream()
        pycuda.broken = LaunchError("launch failed")
        with pytest.raises(DeviceLost, match="cudaErrorLaunchFailure: launch failed"):
            stream.synchronize()
        stream.close()
    with pytest.raises(DeviceLost, match="cannot reset"):
        cuda.revive_device()


def test_it_is_used_only_without_cuda_bindings(pycuda: FakePycuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    pytest.importorskip("cuda.bindings")
    cuda.device_count()
    assert pycuda.initialised == 0
