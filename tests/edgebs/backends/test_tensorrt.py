"""edgebs/backends/tensorrt.py and edgebs/bundle/plan.py, over a fake GPU; the real tensorrt_rtx."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.gpu.cuda import FakeCuda, Status, install
from fakes.gpu.tensorrt import SCRATCH_BYTES, FakeTensorRT, batched, plan

from edgebs.backends import open_backend
from edgebs.backends.tensorrt import TensorRTBackend
from edgebs.bundle.plan import PlanFacts, check_plan_fits, platform_name
from edgebs.errors import (
    BackendError,
    BundleError,
    CaptureFailed,
    DeviceLost,
    EngineMismatch,
    EnqueueRefused,
    MissingDependency,
)
from edgebs.nvidia import DeviceOptions, cuda
from edgebs.nvidia.tensorrt import (
    check_plan_fits_here,
    import_tensorrt,
    last_error,
    make_logger,
    plan_facts_here,
)
from edgebs.nvidia.tensorrt.engine import TensorRTContext, TensorRTEngine
from edgebs.tensors import Array, TensorSpec

FEED: dict[str, Array] = {
    "frame": np.full((1, 2, 2, 3), 10, np.uint8),
    "cue": np.full((1, 3, 2, 2), 0.5, np.float32),
}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    install(fake, monkeypatch)
    return fake


@pytest.fixture
def trt(gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    fake = FakeTensorRT(gpu)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    return fake


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "segment.plan").write_bytes(plan())
    return tmp_path / "segment.plan"


def facts(**changes: str) -> PlanFacts:
    values = {
        "module": "tensorrt",
        "tensorrt": "10.3.0.30",
        "compute_capability": "7.5",
        "platform": platform_name(),
    }
    return PlanFacts(**(values | changes))


def test_a_plan_runs_from_host_arrays_to_host_arrays(trt: FakeTensorRT, file: Path) -> None:
    with_plan = open_backend("tensorrt", file)
    assert with_plan.inputs == {
        "frame": TensorSpec((1, 2, 2, 3), "uint8"),
        "cue": TensorSpec((1, 3, 2, 2), "float32"),
    }
    assert with_plan.outputs == {"probability": TensorSpec((1, 2, 2), "float32")}
    np.testing.assert_array_equal(with_plan.infer(FEED)["probability"], np.full((1, 2, 2), 20.5))
    second = with_plan.infer(FEED | {"frame": np.full((1, 2, 2, 3), 20, np.uint8)})
    np.testing.assert_array_equal(second["probability"], np.full((1, 2, 2), 40.5))
    assert with_plan.description == "tensorrt 10.3.0.30 on Fake RTX 2080 Ti"
    assert trt.host_code == [False]  # native code inside plans is refused


def test_closing_gives_everything_back_twice(gpu: FakeCuda, trt: FakeTensorRT, file: Path) -> None:
    del trt
    backend = TensorRTBackend(file)
    result = backend.infer(FEED)["probability"]
    assert gpu.held == 1 + 3 + 3  # stream, pinned and device buffers
    backend.close()
    backend.close()
    assert gpu.held == 0
    assert result[0, 0, 0] == 20.5  # the last result is ordinary memory
    with pytest.raises(BackendError, match="closed"):
        backend.infer(FEED)


def test_a_refused_enqueue_is_an_error_not_the_last_result(trt: FakeTensorRT, file: Path) -> None:
    backend = TensorRTBackend(file)
    backend.infer(FEED)
    trt.contexts[0].refuses = True
    with pytest.raises(EnqueueRefused, match=r"refused to run .*: enqueue refused: a tensor has no address"):
        backend.infer(FEED)


def test_a_lost_device_is_named(gpu: FakeCuda, trt: FakeTensorRT, file: Path) -> None:
    del trt
    backend = TensorRTBackend(file)
    gpu.fails["cudaStreamSynchronize"] = Status.cudaErrorLaunchFailure
    with pytest.raises(DeviceLost, match="cudaErrorLaunchFailure"):
        backend.infer(FEED)
    backend.close()
    assert gpu.held == 0


@pytest.mark.parametrize(
    ("name", "version"),
    [("tensorrt", "8.6.1"), ("tensorrt", "10.3.0.30"), ("tensorrt", "11.4.1"), ("tensorrt_rtx", "1.7.1.116")],
)
def test_contexts_share_scratch_memory_in_every_tensorrt(
    gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch, file: Path, name: str, version: str
) -> None:
    monkeypatch.setitem(sys.modules, name, FakeTensorRT(gpu, name=name, version=version))
    file.write_bytes(plan(version=version))
    engine = TensorRTEngine(file, module=name)
    assert engine.scratch_bytes == SCRATCH_BYTES
    spec = {**engine.inputs, **engine.outputs}
    with cuda.Stream() as stream, cuda.DeviceBuffer(engine.scratch_bytes) as scratch, ExitStack() as owned:
        buffers = {
            name: owned.enter_context(cuda.DeviceBuffer(np.zeros(tensor.shape, tensor.dtype).nbytes))
            for name, tensor in spec.items()
        }
        contexts = [
            TensorRTContext(engine, scratch),
            TensorRTContext(engine, scratch),
            TensorRTContext(engine),
        ]
        for context in contexts:
            context.bind(buffers)
            context.enqueue(stream)
            with context.captured(stream) as graph:
                graph.launch(stream)
                stream.synchronize()
            context.close()
            with pytest.raises(BackendError, match="context is closed"):
                context.enqueue(stream)
    engine.close()
    assert (gpu.held, gpu.violations) == (0, [])


def test_a_context_that_cannot_be_captured_says_so(
    gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    for name, reason in (("tensorrt", "a kernel that cannot be captured"), ("tensorrt_rtx", "says that")):
        trt = FakeTensorRT(gpu, name=name)
        trt.cannot_be_captured = True
        monkeypatch.setitem(sys.modules, name, trt)
        context = TensorRTContext(TensorRTEngine(file, module=name))
        with cuda.Stream() as stream:
            addresses = dict.fromkeys(("frame", "cue", "probability"), cuda.DeviceBuffer(64))
            context.bind(addresses)
            with pytest.raises(CaptureFailed, match=reason):
                context.captured(stream)
            context.enqueue(stream)
            stream.synchronize()


def test_a_shared_engine_is_freed_by_its_last_owner(trt: FakeTensorRT, file: Path) -> None:
    del trt
    engine = TensorRTEngine(file)
    other = engine.share()
    engine.close()
    assert other.engine is not None
    other.close()
    other.close()
    assert other.engine is None
    with pytest.raises(BackendError, match="the engine is closed"):
        other.share()


def test_a_batch_needs_a_profile_that_holds_it(trt: FakeTensorRT, file: Path) -> None:
    del trt
    file.write_bytes(batched(plan(), 4))
    assert TensorRTEngine(file, batch=3).inputs["frame"].shape == (3, 2, 2, 3)
    assert TensorRTBackend(file).outputs["probability"].shape == (1, 2, 2)
    with pytest.raises(BackendError, match=r"built for 1 to 4 frames at once, not 5.*--batch 1,5"):
        TensorRTEngine(file, batch=5)
    file.write_bytes(plan())
    with pytest.raises(
        BackendError, match=r"'frame' holds 1 frames, not 2.*no profile for more.*--batch 1,2"
    ):
        TensorRTEngine(file, batch=2)


def test_native_code_in_plans_and_a_lean_runtime_are_choices(
    trt: FakeTensorRT, file: Path, tmp_path: Path
) -> None:
    lean = tmp_path / "libnvinfer_lean.so.10"
    lean.write_bytes(b"ELF")
    TensorRTEngine(file, options=DeviceOptions(lean_runtime=lean))
    TensorRTEngine(file, options=DeviceOptions(host_code=True))
    assert (trt.lean, trt.host_code) == ([str(lean)], [False, True])
    with pytest.raises(BackendError, match=r"segment\.plan is no lean runtime of TensorRT: not a shared"):
        TensorRTEngine(file, options=DeviceOptions(lean_runtime=file))
    with pytest.raises(BackendError, match="no such"):
        TensorRTEngine(file, options=DeviceOptions(lean_runtime=tmp_path / "none.so"))
    with pytest.raises(ValueError, match="from 0, got -1"):
        DeviceOptions(device=-1)


def test_wrong_inputs_are_refused(trt: FakeTensorRT, file: Path) -> None:
    del trt
    with pytest.raises(ValueError, match="tensor 'cue' must be float32"):
        TensorRTBackend(file).infer(FEED | {"cue": np.zeros((1, 3, 2, 2))})


def test_the_device_is_set_on_the_thread_that_runs(gpu: FakeCuda, trt: FakeTensorRT, file: Path) -> None:
    del trt
    backend = TensorRTBackend(file)
    gpu.current.clear()
    backend.infer(FEED)
    assert set(gpu.current) == {0}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x00noise" * 9, "magicTag"),
        (plan()[:-30], "magicTag"),
        (plan(capability="8.6"), "expecting compute 7.5"),
        (plan(version="10.3.0.26"), "expecting compute"),
    ],
)
def test_a_plan_that_does_not_load_says_why_and_what_to_do(
    trt: FakeTensorRT, tmp_path: Path, content: bytes, reason: str
) -> None:
    del trt
    (tmp_path / "bad.plan").write_bytes(content)
    with pytest.raises(BackendError, match=rf"bad\.plan cannot be loaded: .*{reason}.*--target gpu"):
        TensorRTBackend(tmp_path / "bad.plan")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [1, -1, 2, 3]}, r"'frame' has no fixed shape \(1x\?x2x3\)"),
        ({"dtype": "FP8"}, "'frame' has type FP8"),
        ({"location": "HOST"}, "'frame' lives on the host"),
    ],
)
def test_tensors_that_cannot_be_fed_are_refused(
    gpu: FakeCuda, trt: FakeTensorRT, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    del trt
    (tmp_path / "odd.plan").write_bytes(plan(frame=change))
    with pytest.raises(BackendError, match=message):
        TensorRTBackend(tmp_path / "odd.plan")
    assert gpu.held == 0


def test_no_memory_for_the_context_or_the_buffers_frees_what_was_held(
    gpu: FakeCuda, trt: FakeTensorRT, file: Path
) -> None:
    gpu.free_bytes = 20
    with pytest.raises(BackendError, match="cudaErrorMemoryAllocation"):
        TensorRTBackend(file)
    assert gpu.held == 0
    gpu.free_bytes, trt.no_context = 1 << 20, True
    with pytest.raises(BackendError, match="no execution context: out of memory"):
        TensorRTBackend(file)
    assert gpu.held == 0
    trt.no_context = False
    assert TensorRTBackend(file).infer(FEED)["probability"][0, 0, 0] == 20.5


def test_no_gpu_and_no_tensorrt_are_told_apart(
    file: Path, gpu: FakeCuda, trt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    del trt
    gpu.devices = 0
    with pytest.raises(BackendError, match=r"no NVIDIA GPU: cudaErrorNoDevice"):
        TensorRTBackend(file)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(
        MissingDependency, match=r"pip install 'edgebs\[trt\]' \(on Jetson it comes with JetPack\)"
    ):
        TensorRTBackend(file)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(MissingDependency, match=r"pip install 'edgebs\[rtx\]'"):
        TensorRTBackend(file, module="tensorrt_rtx")
    with pytest.raises(
        BackendError, match="unknown TensorRT module 'trt'; known: tensorrt, tensorrt_rtx, tensorrt_lean"
    ):
        import_tensorrt("trt")


def test_a_plan_for_what_is_here_fits() -> None:
    check_plan_fits(facts(gpu="RTX 2080 Ti"), facts(gpu="Titan RTX"), where="bundle", target="gpu")


@pytest.mark.parametrize(
    ("build", "here", "message"),
    [
        (
            facts(compute_capability="8.7"),
            facts(compute_capability="9.0", tensorrt="10.13.3.9"),
            r"^bundle was built for compute capability 8\.7 with tensorrt 10\.3\.0\.30 on \S+; "
            r"here the GPU is 9\.0, with tensorrt 10\.13\.3\.9 on \S+\. Export it for this machine: "
            r"edgebs export \.\.\. --target gpu$",
        ),
        (facts(), facts(tensorrt="10.3.0.26"), "again on this machine: edgebs export ... --target gpu"),
        (
            facts(module="tensorrt_rtx", tensorrt="1.7.1.116"),
            facts(module="tensorrt_rtx", tensorrt="1.7.0.1"),
            "pip install tensorrt_rtx==1.7.1.116",
        ),
        (facts(), facts(platform="linux-aarch64"), "with tensorrt 10.3.0.30 on linux-aarch64. Export it for"),
        (facts(), facts(tensorrt=""), "with no tensorrt on"),
        (
            facts(),
            facts(compute_capability="", no_gpu="no driver"),
            r"here is no GPU \(no driver\).*--target cpu",
        ),
    ],
)
def test_a_mismatch_says_what_was_built_what_is_here_and_the_repair(
    build: PlanFacts, here: PlanFacts, message: str
) -> None:
    with pytest.raises(EngineMismatch, match=message):
        check_plan_fits(build, here, where="bundle", target="gpu")


@pytest.mark.parametrize(
    ("built", "here", "fits"),
    [
        ("8.6.1", "10.3.0.30", True),
        ("10.3.0.30", "10.16.2", True),
        ("10.3.0.30", "11.4.0.106", True),
        ("8.6.1", "11.4.0.106", False),
        ("10.16.2", "10.3.0.30", False),
        ("8.5.2", "8.6.1", False),
        ("10.3.0.30", "", False),
        ("12.0", "13.0", False),
    ],
)
def test_a_version_compatible_plan_fits_later_versions_up_to_the_next_major(
    built: str, here: str, fits: bool
) -> None:
    compatible = replace(facts(tensorrt=built), version_compatible=True)
    assert PlanFacts.from_json(compatible.to_json()) == compatible
    if fits:
        check_plan_fits(compatible, facts(tensorrt=here), where="bundle", target="gpu")
        with pytest.raises(EngineMismatch):
            check_plan_fits(
                replace(compatible, compute_capability="8.6"), facts(tensorrt=here), where="", target="gpu"
            )
    else:
        with pytest.raises(EngineMismatch):
            check_plan_fits(compatible, facts(tensorrt=here), where="bundle", target="gpu")
    with pytest.raises(EngineMismatch):
        check_plan_fits(facts(tensorrt=built), facts(tensorrt=here), where="bundle", target="gpu")


@pytest.mark.parametrize(
    ("place", "lean_version", "fits"),
    [
        ("outside", "10.3.0.30", True),
        ("outside", "11.4.0.106", False),  # no newer lean runtime brings that of the builder
        ("inside", "11.4.0.106", True),
        ("inside", "10.1.0", False),
    ],
)
def test_the_lean_package_must_be_of_the_version_that_built_a_plan_without_its_runtime(
    place: str, lean_version: str, fits: bool, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    lean = FakeTensorRT(gpu, name="tensorrt_lean")
    lean.__version__ = lean_version
    monkeypatch.setitem(sys.modules, "tensorrt_lean", lean)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    built = replace(facts(), version_compatible=True).to_json()
    build = {**built, "networks": {"segment": {"lean_runtime": place}}}
    with nullcontext() if fits else pytest.raises(EngineMismatch, match=lean_version):
        check_plan_fits_here(build, where="bundle", target="gpu", lean=True)


def test_the_lean_package_loads_plans_where_it_is_chosen(
    gpu: FakeCuda, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_lean", FakeTensorRT(gpu, name="tensorrt_lean"))
    engine = TensorRTEngine(file, options=DeviceOptions(lean=True))
    assert engine.description.startswith("tensorrt_lean 10.3.0.30")
    monkeypatch.setitem(sys.modules, "tensorrt_lean", None)
    with pytest.raises(MissingDependency, match=r"lean runtime: pip install 'edgebs\[lean\]'"):
        TensorRTEngine(file, options=DeviceOptions(lean=True))
    with pytest.raises(ValueError, match="choose one lean runtime"):
        DeviceOptions(lean=True, lean_runtime=file)


def test_the_repair_for_an_rtx_plan_names_the_target_of_this_gpu() -> None:
    with pytest.raises(EngineMismatch, match="--target sm86"):
        check_plan_fits(facts(), facts(compute_capability="8.6"), where="bundle", target="sm75")
    with pytest.raises(EngineMismatch, match="--target rtx"):
        check_plan_fits(facts(), facts(compute_capability="12.1"), where="bundle", target="sm120")
    with pytest.raises(EngineMismatch, match="--target gpu"):
        check_plan_fits(facts(), facts(compute_capability="8.7"), where="bundle", target="sm75")


def test_facts_travel_through_the_manifest(trt: FakeTensorRT) -> None:
    del trt
    here = plan_facts_here("tensorrt")
    assert here == facts(gpu="Fake RTX 2080 Ti")
    assert PlanFacts.from_json(here.to_json()) == here
    check_plan_fits_here(here.to_json(), where="bundle", target="gpu")
    with pytest.raises(BundleError, match="no tensorrt, compute_capability"):
        PlanFacts.from_json({"module": "tensorrt", "platform": "linux"})


def test_the_logger_passes_warnings_on_and_keeps_errors(
    trt: FakeTensorRT, caplog: pytest.LogCaptureFixture
) -> None:
    logger = make_logger(trt)
    severity = trt.ILogger.Severity
    with caplog.at_level(logging.INFO):
        logger.log(severity.WARNING, "slow")
        logger.log(severity.INFO, "diary")
        logger.log(severity.ERROR, "the cause")
        logger.log(severity.INTERNAL_ERROR, "what followed")
    assert caplog.messages == ["slow"]
    assert last_error(logger) == "the cause"
    assert last_error(logger) == "TensorRT gave no reason"


def test_the_real_tensorrt_rtx_without_a_gpu_says_that_there_is_none(file: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    if cuda.device_count().count:
        pytest.skip("this machine has a GPU")
    with pytest.raises(BackendError, match="no NVIDIA GPU: "):
        open_backend("tensorrt_rtx", file)
    with pytest.raises(EngineMismatch, match=r"here is no GPU .*with tensorrt_rtx 1\..* --target cpu"):
        check_plan_fits_here(facts(module="tensorrt_rtx").to_json(), where="bundle", target="sm75")


def test_every_runtime_name_used_here_exists_in_the_real_tensorrt_rtx() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    names = {
        trt.ICudaEngine: "num_io_tensors get_tensor_name get_tensor_mode get_tensor_shape get_tensor_dtype "
        "get_tensor_location create_execution_context",
        trt.IExecutionContext: "set_tensor_address execute_async_v3",
        trt.Runtime: "deserialize_cuda_engine engine_host_code_allowed",
        trt.TensorIOMode: "INPUT",
        trt.TensorLocation: "DEVICE",
        trt.ILogger.Severity: "INTERNAL_ERROR ERROR WARNING INFO VERBOSE",
        trt.DataType: "FLOAT HALF INT8 INT32 INT64 UINT8 BOOL",
    }
    absent = [
        (owner, name) for owner, used in names.items() for name in used.split() if not hasattr(owner, name)
    ]
    assert not absent
