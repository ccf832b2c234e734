"""edgebs/backends/onnxruntime.py: the reference for every other backend."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from fakes.networks.toy_onnx import open_batch, scaled_sum, unknown_operator

from edgebs.backends import open_backend
from edgebs.backends.onnxruntime import OnnxRuntimeBackend
from edgebs.errors import BackendError, MissingDependency
from edgebs.tensors import TensorSpec

pytest.importorskip("onnxruntime")


def test_it_computes_what_the_file_says(tmp_path: Path) -> None:
    backend = open_backend("onnxruntime", scaled_sum(tmp_path / "segment.onnx"), threads=1)
    frame = np.full((1, 4, 6, 3), 7, np.uint8)
    result = backend.infer({"frame": frame, "cue": np.ones((1, 3, 4, 6), np.float32)})
    np.testing.assert_array_equal(result["probability"], np.full((1, 4, 6), 15, np.float32))
    assert backend.inputs["frame"] == TensorSpec((1, 4, 6, 3), "uint8")
    assert backend.outputs == {"probability": TensorSpec((1, 4, 6), "float32")}
    assert "1 thread" in backend.description


def test_wrong_inputs_and_a_closed_backend_are_refused(tmp_path: Path) -> None:
    backend = OnnxRuntimeBackend(scaled_sum(tmp_path / "segment.onnx"))
    with pytest.raises(ValueError, match="tensor 'frame' must be uint8"):
        backend.infer({"frame": np.zeros((1, 4, 6, 3), np.int8), "cue": np.ones((1, 3, 4, 6), np.float32)})
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer({})


def test_unknown_operators_and_open_shapes_are_errors(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"odd\.onnx: .*Fancy"):
        OnnxRuntimeBackend(unknown_operator(tmp_path / "odd.onnx"))
    with pytest.raises(BackendError, match=r"tensor 'x' has no fixed shape \(Nx3\)"):
        OnnxRuntimeBackend(open_batch(tmp_path / "open.onnx"))


def test_missing_onnxruntime_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependency, match=r"pip install 'edgebs\[onnx\]'"):
        OnnxRuntimeBackend(scaled_sum(tmp_path / "segment.onnx"))
