"""edgebs/cuda.py, over the real cuda-bindings without a driver, and over a fake with one GPU."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from fake_cuda import FakeCuda, Status

from edgebs import cuda
from edgebs.errors import BackendError, MissingDependency


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    made = FakeCuda()
    monkeypatch.setattr(cuda, "runtime", lambda: made)
    return made


def test_every_cuda_call_and_name_used_here_exists_in_cuda_bindings() -> None:
    real = pytest.importorskip("cuda.bindings.runtime")
    used = [name for name in dir(FakeCuda) if name.startswith("cuda")]
    assert len(used) >= 16
    assert not [name for name in used if not hasattr(real, name)]
    assert real.cudaMemcpyKind.cudaMemcpyHostToDevice.name == "cudaMemcpyHostToDevice"


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
    with pytest.raises(BackendError, match=rf"cudaMalloc\({1 << 40}\) failed: cudaErrorMemoryAllocation"):
        cuda.DeviceBuffer(1 << 40)
    assert fake.held == 0


def test_a_failure_while_closing_is_logged_not_raised(
    fake: FakeCuda, caplog: pytest.LogCaptureFixture
) -> None:
    fake.fails["cudaFree"] = Status.cudaErrorLaunchFailure
    cuda.DeviceBuffer(8).close()
    assert "closing a DeviceBuffer failed: cudaErrorLaunchFailure: launch failure" in caplog.text


def test_work_that_fails_is_reported_where_it_is_waited_for(fake: FakeCuda) -> None:
    fake.fails["cudaStreamSynchronize"] = Status.cudaErrorLaunchFailure
    with cuda.Stream() as stream, pytest.raises(BackendError, match="cudaErrorLaunchFailure"):
        stream.synchronize()
