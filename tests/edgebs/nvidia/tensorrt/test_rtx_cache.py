"""edgebs/nvidia/tensorrt/rtx_cache.py: what TensorRT-RTX compiles is compiled once, over a fake GPU."""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.gpu.cuda import FakeCuda, Status, install
from fakes.gpu.tensorrt import EngineOfRtx, FakeTensorRT, RuntimeConfig, plan

from edgebs.backends.tensorrt import TensorRTBackend
from edgebs.errors import DeviceLost
from edgebs.nvidia import cuda
from edgebs.nvidia.tensorrt import rtx_cache as tensorrt_rtx_cache
from edgebs.nvidia.tensorrt.engine import TensorRTContext, TensorRTEngine
from edgebs.nvidia.tensorrt.rtx_cache import RuntimeCache, open_runtime_cache
from edgebs.tensors import Array

VERSION = "1.7.1.116"
FEED: dict[str, Array] = {
    "frame": np.full((1, 2, 2, 3), 10, np.uint8),
    "cue": np.full((1, 3, 2, 2), 0.5, np.float32),
}

Process = Callable[..., FakeTensorRT]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    install(fake, monkeypatch)
    return fake


@pytest.fixture
def process(gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> Process:
    """Makes a TensorRT-RTX that knows nothing of those before, as a new process has it."""

    def new(version: str = VERSION) -> FakeTensorRT:
        fake = FakeTensorRT(gpu, name="tensorrt_rtx", version=version)
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake)
        return fake

    return new


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "edgebs" / "tensorrt-rtx"


@pytest.fixture
def file(tmp_path: Path, folder: Path) -> Path:
    del folder
    (tmp_path / "segment.plan").write_bytes(plan(version=VERSION))
    return tmp_path / "segment.plan"


def run(file: Path) -> None:
    """Open, run once, close."""
    backend = TensorRTBackend(file, module="tensorrt_rtx")
    assert backend.infer(FEED)["probability"][0, 0, 0] == 20.5
    backend.close()


def run_context(engine: TensorRTEngine) -> None:
    """Make a context of the engine, run it once, close it."""
    with cuda.Stream() as stream, ExitStack() as owned:
        context = TensorRTContext(engine)
        owned.callback(context.close)
        specs = {**engine.inputs, **engine.outputs}
        sizes = {name: np.zeros(spec.shape, spec.dtype).nbytes for name, spec in specs.items()}
        context.bind({name: owned.enter_context(cuda.DeviceBuffer(size)) for name, size in sizes.items()})
        context.enqueue(stream)
        stream.synchronize()


def only(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def test_a_second_process_starts_with_the_kernels_of_the_first(
    process: Process, file: Path, folder: Path
) -> None:
    first = process()
    run(file)
    assert len(first.compiled) == 2
    assert only(folder).suffix == ".kernels"
    second = process()
    run(file)
    assert second.compiled == []


def test_kernels_that_are_compiled_later_join_those_that_were_kept(process: Process, file: Path) -> None:
    process()
    engine = TensorRTEngine(file, module="tensorrt_rtx")
    TensorRTContext(engine).close()  # never run
    engine.close()
    second = process()
    run(file)
    assert [kernel.rpartition(": ")[2] for kernel in second.compiled] == ["at its first run"]
    third = process()
    run(file)
    assert third.compiled == []


def test_contexts_of_all_threads_share_what_one_compiled(process: Process, file: Path, folder: Path) -> None:
    here = process()
    engine = TensorRTEngine(file, module="tensorrt_rtx")
    together, failed = threading.Barrier(4), []

    def work() -> None:
        together.wait()
        try:
            run_context(engine)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.close()
    assert (failed, len(here.contexts), len(here.compiled)) == ([], 4, 2)
    assert only(folder).is_file()


def test_the_last_owner_keeps_the_kernels(process: Process, file: Path, folder: Path) -> None:
    process()
    engine = TensorRTEngine(file, module="tensorrt_rtx")
    other = engine.share()
    run_context(engine)
    engine.close()
    assert not folder.exists()
    other.close()
    kept = only(folder).stat().st_ino
    other.close()
    assert only(folder).stat().st_ino == kept


def test_nothing_is_written_when_nothing_was_compiled(process: Process, file: Path, folder: Path) -> None:
    process()
    TensorRTEngine(file, module="tensorrt_rtx").close()
    assert not folder.exists()
    run(file)
    before = only(folder).stat()
    process()
    run(file)
    after = only(folder).stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0.30", "11.4.1"])
def test_tensorrt_itself_compiles_nothing_and_keeps_nothing(
    gpu: FakeCuda, file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT(gpu, version=version))
    file.write_bytes(plan(version=version))
    backend = TensorRTBackend(file)
    backend.infer(FEED)
    backend.close()
    assert not folder.exists()


def test_everything_that_changes_kernels_changes_the_file(process: Process, file: Path, folder: Path) -> None:
    def path(content: bytes = b"plan", version: str = VERSION, **changes: Any) -> Path:
        file.write_bytes(content)
        facts = {"name": "RTX 3080", "compute_capability": "8.6", "driver": "13.0", "memory_bytes": 10}
        trt = process(version)
        engine = trt.engine_type(trt, print, {"tensors": {}})
        cache = open_runtime_cache(trt, engine, file, cuda.DeviceFacts(**(facts | changes)), None)
        assert cache is not None
        assert cache.path.parent == folder
        return cache.path

    changed = [
        path(),
        path(b"PLAN"),
        path(version="1.8.0.1"),
        path(name="RTX 3080 Ti"),
        path(compute_capability="8.9"),
        path(driver="13.1"),
        path(memory_bytes=12),
    ]
    assert len(set(changed)) == len(changed)
    assert path() == path(pci_bus_id="0000:65:00.0") == changed[0]


def test_kernels_that_tensorrt_refuses_are_compiled_again_and_replaced(
    process: Process, file: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process()
    run(file)
    elsewhere = process()
    elsewhere.sku = "laptop"  # same name, driver and memory
    with caplog.at_level(logging.INFO, "edgebs"):
        run(file)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "made elsewhere, starting an empty one: the cache is for" in record.getMessage()
    assert len(elsewhere.compiled) == 2
    there_again = process()
    there_again.sku = "laptop"
    run(file)
    assert there_again.compiled == []
    assert only(folder)


def test_a_refused_cache_is_not_the_reason_of_a_later_error(process: Process, file: Path) -> None:
    process()
    run(file)
    process().sku = "laptop"
    engine = TensorRTEngine(file, module="tensorrt_rtx")
    assert list(engine.logger.errors) == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "emptied"])
def test_a_damaged_file_is_not_handed_to_tensorrt_and_replaced(
    process: Process, file: Path, folder: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    process()
    run(file)
    whole = only(folder).read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    contents = {"truncated": whole[:-9], "flipped": flipped, "foreign": b"x", "emptied": b""}
    only(folder).write_bytes(contents[damage])
    again = process()
    run(file)
    assert len(again.compiled) == 2
    assert [record.levelno for record in caplog.records if "is damaged" in record.getMessage()] == (
        [] if damage == "emptied" else [logging.WARNING]
    )
    assert only(folder).read_bytes() == whole


def test_a_file_that_cannot_be_read_is_done_without(
    process: Process, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process()
    run(file)
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.suffix == ".kernels":
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    again = process()
    run(file)
    assert len(again.compiled) == 2
    assert "cannot be read: [Errno 13] Permission denied" in caplog.text


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("mkdir", OSError(errno.EROFS, "Read-only file system")),
        ("open", OSError(errno.ENOSPC, "No space left on device")),
        ("replace", PermissionError(errno.EACCES, "Permission denied")),
    ],
)
def test_a_folder_that_takes_nothing_is_done_without_and_holds_nothing_half_written(
    process: Process,
    file: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call: str,
    error: OSError,
) -> None:
    process()
    original = getattr(Path, call)

    def refused(path: Path, *arguments: Any, **named: Any) -> Any:
        if folder in (path, *path.parents):
            raise error
        return original(path, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, call, refused)
        run(file)
    assert f"runtime cache not kept: file {folder}" in caplog.text
    assert str(error.strerror) in caplog.text
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_cache_that_may_only_be_read_is_used(
    process: Process, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process()
    run(file)

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refused)
    again = process()
    run(file)
    assert again.compiled == []
    assert not caplog.records


def test_a_user_without_a_home_runs_without_a_cache(
    process: Process, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "expanduser", homeless)
    process()
    run(file)
    assert "runtime cache not kept" in caplog.text


@pytest.mark.parametrize("kept_before", [False, True])
def test_a_lost_gpu_stays_the_error_and_leaves_the_file_as_it_was(
    gpu: FakeCuda,
    process: Process,
    file: Path,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    kept_before: bool,
) -> None:
    here = process()
    if kept_before:
        run(file)
    before = only(folder).read_bytes() if kept_before else b""
    backend = TensorRTBackend(file, module="tensorrt_rtx")

    def lost_in_a_run() -> None:
        try:
            gpu.lost = Status.cudaErrorLaunchFailure
            backend.infer(FEED)
        finally:
            backend.close()

    with pytest.raises(DeviceLost, match="cudaErrorLaunchFailure"):
        lost_in_a_run()
    assert "does not give its kernels for" in caplog.text
    assert "the GPU is lost" in caplog.text
    assert before == (only(folder).read_bytes() if folder.exists() else b"")
    compiled = len(here.compiled)
    run(file)  # the device comes back, as do the kernels that were kept
    assert len(here.compiled) - compiled == (0 if kept_before else 2)


@pytest.mark.parametrize("error", [RuntimeError("std::exception"), MemoryError("std::bad_alloc")])
def test_kernels_that_are_not_given_are_no_error(
    process: Process, file: Path, folder: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    here = process()
    here.serialize_raises = error
    run(file)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"does not give its kernels for {folder}" in caplog.text
    assert str(error) in caplog.text
    assert not folder.exists()


def test_a_configuration_that_takes_no_cache_is_said_and_runs(
    process: Process, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process().takes_runtime_cache = False
    run(file)
    assert "takes no runtime cache: it compiles every kernel again" in caplog.text


def test_the_folder_forgets_what_was_not_used_for_longest(
    process: Process, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process()
    plans = [tmp_path / f"{number}.plan" for number in range(3)]
    for number, file in enumerate(plans):
        file.write_bytes(plan(version=VERSION, frame={"origin": number}))
    for age, file in enumerate(plans[:2]):
        before = set(folder.iterdir()) if folder.exists() else set()
        run(file)
        (new,) = set(folder.iterdir()) - before
        os.utime(new, (age, age))
    one = new.stat().st_size
    run(plans[0])  # used after the other
    monkeypatch.setattr(tensorrt_rtx_cache, "CAP_BYTES", int(2.5 * one))
    run(plans[2])
    assert len(list(folder.iterdir())) == 2
    assert new not in folder.iterdir()


def test_of_two_engines_that_close_at_once_one_is_kept_whole(process: Process, tmp_path: Path) -> None:
    config: Any = RuntimeConfig(EngineOfRtx(process(), print, {"tensors": {}}))

    def opened() -> RuntimeCache:
        return RuntimeCache(config.create_runtime_cache(), tmp_path / "a.kernels", None)

    caches = [opened(), opened()]
    for number, cache in enumerate(caches):
        cache.native.need(f"kernel {number}")
    threads = [threading.Thread(target=cache.keep) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened().native.kernels in ({"kernel 0"}, {"kernel 1"})
    assert [path.name for path in tmp_path.iterdir()] == ["a.kernels"]
