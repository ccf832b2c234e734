# ruff: noqa: E501  (tables: a case a line)
"""Bad inputs for the command line and the Python API: a table with an id each, and how to make each.

A case of the command line is words; `{NAME}` in them is a file or folder that `Workshop` makes. A case of the
API is a function. Each must end in one clear message: no traceback, no signal, no hang.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgebs.bundle.manifest import Manifest
from fakes.networks.small_bundle import small_bundle
from fakes.video.picture_folders import moving_bar, picture_folder


@dataclass(frozen=True)
class Case:
    """One bad input on the command line."""

    name: str
    words: tuple[str, ...]
    says: str = ""
    """Part of the message."""
    code: int = 1
    area: str = ""
    """Whose fault is known: the case is expected to fail until it is repaired there."""


class Workshop:
    """Makes the files that cases name, in one folder, each once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bundle = small_bundle(folder / "bundle").path
        self.pictures = picture_folder(folder / "pictures", moving_bar(4))
        self.out = folder / "out"

    def place(self, name: str) -> str:
        """The path that `{name}` stands for."""
        if hasattr(self, name):
            return str(getattr(self, name))
        path = self.folder / FILE_NAMES.get(name, name)
        if not os.path.lexists(path):
            FILES[name](self, path)
        return str(path)

    def words(self, case: Case) -> list[str]:
        """What is typed."""
        return [re.sub(r"\{([\w.-]+)\}", lambda found: self.place(found[1]), word) for word in case.words]


Make = Callable[[Workshop, Path], object]
FILES: dict[str, Make] = {}
FILE_NAMES: dict[str, str] = {}


def file(name: str, make: Make, named: str = "") -> str:
    FILES[name] = make
    if named:
        FILE_NAMES[name] = named
    return name


def bytes_of(content: bytes) -> Make:
    return lambda _, path: path.write_bytes(content)


RANDOM = np.random.default_rng(7).bytes(4096)
PNG = cv2.imencode(".png", np.full((32, 48, 3), 90, np.uint8))[1].tobytes()
JPEG = cv2.imencode(".jpg", np.full((32, 48, 3), 90, np.uint8))[1].tobytes()


def damaged_files() -> Iterator[tuple[str, Make]]:
    """Things that are no file of any kind that is asked for."""
    yield "empty", bytes_of(b"")
    yield "one-byte", bytes_of(b"\0")
    yield "random", bytes_of(RANDOM)
    yield "zeros", bytes_of(bytes(4096))
    yield "text", bytes_of(b"hello\n" * 100)
    yield "not-utf8", bytes_of(b"caf\xe9 \xff\xfe" * 50)
    yield "json", bytes_of(b"{}")
    yield "picture", bytes_of(PNG)
    yield "zip", bytes_of(b"PK\x03\x04" + RANDOM[:200])
    yield "script", bytes_of(b"#!/bin/sh\nexit 0\n")
    yield "folder", lambda _, path: path.mkdir()
    yield "broken-link", lambda _, path: path.symlink_to(path.with_name("nowhere"))
    yield "link-loop", lambda _, path: path.symlink_to(path.name)
    yield "fifo", lambda _, path: os.mkfifo(path)
    yield "socket", _socket


def _socket(_: Workshop, path: Path) -> None:
    import socket

    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


NASTY_NAMES = {
    "newline": "a\nb",
    "escape": "a\x1b[31mb",
    "bracket": "a[/b]c",
    "braces": "a{ }%s%n",
    "latin": os.fsdecode(b"caf\xe9"),
    "quotes": "a'b\"c",
    "blanks": "  ",
    "dash": "-x",
    "dots": "...",
    "right-to-left": "a\u202eb",
    "long": "n" * 300,
    "deep": "/".join(["d" * 200] * 30),
    "tilde": "~nobody/x",
    "wild": "*?",
    "device": "/dev/null",
    "zero-device": "/dev/zero",
    "proc": "/proc/self/mem",
    "nothing": "",
    "scheme": "file://",
    "unknown-scheme": "abc://x/y",
    "percent": "file:///a%00b",
    "colon": "C:\\x",
}

USES: Mapping[str, tuple[str, ...]] = {
    "source": ("run", "{bundle}", "--source", "X"),
    "bundle": ("run", "X", "--source", "{pictures}"),
    "background": ("run", "{background_bundle}", "--source", "{pictures}", "--background", "X"),
    "calibrate": ("calibrate", "X", "--out", "{out}"),
    "eval": ("eval", "{bundle}", "--data", "X"),
    "inspect": ("inspect", "X"),
}
"""Where a file of each kind is damaged."""
NAME_USES: Mapping[str, tuple[str, ...]] = {
    "source": ("run", "{bundle}", "--source", "X"),
    "inspect": ("inspect", "X"),
    "eval": ("eval", "{bundle}", "--data", "X"),
}
VIDEO = {"fifo", "socket", "zero-device", "proc", "percent", "scheme"}


RIGHT = {
    ("background", "broken-link"),
    ("background", "link-loop"),
    ("source", "picture"),
    ("source", "fifo"),
}
"""Not bad: a new file is written there; FFmpeg reads a picture without an ending as a film of one frame; a pipe
is waited for."""


def file_cases() -> Iterator[Case]:
    for kind, make in damaged_files():
        for use, words in USES.items():
            name = file(f"{use}_{kind}", make)
            if (use, kind) in RIGHT:
                continue
            yield Case(f"{use}:{kind}", tuple(f"{{{name}}}" if word == "X" else word for word in words))


def name_cases() -> Iterator[Case]:
    for kind, name in NASTY_NAMES.items():
        for use, words in NAME_USES.items():
            typed = tuple(name if word == "X" else word for word in words)
            yield Case(f"{use}-name:{kind}", typed, code=12)


OPTIONS = (
    "run {bundle} --source {pictures} --frames 0",
    "run {bundle} --source {pictures} --frames -1",
    "run {bundle} --source {pictures} --frames 1e3",
    "run {bundle} --source {pictures} --threshold 1.5",
    "run {bundle} --source {pictures} --threshold nan",
    "run {bundle} --source {pictures} --threshold inf",
    "run {bundle} --source {pictures} --threshold x",
    "run {bundle} --source {pictures} --threads -1",
    "run {bundle} --source {pictures} --threads 99999999999999999999",
    "run {bundle} --source {pictures} --device -1",
    "run {bundle} --source {pictures} --device 99999999999999999999",
    "run {bundle} --source {pictures} --graphs sometimes",
    "run {bundle} --source {pictures} --lean",
    "run {bundle} --source {pictures} --together",
    "run {bundle} --source {pictures} --mask a --mask b",
    "run {bundle} --source {pictures} --freeze-background",
    "run {bundle} --source",
    "run {bundle}",
    "run",
    "run {bundle} {bundle} --source {pictures}",
    "run {bundle} --sauce {pictures}",
    "bench {bundle}",
    "bench {bundle} --fps --frames 4",
    "bench {bundle} --fps --repeats 0",
    "bench {bundle} --fps --baseline caffe",
    "bench {bundle} --fps --threads x",
    "parity {bundle} --frames 0",
    "parity {bundle} --frames 99999999999999999999",
    "eval {bundle} --data {pictures} --threshold -0.1",
    "eval {bundle} --data {pictures} --layout cd",
    "eval {bundle} --data {pictures} --against mog3",
    "eval {bundle}",
    "calibrate {pictures} --out {out} --frames 0",
    "calibrate {pictures} --out {out} --frames 99999999999999999999",
    "calibrate {pictures} --out {out} --intervals 0",
    "calibrate {pictures} --out {out} --intervals 1,x",
    "calibrate {pictures} --out {out} --intervals ,",
    "calibrate {pictures} --out {out} --intervals 99999999999999999999",
    "calibrate {pictures} --out {out} --nominal-fps 0",
    "calibrate {pictures} --out {out} --nominal-fps -25",
    "calibrate {pictures} --out {out} --nominal-fps nan",
    "calibrate {pictures}",
    "calibrate --out {out}",
    "export crossnet --out {out} --precision fp4",
    "export crossnet --out {out} --precision ,",
    "export crossnet --out {out} --target tpu",
    "export crossnet --out {out} --flow farneback",
    "export crossnet --out {out} --flow-precision int4",
    "export crossnet --out {out} --size 256",
    "export crossnet --out {out} --size 0x0",
    "export crossnet --out {out} --size 255x255",
    "export crossnet --out {out} --size 99999999999x99999999999",
    "export crossnet --out {out} --size ²x²",
    "export crossnet --out {out} --intervals 0",
    "export crossnet --out {out} --intervals 1;5",
    "export crossnet --out {out} --max-magnitude 0",
    "export crossnet --out {out} --nominal-fps inf",
    "export crossnet --out {out} --norm group",
    "export crossnet --out {out} --warp none",
    "export crossnet --out {out} --dis-preset slow",
    "export crossnet --out {out} --threshold 2",
    "export crossnet --out {out} --speck-px -1",
    "export crossnet --out {out} --hole-px x",
    "export crossnet --out {out} --batch 0",
    "export crossnet --out {out} --batch 4,1",
    "export crossnet --out {out} --batch 1,2,3,4",
    "export crossnet --out {out} --workspace-mb 0",
    "export crossnet --out {out} --dla-core -1",
    "export crossnet --out {out} --seed -1",
    "export crossnet --out {out} --seed 99999999999999999999",
    "export crossnet --out {out} --compute f64",
    "export crossnet --out {out} --width 0",
    "export crossnet --out {out} --maps 3",
    "export crossnet --out {out} --refresh nan",
    "export resnet --out {out}",
    "export crossnet",
    "train crossnet --out {out} --steps 1 --loss l1",
    "train crossnet --out {out} --steps 1 --lr 0",
    "train crossnet --out {out} --steps 1 --lr nan",
    "train crossnet --out {out} --steps 1 --batch 1",
    "train crossnet --out {out} --steps 1 --device tpu",
    "train crossnet --out {out} --steps 1 --precision fp8",
    "train crossnet --out {out} --steps 1 --share 0.5",
    "train crossnet --out {out} --steps 1 --fold 3/2 --data {pictures}",
    "train crossnet --out {out} --steps 1 --fold 0/2 --data {pictures}",
    "train crossnet --out {out} --steps 1 --fold 1-2 --data {pictures}",
    "train crossnet --out {out} --steps 1 --mix x --data {pictures}",
    "train crossnet --out {out} --steps 1 --overexposed 2",
    "train crossnet --out {out} --minutes inf",
    "train crossnet --out {out}",
    "train flow --out {out} --steps 1 --loss bce-dice",
    "train resnet --out {out} --steps 1",
    "import-weights resnet {pictures} --out {out}",
    "import-weights crossnet {pictures} --out {out} --standardise",
    "inspect {bundle} --device 0",
    "inspect",
    "models now",
    "doctor --jason",
    "nonsense",
)
"""All wrong usage: exit code 2."""

NO_USE = (
    ("mask is a picture", "run {bundle} --source {pictures} --mask {out}.png", "Known endings"),
    ("mask is a folder of other things", "run {bundle} --source {pictures} --mask {pictures} --force", "is the source"),
    ("mask below a file", "run {bundle} --source {pictures} --mask /dev/null/x", "cannot be written"),
    ("mask in proc", "run {bundle} --source {pictures} --mask /proc/x/y", "cannot be written"),
    ("overlay without ending", "run {bundle} --source {pictures} --overlay {out}", "Known endings"),
    ("overlay is the mask", "run {bundle} --source {pictures} --mask {out}.avi --overlay {out}.avi", "the same name"),
    ("overlay in the masks", "run {bundle} --source {pictures} --mask {out} --overlay {out}/o.avi", "lies in"),
    ("background for flow", "run {bundle} --source {pictures} --background {out}.npz", "keeps no background"),
    ("report is a folder", "eval {bundle} --data {pictures} --report {pictures}", "is a folder"),
    ("nothing scored", "eval {bundle} --data {pictures}", ""),
    ("no such weights", "export crossnet --weights {out}.safetensors --out {out}", "no weights"),
    ("no such flow", "export crossnet --weights random --flow {out}.onnx --out {out}", "no flow network"),
    ("no calibration", "export crossnet --weights random --precision int8 --out {out}", "INT8 needs"),
    ("no checkpoint", "import-weights crossnet {out} --out {out}", "no TensorFlow checkpoint"),
    ("no pictures to train on", "train crossnet --steps 1 --images {empty_folder} --out {out}", "no pictures"),
    ("no sequences to train on", "train crossnet --steps 1 --data {empty_folder} --out {out}", ""),
    ("camera that is not there", "run {bundle} --source 99", "camera 99"),
    ("one picture", "run {bundle} --source {picture_png}", "one picture"),
    ("a camera for calibration", "calibrate rtsp://10.0.0.1/x --out {out}", "is live"),
    ("a set over other things", "calibrate {pictures} --out {pictures} --force", "no calibration set"),
)  # fmt: skip

file("empty_folder", lambda _, path: path.mkdir())
file("picture_png", bytes_of(PNG), "picture.png")


def option_cases() -> Iterator[Case]:
    for text in OPTIONS:
        yield Case(text, tuple(text.split(" ")), code=2)
    for name, text, says in NO_USE:
        yield Case(name, tuple(text.split(" ")), says)


# pictures in a folder

BAD_PICTURES = {
    "empty": b"",
    "random": RANDOM,
    "cut-png": PNG[: len(PNG) // 2],
    "cut-jpeg": JPEG[: len(JPEG) // 2],
    "head": PNG[:8],
    "text": b"no picture",
}


def picture_cases() -> Iterator[Case]:
    for kind, content in BAD_PICTURES.items():

        def make(workshop: Workshop, path: Path, content: bytes = content) -> None:
            shutil.copytree(workshop.pictures, path)
            for picture in path.iterdir():  # one alone would be left out, with a warning
                picture.write_bytes(content)

        name = file(f"pictures_{kind}", make)
        yield Case(f"every picture:{kind}", ("run", "{bundle}", "--source", f"{{{name}}}"), name)

    def other_size(workshop: Workshop, path: Path) -> None:
        shutil.copytree(workshop.pictures, path)
        cv2.imwrite(str(path / "2.png"), np.zeros((16, 16, 3), np.uint8))

    name = file("pictures_other_size", other_size)
    yield Case("picture 2 of a folder:other size", ("run", "{bundle}", "--source", f"{{{name}}}"), "2.png")

    def folder_inside(_: Workshop, path: Path) -> None:
        (path / "0.png").mkdir(parents=True)

    name = file("pictures_folder_inside", folder_inside)
    yield Case("every picture:a folder", ("run", "{bundle}", "--source", f"{{{name}}}"), name)


# manifests

WRONG = (None, [], {}, "", "x", -1, 1e308, 10**30, [[]], True)


def manifest_of(workshop: Workshop) -> dict[str, Any]:
    return dict(json.loads((workshop.bundle / "manifest.json").read_text()))


def bundle_with(edit: Callable[[dict[str, Any]], object]) -> Make:
    def make(workshop: Workshop, path: Path) -> None:
        shutil.copytree(workshop.bundle, path)
        data = manifest_of(workshop)
        edit(data)
        (path / "manifest.json").write_text(json.dumps(data))

    return make


def put(keys: tuple[str, ...], value: Any) -> Callable[[dict[str, Any]], object]:
    def edit(data: dict[str, Any]) -> None:
        for key in keys[:-1]:
            data = data[key]
        if value is KeyError:
            del data[keys[-1]]
        else:
            data[keys[-1]] = value

    return edit


SEGMENT = ("networks", "segment")
NEEDED = (
    *((key,) for key in ("format", "name", "model", "target", "precision", "size", "threshold", "cue", "networks")),
    *((key,) for key in ("weights", "calibration", "tools", "build", "files", "parity", "created")),
    *(("cue", key) for key in ("kind", "provider", "intervals", "max_magnitude", "nominal_fps", "preset")),
    *((*SEGMENT, key) for key in ("file", "backend", "precision", "compute", "inputs", "outputs")),
    *((*SEGMENT, key) for key in ("description", "weights_sha256", "parameters", "gflop")),
    (*SEGMENT, "inputs", "frame"),
    (*SEGMENT, "inputs", "frame", "shape"),
    (*SEGMENT, "inputs", "frame", "dtype"),
    ("files", "segment.onnx"),
    ("files", "segment.onnx", "sha256"),
    ("weights", "segment"),
    ("weights", "segment", "trained"),
)  # fmt: skip
WRONG_VALUES: tuple[tuple[tuple[str, ...], Any], ...] = (
    *((("size",), value) for value in (None, [], [1], [1, 2, 3], "x", [0, 0], [-1, 5], [1e308, 1], ["a", "b"], {})),
    *((("threshold",), value) for value in (None, "x", -1, 2, float("nan"), 1e308, [], 10**400)),
    *((("cue",), value) for value in (None, [], "x", 3)),
    *((("cue", "intervals"), value) for value in (None, "x", [0], [-1], ["a"], [1e308], [10**30], {})),
    *((("cue", "max_magnitude"), value) for value in (None, "x", 0, -1, float("inf"), float("nan"), 10**400)),
    *((("cue", "nominal_fps"), value) for value in (None, "x", 0, float("nan"))),
    *((("cue", "kind"), value) for value in (None, 3, "nope")),
    *((("cue", "preset"), value) for value in ("nope", None)),
    *((("cue", "provider"), value) for value in ("nope", None)),
    *((("cue", "maps"), value) for value in (-1, "x", [], 10**9)),
    *((("cue", "references"), value) for value in (-1, "x", [])),
    *((("cleanup",), value) for value in ([], "x", {"speck_px": -1}, {"hole_px": "x"}, {"speck_px": []})),
    *((("networks",), value) for value in (None, [], {}, "x", {"segment": None}, {"segment": {}})),
    *(((*SEGMENT, "file"), value) for value in (None, "", "../x", "/etc/passwd", "a/b", "a\0b", ".", "..", "é" * 200)),
    *(((*SEGMENT, "backend"), value) for value in (None, "", "nope", "tensorrt", [])),
    *(((*SEGMENT, "compute"), value) for value in (None, "f64")),
    *(((*SEGMENT, "inputs"), value) for value in (None, [], {}, "x", {"frame": None}, {"frame": []})),
    *(((*SEGMENT, "inputs", "frame", "shape"), value) for value in (None, [], "x", [0], [-1], [10**30], [1e308])),
    *(((*SEGMENT, "inputs", "frame", "dtype"), value) for value in (None, "nope", 3, "object", "float32")),
    *(((*SEGMENT, "description"), value) for value in (None, "x", 3)),
    *(((*SEGMENT, "parameters"), value) for value in (None, "x", float("inf"))),
    *(((*SEGMENT, "gflop"), value) for value in (None, "x", 10**400)),
    *((("weights",), value) for value in (None, [], {}, "x", {"segment": 3})),
    *((("files",), value) for value in (None, [], {}, "x", {"segment.onnx": 3}, {"../x": {"sha256": "", "bytes": 1}})),
    *((("files", "segment.onnx", "sha256"), value) for value in (None, "", "0" * 64, 3, [])),
    *((("format",), value) for value in (None, 0, 2, "1", [], 10**30)),
    *((("build",), value) for value in ([], "x", {}, {"module": "tensorrt"})),
    *((("tools",), value) for value in (None, [], "x")),
    *((("calibration",), value) for value in ([], "x", 3)),
    *((("parity",), value) for value in ([], "x", 3)),
)  # fmt: skip


def manifest_cases() -> Iterator[Case]:
    for keys in NEEDED:
        name = file(f"manifest_without_{'.'.join(keys)}", bundle_with(put(keys, KeyError)))
        yield Case(f"manifest:without {'.'.join(keys)}", ("run", f"{{{name}}}", "--source", "{pictures}"))
    for number, (keys, value) in enumerate(WRONG_VALUES):
        name = file(f"manifest_{number}", bundle_with(put(keys, value)))
        case = f"manifest:{'.'.join(keys)} = {value!r:.20}"
        yield Case(f"{case} ({number})", ("run", f"{{{name}}}", "--source", "{pictures}"))
    for kind, content in MANIFEST_TEXTS.items():

        def make(workshop: Workshop, path: Path, content: bytes = content) -> None:
            shutil.copytree(workshop.bundle, path)
            (path / "manifest.json").write_bytes(content)

        name = file(f"manifest_text_{kind}", make)
        yield Case(f"manifest:{kind}", ("inspect", f"{{{name}}}"), "manifest.json")


MANIFEST_TEXTS = {
    "empty": b"",
    "not-utf8": b'{"format": "\xff"}',
    "cut": b'{"format": 1, "name": "a',
    "list": b"[]",
    "null": b"null",
    "number": b"1e999",
    "deep": b"[" * 100_000,
    "digits": b'{"format": ' + b"9" * 5000 + b"}",
    "surrogate": b'{"format": "\\ud800"}',
    "zeros": bytes(1000),
    "utf16": '{"format": 1}'.encode("utf-16"),
}


# networks


def engine_with(content: Callable[[bytes], bytes], backend: str) -> Make:
    """A bundle whose network is damaged, with the hash that fits: the runtime itself must refuse it."""

    def make(_: Workshop, path: Path) -> None:
        import hashlib

        whole = small_bundle(path, backend=backend)
        engine = path / "segment.onnx"
        engine.write_bytes(content(engine.read_bytes()))
        data = whole.manifest.to_json()
        data["files"]["segment.onnx"]["sha256"] = hashlib.sha256(engine.read_bytes()).hexdigest()
        (path / "manifest.json").write_text(json.dumps(data))

    return make


DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "random": lambda _: RANDOM,
    "zeros": lambda whole: bytes(len(whole)),
    "flipped": lambda whole: bytes(255 - byte for byte in whole),
    "text": lambda _: b"no network\n" * 20,
}


def engine_cases() -> Iterator[Case]:
    for backend in ("onnxruntime", "openvino"):
        for kind, damage in DAMAGES.items():
            name = file(f"engine_{backend}_{kind}", engine_with(damage, backend))
            words = ("run", f"{{{name}}}", "--source", "{pictures}")
            yield Case(f"network:{backend} {kind}", words, "segment.onnx")


# backgrounds


def background_of(arrays: Callable[[dict[str, Any]], object]) -> Make:
    def make(workshop: Workshop, path: Path) -> None:
        from edgebs.cues.kept import background_facts

        manifest = Manifest.from_json(
            json.loads((Path(workshop.place("background_bundle")) / "manifest.json").read_text()), "here"
        )
        facts = np.frombuffer(json.dumps(background_facts(manifest)).encode(), np.uint8)
        held: dict[str, Any] = {"edgebs": facts, "a": np.zeros(3)}
        arrays(held)
        with path.open("wb") as stream:
            np.savez(stream, **held)

    return make


BACKGROUNDS: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "no facts": lambda held: held.pop("edgebs"),
    "facts are no JSON": lambda held: held.update(edgebs=np.frombuffer(b"{", np.uint8)),
    "facts are a list": lambda held: held.update(edgebs=np.frombuffer(b"[]", np.uint8)),
    "facts are floats": lambda held: held.update(edgebs=np.zeros(5)),
    "facts are deep": lambda held: held.update(edgebs=np.frombuffer(b"[" * 100_000, np.uint8)),
    "no arrays": lambda held: held.pop("a"),
    "another array": lambda held: held.update(image=np.zeros((2, 2), np.float64)),
    "pickled": lambda held: held.update(a=np.array([{}], dtype=object)),
    "nan": lambda held: held.update(a=np.full(3, np.nan)),
}


def background_cases() -> Iterator[Case]:
    for number, (kind, change) in enumerate(BACKGROUNDS.items()):
        name = file(f"background_{number}", background_of(change), f"background-{number}.npz")
        words = ("run", "{background_bundle}", "--source", "{pictures}", "--background", f"{{{name}}}")
        yield Case(f"background:{kind}", words)


def _background_bundle(_: Workshop, path: Path) -> None:
    from edgebs.bundle import SHIPPED

    shutil.copytree(SHIPPED / "cdn-medal-fp32", path)


file("background_bundle", _background_bundle)


# calibration sets


def calibration_with(edit: Callable[[dict[str, Any], Path], object]) -> Make:
    def make(workshop: Workshop, path: Path) -> None:
        from calib.frames.make import make_calibration_set

        whole = workshop.folder / "calibration"
        if not whole.exists():
            make_calibration_set([workshop.pictures], whole, frames=2, intervals=(1,))
        shutil.copytree(whole, path)
        facts = path / "calibration.json"
        data = json.loads(facts.read_text())
        edit(data, path)
        if facts.exists():
            facts.write_text(json.dumps(data))

    return make


CALIBRATIONS: Mapping[str, Callable[[dict[str, Any], Path], object]] = {
    "no facts": lambda _, path: (path / "calibration.json").unlink(),
    "no images": lambda _, path: shutil.rmtree(path / "images"),
    "an image was changed": lambda _, path: next((path / "images").iterdir()).write_bytes(b""),
    "another format": lambda data, _: data.update(format=9),
    "no format": lambda data, _: data.pop("format"),
    "no hash": lambda data, _: data.pop("hash"),
    "another hash": lambda data, _: data.update(hash="0"),
    "no samples": lambda data, _: data.pop("samples"),
    "samples are a number": lambda data, _: data.update(samples=3),
    "images are a list": lambda data, _: data.update(images=[]),
    "intervals are text": lambda data, _: data.update(intervals="x"),
}


EXPORT = ("export", "crossnet", "--weights", "random", "--width", "4", "--out", "{out}")


def calibration_cases() -> Iterator[Case]:
    for number, (kind, edit) in enumerate(CALIBRATIONS.items()):
        name = file(f"calibration_{number}", calibration_with(edit))
        yield Case(f"calibration set:{kind}", (*EXPORT, "--precision", "int8", "--calib", f"{{{name}}}"))


# weights


def weights_cases() -> Iterator[Case]:
    contents = {
        "empty": b"",
        "random": RANDOM,
        "huge header": (2**63 - 1).to_bytes(8, "little") + b"{}",
        "header is no JSON": (4).to_bytes(8, "little") + b"{{{{",
        "header of nothing": (2).to_bytes(8, "little") + b"{}",
        "text": b"weights\n" * 10,
    }
    for number, (kind, content) in enumerate(contents.items()):
        for ending in (".safetensors", ".onnx", ".pt"):
            name = file(f"weights_{number}{ending}", bytes_of(content))
            words = ("export", "crossnet", "--weights", f"{{{name}}}", "--width", "4", "--out", "{out}")
            yield Case(f"weights{ending}:{kind}", words)
        name = file(f"flow_{number}.onnx", bytes_of(content))
        yield Case(f"flow network:{kind}", (*EXPORT, "--flow", f"{{{name}}}"))


GROUPS = (
    file_cases, name_cases, option_cases, picture_cases, manifest_cases, engine_cases, background_cases,
    calibration_cases, weights_cases,
)  # fmt: skip


def cases() -> list[Case]:
    """All of them."""
    return [case for group in GROUPS for case in group()]


SIZE = (32, 48)
GOOD = np.zeros((*SIZE, 3), np.uint8)


class _Odd:
    """An object that is no array."""

    shape = (32, 48, 3)


ARRAYS: Mapping[str, Any] = {
    "None": None,
    "a number": 3,
    "text": "frame",
    "bytes": bytes(32 * 48 * 3),
    "a list": [[0, 0], [0, 0]],
    "a ragged list": [[0], [0, 0]],
    "an object with a shape": _Odd(),
    "a scalar": np.uint8(3),
    "no dimension": np.array(3, np.uint8),
    "one dimension": np.zeros(48, np.uint8),
    "grey": np.zeros(SIZE, np.uint8),
    "one channel": np.zeros((*SIZE, 1), np.uint8),
    "two channels": np.zeros((*SIZE, 2), np.uint8),
    "four channels": np.zeros((*SIZE, 4), np.uint8),
    "a batch": np.zeros((1, *SIZE, 3), np.uint8),
    "channels first": np.zeros((3, *SIZE), np.uint8),
    "no rows": np.zeros((0, 48, 3), np.uint8),
    "no columns": np.zeros((32, 0, 3), np.uint8),
    "nothing": np.zeros((0, 0, 3), np.uint8),
    "int8": GOOD.astype(np.int8),
    "int64": GOOD.astype(np.int64),
    "float32": GOOD.astype(np.float32),
    "float64 with NaN": np.full((*SIZE, 3), np.nan),
    "bool": GOOD.astype(bool),
    "complex": GOOD.astype(np.complex64),
    "objects": GOOD.astype(object),
    "text in an array": np.full((*SIZE, 3), "x"),
    "dates": np.zeros((*SIZE, 3), "datetime64[s]"),
    "a structure": np.zeros((*SIZE, 3), [("b", "u1")]),
}
"""What is no frame; `GOOD` is one."""

UNUSUAL: Mapping[str, Callable[[], Any]] = {
    "read only": lambda: _read_only(),
    "mirrored": lambda: GOOD[:, ::-1],
    "upside down": lambda: GOOD[::-1],
    "colours turned": lambda: GOOD[..., ::-1],
    "every second pixel": lambda: np.zeros((64, 96, 3), np.uint8)[::2, ::2],
    "in Fortran's order": lambda: np.asfortranarray(GOOD),
    "strides of zero": lambda: np.broadcast_to(np.uint8(7), (*SIZE, 3)),
    "one pixel": lambda: np.zeros((1, 1, 3), np.uint8),
    "a line": lambda: np.zeros((1, 5000, 3), np.uint8),
}
"""Frames that are right, however they lie in memory."""


def _read_only() -> Any:
    frame = GOOD.copy()
    frame.flags.writeable = False
    return frame


SOURCES: Mapping[str, Any] = {
    "None": None,
    "a float": 1.5,
    "True": True,
    "bytes": b"video.mp4",
    "a list of None": [None],
    "a list of text": ["a.mp4"],
    "a list of sizes that differ": [np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)],
    "an empty name": "",
    "a name with a zero": "a\0b",
    "a negative camera": "-1",
    "a huge camera": 10**30,
    "a negative number": -1,
    "a dictionary": {"a": 1},
    "a set": {1},
    "a function": print,
}
"""What no source can be opened from, or is none when it is read."""
