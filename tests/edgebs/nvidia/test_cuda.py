"""edgebs/cuda, over the real cuda-bindings without a driver, and over a fake with one GPU."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest
from fakes.gpu.cuda import CaptureMode, FakeCuda, Kind, Status, install

from edgebs.errors import (
    BackendError,
    CaptureFailed,
    DeviceLost,
    EnqueueRefused,
    MissingDependency,
    OutOfDeviceMemory,
)
from edgebs.nvidia import cuda
from edgebs.nvidia.cuda.calls import LOST


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    made = FakeCuda()
    install(made, monkeypatch)
    return made


def test_every_cuda_call_and_name_used_here_exists_in_cuda_bindings() -> None:
    real = pytest.importorskip("cuda.bindings.runtime")
    used = [name for name in dir(FakeCuda) if name.startswith("cuda")]
    assert len(used) >= 34
    assert not [name for name in used if not hasattr(real, name)]
    for kind, names in ((real.cudaMemcpyKind, Kind), (real.cudaStreamCaptureMode, CaptureMode)):
        assert not [name for name in names.__members__ if not hasattr(kind, name)]
    assert not [name for name in LOST if not hasattr(real.cudaError_t, name)]
    assert not [name for name in Status.__members__ if not hasattr(real.cudaError_t, name)]


def test_without_a_driver_there_are_no_devices_and_a_reason() -> None:
    pytest.importorskip("cuda.bindings.runtime")
    found = cuda.device_count()
    if found.count:
        pytest.skip("this machine has a GPU")
    assert "no NVIDIA driver" in found.reason or "cudaError" in found.reason
    with pytest.raises(BackendError, match="no NVIDIA GPU: "):
        cuda.require_device()


def test_without_cuda_bindings_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    assert cuda.device_count() == cuda.Devices(0, "needs CUDA for Python: pip install 'edgebs[cuda]'")
    with pytest.raises(MissingDependency, match=r"pip install 'edgebs\[cuda\]'"):
        cuda.require_device()


def test_check_names_status_explanation_and_call(fake: FakeCuda) -> None:
    del fake
    assert cuda.check((Status.cudaSuccess,), "f()") is None
    assert cuda.check((Status.cudaSuccess, 3), "f()") == 3
    assert cuda.check((Status.cudaSuccess, 3, 4), "f()") == (3, 4)
    with pytest.raises(BackendError, match=r"CUDA: f\(\) failed: cudaErrorMemoryAllocation: out of memory"):
        cuda.check((Status.cudaErrorMemoryAllocation, None), "f()")


def test_device_facts_speak_plainly(fake: FakeCuda) -> None:
    del fake
    facts = cuda.device_facts()
    assert (facts.name, facts.compute_capability, facts.driver) == ("Fake RTX 2080 Ti", "7.5", "13.0")
    assert facts.pci_bus_id == "0000:65:00.0"


def test_a_round_trip_is_complete_only_after_synchronising(fake: FakeCuda) -> None:
    with (
        cuda.Stream() as stream,
        cuda.PinnedBuffer((2, 3), "float32") as source,
        cuda.PinnedBuffer((2, 3), "float32") as back,
        cuda.DeviceBuffer(24) as device,
    ):
        source.array[:] = np.arange(6).reshape(2, 3)
        cuda.copy_to_device(device, source, stream)
        cuda.copy_to_host(back, device, stream)
        assert not back.array.any()
        stream.synchronize()
        np.testing.assert_array_equal(back.array, np.arange(6).reshape(2, 3))
    assert fake.held == 0


def test_owners_close_twice_and_refuse_use_afterwards(fake: FakeCuda) -> None:
    for owner in (cuda.Stream(), cuda.DeviceBuffer(8), cuda.PinnedBuffer((2,), "uint8")):
        owner.close()
        owner.close()
        with pytest.raises(BackendError, match=f"{type(owner).__name__} is closed"):
            _ = owner.handle
    assert fake.held == 0


def test_a_forgotten_owner_is_given_back(fake: FakeCuda) -> None:
    owner = cuda.DeviceBuffer(8)
    assert fake.held == 1
    del owner
    assert fake.held == 0


def test_out_of_memory_names_the_amount(fake: FakeCuda) -> None:
    with pytest.raises(OutOfDeviceMemory, match=rf"cudaMalloc\({1 << 40}\) failed: .*Close other pipelines"):
        cuda.DeviceBuffer(1 << 40)
    assert fake.held == 0


def test_a_failure_while_closing_is_logged_not_raised(
    fake: FakeCuda, caplog: pytest.LogCaptureFixture
) -> None:
    fake.fails["cudaFree"] = Status.cudaErrorLaunchFailure
    cuda.DeviceBuffer(8).close()
    assert "closing a DeviceBuffer failed: CUDA: cudaFree" in caplog.text
    assert "cudaErrorLaunchFailure: launch failure" in caplog.text


def test_work_that_fails_is_reported_where_it_is_waited_for(fake: FakeCuda) -> None:
    fake.fails["cudaStreamSynchronize"] = Status.cudaErrorLaunchFailure
    with cuda.Stream() as stream, pytest.raises(BackendError, match="cudaErrorLaunchFailure"):
        stream.synchronize()


def test_a_stream_waits_for_what_another_recorded_and_for_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for waits, expected in ((True, 7), (False, 0)):
        # The stream that copies back runs ahead of the one that copies there, as far as it may.
        install(FakeCuda(eager={1}), monkeypatch)
        with (
            cuda.Stream() as there,
            cuda.Stream() as back,
            cuda.Event() as sent,
            cuda.Event() as done,
            cuda.PinnedBuffer((1,), "uint8") as source,
            cuda.PinnedBuffer((1,), "uint8") as result,
            cuda.DeviceBuffer(1) as first,
            cuda.DeviceBuffer(1) as second,
        ):
            source.array[:] = 7
            cuda.copy_to_device(first, source, there)
            cuda.copy_on_device(second, first, there)
            there.record(sent)
            if waits:
                back.wait(sent)
            cuda.copy_to_host(result, second, back)
            back.record(done)
            done.synchronize()
            assert result.array[0] == expected
            there.synchronize()


def test_the_fake_tells_of_host_memory_used_after_it_was_given_back(fake: FakeCuda) -> None:
    with cuda.Stream() as stream, cuda.DeviceBuffer(4) as source:
        with cuda.PinnedBuffer((4,), "uint8") as target:
            cuda.copy_to_host(target, source, stream)
            kept = target.array
        assert fake.violations == ["cudaFreeHost while 1 operations are queued"]
        stream.synchronize()
        assert fake.violations[1:] == ["4 bytes copied to host memory that was given back"]
        kept[1] = 0
        assert fake.violations[2:] == ["4 bytes written after they were given back"]


def test_events_measure_time_on_the_device(fake: FakeCuda) -> None:
    with (
        cuda.Stream() as stream,
        cuda.Event(timed=True) as start,
        cuda.Event(timed=True) as end,
        cuda.PinnedBuffer((1,), "uint8") as source,
        cuda.DeviceBuffer(1) as target,
    ):
        stream.record(start)
        cuda.copy_to_device(target, source, stream)
        cuda.copy_to_device(target, source, stream)
        stream.record(end)
        end.synchronize()
        assert start.elapsed_ms(end) == 2
    assert not fake.violations


def test_a_graph_repeats_what_was_captured_and_capturing_runs_nothing(fake: FakeCuda) -> None:
    with (
        cuda.Stream() as stream,
        cuda.PinnedBuffer((1,), "uint8") as source,
        cuda.PinnedBuffer((1,), "uint8") as result,
        cuda.DeviceBuffer(1) as device,
    ):

        def there_and_back() -> None:
            cuda.copy_to_device(device, source, stream)
            cuda.copy_to_host(result, device, stream)

        with cuda.capture(stream, there_and_back) as graph:
            for value in (5, 9):
                source.array[:] = value
                stream.synchronize()
                assert result.array[0] != value
                graph.launch(stream)
                stream.synchronize()
                assert result.array[0] == value
    assert fake.held == 0


@pytest.mark.parametrize("call", ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"])
def test_a_capture_that_fails_leaves_the_stream_usable_and_nothing_behind(fake: FakeCuda, call: str) -> None:
    with cuda.Stream() as stream:
        fake.fails[call] = Status.cudaErrorStreamCaptureInvalidated
        with pytest.raises(CaptureFailed, match="cudaErrorStreamCaptureInvalidated"):
            cuda.capture(stream, lambda: None)
        fake.fails.clear()
        with cuda.capture(stream, lambda: None) as graph:
            graph.launch(stream)
    assert fake.held == 0


def test_work_that_refuses_to_be_captured_says_why(fake: FakeCuda) -> None:
    def refuse() -> None:
        raise EnqueueRefused("a loop on the host")

    def lose() -> None:
        raise DeviceLost("gone")

    with cuda.Stream() as stream:
        with pytest.raises(CaptureFailed, match="nothing captured: a loop on the host"):
            cuda.capture(stream, refuse)
        with pytest.raises(CaptureFailed, match="cudaErrorStreamCaptureUnsupported"):
            cuda.capture(stream, stream.synchronize)
        with pytest.raises(DeviceLost, match="gone"):
            cuda.capture(stream, lose)
        assert not fake.captures
    assert fake.held == 0


def test_a_lost_device_is_told_from_other_failures(fake: FakeCuda) -> None:
    fake.lost = Status.cudaErrorLaunchFailure
    with pytest.raises(DeviceLost, match=r"cudaErrorLaunchFailure: launch failure.*open it again.*dmesg"):
        cuda.Stream()


def test_a_broken_context_is_destroyed_when_nothing_lies_in_it(fake: FakeCuda) -> None:
    gc.collect()
    buffer = cuda.DeviceBuffer(8)
    cuda.revive_device()
    assert fake.resets == 0
    fake.lost = Status.cudaErrorLaunchFailure
    with pytest.raises(DeviceLost, match="1 streams and buffers of pipelines that are still open"):
        cuda.revive_device()
    assert fake.resets == 0
    buffer.close()
    cuda.revive_device()
    assert fake.resets == 1
    cuda.DeviceBuffer(8).close()


def test_a_device_that_a_reset_does_not_bring_back_is_lost(fake: FakeCuda) -> None:
    fake.lost, fake.is_broken = Status.cudaErrorLaunchFailure, True
    with pytest.raises(DeviceLost, match="end the process"):
        cuda.revive_device()


def test_memory_info_tells_free_from_total(fake: FakeCuda) -> None:
    fake.free_bytes = 123
    assert cuda.memory_info() == cuda.Memory(123, 1 << 30)


def test_where_there_is_no_gpu_there_is_nothing_to_revive(fake: FakeCuda) -> None:
    fake.fails["cudaSetDevice"] = Status.cudaErrorNoDevice
    cuda.revive_device()
    assert fake.resets == 0
