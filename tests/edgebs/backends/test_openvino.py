"""edgebs/backends/openvino.py: what it computes, what it refuses, what it keeps between runs."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes.networks.toy_onnx import constant_map, open_batch, scaled_sum, unknown_operator
from fakes.process.waiting import WATCHDOG_S

from edgebs.backends import open_backend
from edgebs.backends import openvino as openvino_backend
from edgebs.backends.openvino import OpenVinoBackend, supports_bf16
from edgebs.errors import BackendError, MissingDependency
from edgebs.machine.cpu import this_cpu
from edgebs.tensors import Array, TensorSpec

pytest.importorskip("openvino")


def feed(grey: int = 10, motion: float = 0.5) -> dict[str, Array]:
    return {
        "frame": np.full((1, 4, 6, 3), grey, np.uint8),
        "cue": np.full((1, 3, 4, 6), motion, np.float32),
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return scaled_sum(tmp_path / "segment.onnx")


@pytest.fixture
def backend(file: Path, tmp_path: Path) -> OpenVinoBackend:
    return OpenVinoBackend(file, cache_dir=tmp_path / "cache")


def test_it_computes_what_the_file_says(backend: OpenVinoBackend) -> None:
    np.testing.assert_array_equal(backend.infer(feed())["probability"], np.full((1, 4, 6), 20.5, np.float32))


def test_specs_come_from_the_file(backend: OpenVinoBackend) -> None:
    assert backend.inputs == {
        "frame": TensorSpec((1, 4, 6, 3), "uint8"),
        "cue": TensorSpec((1, 3, 4, 6), "float32"),
    }
    assert backend.outputs == {"probability": TensorSpec((1, 4, 6), "float32")}


def test_outputs_are_reused_by_the_next_call(backend: OpenVinoBackend) -> None:
    first = backend.infer(feed(grey=10))["probability"]
    second = backend.infer(feed(grey=20))["probability"]
    assert first is second
    assert second[0, 0, 0] == 40.5


def test_an_array_changed_in_place_is_read_again(backend: OpenVinoBackend) -> None:
    given = feed(grey=10)
    backend.infer(given)
    given["frame"][:] = 20
    assert backend.infer(given)["probability"][0, 0, 0] == 40.5


def test_read_only_and_strided_inputs_are_taken(backend: OpenVinoBackend) -> None:
    given = feed()
    for grey in (10, 20, 30):
        frame = np.full((1, 4, 6, 3), grey, np.uint8)
        frame.flags.writeable = False
        given["frame"] = frame
        given["cue"] = np.full((1, 3, 8, 12), 0.5, np.float32)[:, :, ::2, ::2]
        assert backend.infer(given)["probability"][0, 0, 0] == 2 * grey + 0.5


def test_inputs_of_another_shape_dtype_or_name_are_refused(backend: OpenVinoBackend) -> None:
    with pytest.raises(
        ValueError, match=r"tensor 'frame' must be uint8 \(1, 4, 6, 3\), got uint8 \(1, 4, 6, 1\)"
    ):
        backend.infer(feed() | {"frame": np.zeros((1, 4, 6, 1), np.uint8)})
    with pytest.raises(ValueError, match="got float64"):
        backend.infer(feed() | {"cue": np.zeros((1, 3, 4, 6))})
    with pytest.raises(ValueError, match=r"inputs are \['cue', 'frame'\], got \['frame'\]"):
        backend.infer({"frame": feed()["frame"]})


def test_a_closed_backend_says_so_and_closes_twice(backend: OpenVinoBackend) -> None:
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer(feed())


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_damaged_files_are_errors_of_one_line(name: str, file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    damaged = {"half.onnx": whole[: len(whole) // 2], "noise.onnx": b"hello world" * 50, "empty.onnx": b""}
    for file_name, content in damaged.items():
        (tmp_path / file_name).write_bytes(content)
        with pytest.raises(BackendError, match=file_name) as caught:
            open_backend(name, tmp_path / file_name)
        assert "\n" not in str(caught.value)
    with pytest.raises(BackendError, match=r"no such network file: .*absent\.onnx"):
        open_backend(name, tmp_path / "absent.onnx")


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"my\.ops\.Fancy"):
        OpenVinoBackend(unknown_operator(tmp_path / "odd.onnx"))


def test_open_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"tensor 'x' has no fixed shape \(\?x3\)"):
        OpenVinoBackend(open_batch(tmp_path / "open.onnx"))


def test_compute_and_threads_are_what_was_asked_for(file: Path, tmp_path: Path) -> None:
    # OpenVINO's default on a CPU with bfloat16 is bf16: f32 must be asked for.
    one = OpenVinoBackend(file, compute="f32", threads=1, cache_dir=tmp_path / "cache")
    assert one.description.endswith("CPU f32, 1 thread")
    assert one._model.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


def test_bf16_without_such_a_cpu_is_an_error_not_f32(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_backend, "supports_bf16", lambda: False)
    with pytest.raises(BackendError, match="no bfloat16 arithmetic"):
        OpenVinoBackend(file, compute="bf16")


def test_bf16_computes_in_bf16_where_the_cpu_can(file: Path, tmp_path: Path) -> None:
    if not supports_bf16():
        pytest.skip("this CPU has no bfloat16")
    backend = OpenVinoBackend(file, compute="bf16", cache_dir=tmp_path / "cache")
    assert backend._model.get_property("INFERENCE_PRECISION_HINT").to_string() == "bf16"


def test_unknown_compute_lists_the_known(file: Path) -> None:
    with pytest.raises(BackendError, match="unknown compute type 'fp8'; known: f32, bf16"):
        OpenVinoBackend(file, compute="fp8")


def test_missing_openvino_says_what_to_install(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependency, match=r"pip install 'edgebs\[cpu\]'"):
        OpenVinoBackend(file)


def test_a_second_load_comes_from_the_cache(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    OpenVinoBackend(file, cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.blob"))) == 1
    monkeypatch.setattr(openvino_backend, "_read_onnx", lambda _: pytest.fail("compiled again"))
    second = OpenVinoBackend(file, cache_dir=tmp_path / "cache")
    assert second.infer(feed())["probability"][0, 0, 0] == 20.5


def test_a_cpu_of_the_same_name_with_other_instruction_sets_has_an_entry_of_its_own(
    file: Path, tmp_path: Path
) -> None:
    """Of a home folder that two boxes share: the entry of the other one was a warning at each start."""
    OpenVinoBackend(file, cache_dir=tmp_path / "cache").close()
    code = """
import sys
from pathlib import Path
from edgebs.backends.openvino import OpenVinoBackend
OpenVinoBackend(Path(sys.argv[1]), cache_dir=Path(sys.argv[2])).close()
"""
    said = subprocess.run(
        [sys.executable, "-c", code, str(file), str(tmp_path / "cache")],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX"},
        cwd=Path(__file__).parents[3],
    )
    assert said.stderr == ""
    entries = len(list((tmp_path / "cache").glob("*.blob")))
    assert entries == (2 if "avx2" in this_cpu().features else 1)


def test_a_network_from_the_cache_keeps_its_weights_mapped(tmp_path: Path) -> None:
    # OpenVINO reads them while it runs and does not hold them: unmapped, the process dies.
    constant_map(tmp_path / "net.onnx")
    code = """
import gc, sys, numpy as np
from pathlib import Path
from edgebs.backends.openvino import OpenVinoBackend
folder = Path(sys.argv[1])
feed = {"x": np.ones((1, 64, 64, 64), np.float32)}
results = []
for _ in range(2):
    backend = OpenVinoBackend(folder / "net.onnx", cache_dir=folder)
    gc.collect()
    results.append(backend.infer(feed)["y"].copy())
    backend.close()
assert len(list(folder.glob("*.blob"))) == 1
np.testing.assert_array_equal(*results)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(command, check=True, timeout=WATCHDOG_S, cwd=Path(__file__).parents[3])


def test_a_changed_file_of_the_same_name_size_and_time_is_compiled_again(tmp_path: Path) -> None:
    # OpenVINO's own CACHE_DIR (2026.4) returns the old network here.
    file, cache = tmp_path / "segment.onnx", tmp_path / "cache"
    scaled_sum(file, factor=2.0)
    before = file.stat()
    OpenVinoBackend(file, cache_dir=cache).close()
    scaled_sum(file, factor=3.0)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert OpenVinoBackend(file, cache_dir=cache).infer(feed())["probability"][0, 0, 0] == 30.5


def test_other_options_have_their_own_entry(file: Path, tmp_path: Path) -> None:
    OpenVinoBackend(file, cache_dir=tmp_path / "cache")
    OpenVinoBackend(file, threads=1, cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.blob"))) == 2


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign"])
def test_a_damaged_entry_is_compiled_again_and_replaced(
    damage: str, file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    OpenVinoBackend(file, cache_dir=tmp_path / "cache")
    (entry,) = (tmp_path / "cache").glob("*.blob")
    whole = entry.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    entry.write_bytes({"truncated": whole[:middle], "flipped": flipped, "foreign": b"x"}[damage])
    with caplog.at_level(logging.WARNING):
        again = OpenVinoBackend(file, cache_dir=tmp_path / "cache")
    assert again.infer(feed())["probability"][0, 0, 0] == 20.5
    assert "damaged" in caplog.text
    assert entry.read_bytes()[-32:] != b"x"
    assert len(entry.read_bytes()) > 32


def test_an_unwritable_cache_is_done_without(
    file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("not a folder")
    with caplog.at_level(logging.WARNING):
        backend = OpenVinoBackend(file, cache_dir=blocked / "cache")
    assert backend.infer(feed())["probability"][0, 0, 0] == 20.5
    assert "not cached" in caplog.text


def test_the_default_cache_follows_xdg(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    OpenVinoBackend(file)
    assert list((tmp_path / "xdg" / "edgebs" / "openvino").glob("*.blob"))


def test_an_unknown_backend_lists_the_known(file: Path) -> None:
    with pytest.raises(BackendError, match="known: openvino, onnxruntime, tensorrt, tensorrt_rtx"):
        open_backend("caffe", file)


def test_the_cache_forgets_what_was_not_used_for_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgebs.backends import openvino as openvino_cache

    monkeypatch.setattr(openvino_cache, "CAP_BYTES", 2500)
    cache = openvino_cache.CompiledCache(tmp_path / "cache")
    entries = []
    for number in range(3):
        network = tmp_path / f"{number}.onnx"
        network.write_bytes(bytes([number]))
        entries.append(cache.entry(network, {}))
    for age, entry in enumerate(entries[:2]):
        entry.store(lambda: bytes(1000))
        os.utime(entry.path, (age, age))
    entries[0].load(lambda blob: blob)  # used after the other
    entries[2].store(lambda: bytes(1000))
    assert [entry.path.is_file() for entry in entries] == [True, False, True]


def test_a_cache_that_may_only_be_read_is_used(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from edgebs.backends import openvino as openvino_cache

    entry = openvino_cache.CompiledCache(tmp_path / "cache").entry(file, {})
    entry.store(lambda: b"network")

    def refused(*_: object) -> None:
        raise PermissionError("it belongs to another user")

    monkeypatch.setattr(os, "utime", refused)
    found = entry.load(bytes)
    assert found is not None
    assert found[0] == b"network"
    assert not caplog.records
