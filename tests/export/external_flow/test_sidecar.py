"""export/external_flow/sidecar.py: valid sidecars, and errors that name the key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgebs.errors import ExportError
from export.external_flow.sidecar import EXAMPLE, read_sidecar, sidecar_from_json

LEAST: dict[str, Any] = {"inputs": {"from": "a", "to": "b"}, "colour": "rgb"}


def test_the_sidecar_is_the_file_of_the_networks_name(tmp_path: Path) -> None:
    (tmp_path / "raft.json").write_text(json.dumps(LEAST))
    (tmp_path / "other.json").write_text(json.dumps({**LEAST, "name": "mine"}))
    assert read_sidecar(tmp_path / "raft.onnx").name == "raft"
    assert read_sidecar(tmp_path / "raft.onnx", tmp_path / "other.json").name == "mine"


def test_what_it_leaves_open_is_left_to_the_file() -> None:
    sidecar = sidecar_from_json(LEAST, "x", "raft")
    assert (sidecar.range, sidecar.size, sidecar.scale) == (None, None, None)
    assert (sidecar.layout, sidecar.output, sidecar.fit) == ("", "", "")
    assert (sidecar.multiple, sidecar.trained) == (1, True)


def test_the_example_of_the_error_messages_is_one() -> None:
    sidecar = sidecar_from_json(json.loads(EXAMPLE), "x", "raft")
    assert (sidecar.inputs, sidecar.range, sidecar.multiple) == (("image1", "image2"), (0.0, 255.0), 8)


def test_every_key_survives_the_manifest() -> None:
    values = {
        **LEAST,
        "name": "mine", "output": "flow", "layout": "nhwc", "range": [-1.0, 1.0], "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6], "size": "512x384", "multiple": 8, "fit": "resize", "scale": [20.0, -20.0],
        "trained": False,
    }  # fmt: skip
    sidecar = sidecar_from_json(values, "x", "raft")
    assert sidecar.size == (384, 512)
    assert sidecar_from_json(json.loads(json.dumps(sidecar.to_json())), "x", "other") == sidecar


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": None}, r"^s\.json: 'inputs' is null; give"),
        ({"inputs": {"from": "a"}}, "'inputs' is"),
        ({"inputs": {"from": "a", "to": "a"}}, "two different inputs"),
        ({"inputs": ["a", "b"]}, "starts at the pixels"),
        ({"colour": "grey"}, "'colour' is \"grey\"; give one of rgb, bgr"),
        ({"colours": "rgb"}, "unknown key 'colours'; known: name, inputs"),
        ({"layout": "chw"}, "give one of nchw, nhwc"),
        ({"output": ""}, "'output' is"),
        ({"range": [1, 0]}, "black before white"),
        ({"range": [0, True]}, "'range' is"),
        ({"range": [0, float("nan")]}, "'range' is"),
        ({"mean": [1, 2]}, "'mean' is"),
        ({"std": [1, 0, 1]}, "above 0"),
        ({"size": "512"}, "WIDTHxHEIGHT"),
        ({"size": "0x512"}, "WIDTHxHEIGHT"),
        ({"multiple": 0}, "'multiple' is 0"),
        ({"multiple": 8.0}, "whole number"),
        ({"fit": "crop"}, "give one of pad, resize"),
        ({"scale": 0}, "every flow 0"),
        ({"scale": "8"}, "'scale' is"),
        ({"trained": "yes"}, "true or false"),
        ({"name": "a/b"}, "'a/b' cannot be a flow's name"),
    ],
)
def test_a_wrong_key_is_named_with_its_value(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        sidecar_from_json({**LEAST, **change}, "s.json", "raft")


def test_what_must_be_said_is_asked_for() -> None:
    for key in LEAST:
        with pytest.raises(ExportError, match=f"'{key}' is missing"):
            sidecar_from_json({name: value for name, value in LEAST.items() if name != key}, "s.json", "raft")


def test_a_sidecar_that_is_missing_or_no_json_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no sidecar at .*raft\.json: .*\"colour\": \"rgb\""):
        read_sidecar(tmp_path / "raft.onnx")
    for text in ("{", "\udcff".encode("utf-8", "surrogateescape"), "[]", '"rgb"'):
        (tmp_path / "raft.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ExportError, match=r"raft\.json (cannot be read as JSON|holds no JSON object)"):
            read_sidecar(tmp_path / "raft.onnx")
