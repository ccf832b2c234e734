"""Names that no encoding can write: on streams, in JSON, and given to libraries of C++."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.networks.small_bundle import small_bundle
from fakes.video.picture_folders import moving_bar

from edgebs.errors import SinkError
from edgebs.files import is_utf8, library_path
from edgebs.text import json_text, make_printable, path_from_text, printable
from edgebs.video.picture_file import write_picture

LATIN = os.fsdecode(b"caf\xe9")
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_bytes_that_are_no_text_are_shown_as_python_types_them():
    assert printable(f"{LATIN}.mp4 café 東") == "caf\\xe9.mp4 café 東"
    assert printable("\ud800") == "\\ud800"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("utf-8", "caf\\xe9 é…\n"), ("ascii", "caf\\xe9 \\xe9\\u2026\n"), ("latin-1", "caf\\xe9 é\\u2026\n")],
)
def test_a_stream_escapes_what_it_cannot_encode(encoding, expected):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    make_printable(stream)
    stream.write(f"{LATIN} é…\n")
    stream.flush()
    assert stream.buffer.getvalue().decode(encoding) == expected


def test_json_is_ascii_without_surrogates_and_without_secrets():
    data = {LATIN: [Path(LATIN), "é", 1.5, None, True], "source": "rtsp://u:hunter2@h", "n": {1: 2}}
    text = json_text(data)
    assert text.isascii()
    assert "\\udc" not in text
    assert json.loads(text) == {
        "caf\\xe9": ["caf\\xe9", "é", 1.5, None, True],
        "source": "rtsp://u:***@h",
        "n": {"1": 2},
    }


def test_a_recorded_path_is_found_again(tmp_path):
    file = tmp_path / f"{LATIN}.safetensors"
    file.touch()
    assert path_from_text(printable(str(file))) == file
    plain = tmp_path / "a\\xe9"  # a name that really has a backslash
    plain.touch()
    assert path_from_text(str(plain)) == plain
    assert path_from_text("/nowhere/x") == Path("/nowhere/x")


def test_a_library_is_given_a_name_in_utf_8(tmp_path):
    folder = tmp_path / LATIN
    folder.mkdir()
    (folder / "x").write_text("content")
    with library_path(folder) as path:
        assert is_utf8(path)
        assert (path / "x").read_text() == "content"
    (folder / LATIN).write_text("other")
    with library_path(folder / "x") as path, library_path(folder / LATIN) as other:
        assert (path.read_text(), path.name) == ("content", "x")
        assert other.read_text() == "other"
    with library_path(tmp_path) as path:
        assert path == tmp_path


def test_pictures_are_written_under_any_name(tmp_path):
    file = tmp_path / f"{LATIN}.PNG"
    write_picture(file, np.full((2, 3), 7, np.uint8))
    assert cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_GRAYSCALE).tolist() == [[7] * 3] * 2
    with pytest.raises(SinkError, match=r"'\.xyz'.*Name it \.png or \.jpg"):
        write_picture(tmp_path / "a.xyz", np.zeros((2, 3), np.uint8))


def test_weights_and_networks_are_read_under_any_name(tmp_path):
    torch = pytest.importorskip("torch")
    from export.convert import open_session
    from export.models.weights import load_weights, save_weights, weights_description

    folder = tmp_path / LATIN
    folder.mkdir()
    module, again = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    file = folder / f"{LATIN}.safetensors"
    save_weights(module, file, {"a": 1})
    load_weights(again, file)
    assert torch.equal(again.weight, module.weight)
    assert weights_description(file) == {"a": 1}
    bundle = small_bundle(tmp_path / "b")
    engine = folder / f"{LATIN}.onnx"
    engine.write_bytes(bundle.file("segment").read_bytes())
    assert [tensor.name for tensor in open_session(engine).get_inputs()] == ["frame", "cue"]


def test_external_weights_are_read_under_any_name(tmp_path):
    onnx = pytest.importorskip("onnx")
    from edgebs.files import work_folder
    from export.convert import open_session
    from export.external_flow.file import load_flow_file

    bundle = small_bundle(tmp_path / "b")
    model = onnx.load(bundle.file("segment"))
    values = np.arange(4096, dtype=np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, "many"))
    folder = tmp_path / LATIN
    folder.mkdir()
    with work_folder(folder / f"{LATIN}.onnx") as work:
        settings = {"save_as_external_data": True, "location": "w.bin", "size_threshold": 0}
        onnx.save_model(model, str(work / "m.onnx"), **settings)
        (work / "w.bin").replace(folder / "w.bin")
        (work / "m.onnx").replace(folder / "m.onnx")
    loaded = load_flow_file(folder / "m.onnx")
    assert loaded.graph.initializer[-1].raw_data == values.tobytes()
    assert open_session(folder / "m.onnx").get_outputs()[0].name == "probability"


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    ("name", "locale"), [(b"caf\xe9", {}), (b"caf\xe9", C_LOCALE), ("café".encode(), C_LOCALE)]
)
def test_run_reads_and_writes_such_names_and_prints_them(tmp_path, backend, name, locale):
    place = tmp_path / os.fsdecode(name)
    place.mkdir()
    bundle = small_bundle(place / os.fsdecode(name + b"-bundle"), backend=backend)
    frames = place / os.fsdecode(name)
    frames.mkdir()
    for index, frame in enumerate(moving_bar(3)):
        write_picture(frames / f"{index}.png", frame)
    masks = place / os.fsdecode(name + b"-masks")
    command = ["run", bundle.path, "--source", frames, "--mask", masks]
    done = subprocess.run(
        [sys.executable, "-m", "edgebs.cli", *map(str, command)],
        capture_output=True,
        env={**os.environ, "XDG_CACHE_HOME": str(place / "cache"), **locale},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list(masks.iterdir())) == 3
    shown = "".join(chr(byte) if byte < 128 else f"\\x{byte:02x}" for byte in name + b"-masks")
    assert done.stdout.decode("ascii").splitlines()[-1].endswith(shown)


def test_an_error_about_such_a_name_is_one_line(tmp_path):
    bundle = small_bundle(tmp_path / "b")
    command = [sys.executable, "-m", "edgebs.cli", "run", str(bundle.path), "--source", f"/nowhere/{LATIN}"]
    for locale in ({}, C_LOCALE):
        done = subprocess.run(
            command, capture_output=True, env={**os.environ, **locale}, timeout=120, check=False
        )
        assert done.returncode == 1
        assert done.stderr.decode().startswith("edgebs: error: no such file or folder: /nowhere/caf\\xe9 (")
        assert done.stderr.count(b"\n") == 1
