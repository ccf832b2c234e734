"""export/convert/__init__.py: several frames a call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.networks import onnx_toys
from fakes.networks.toy_onnx import Graph

from edgebs.errors import ExportError
from engines import BatchRange, BuildOptions
from engines.build import build_engine
from export.convert import free_batch


def test_several_frames_give_what_each_gives_alone_and_a_plan_takes_them(tmp_path: Path) -> None:
    network = onnx_toys.export("segmenter", tmp_path / "toy.onnx")
    feeds = onnx_toys.feeds("segmenter", 3)
    freed = tmp_path / "free.onnx"
    free_batch(network, freed, feeds)
    together = onnx_toys.run(freed, {name: np.concatenate([f[name] for f in feeds]) for name in feeds[0]})
    alone = np.concatenate([onnx_toys.run(network, feed) for feed in feeds])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    pytest.importorskip("tensorrt_rtx")
    options = BuildOptions(batch=BatchRange(1, 3, 3))
    assert build_engine(freed, "sm75", tmp_path / "toy.plan", options=options).nbytes > 1000


def reshaping(file: Path, shape: list[int]) -> Path:
    """x of (1, 4) through a Reshape."""
    graph = Graph()
    graph.add("Reshape", ["x", graph.weight("shape", shape)], "y")
    return graph.save(file, {"x": [1, 4]}, {"y": [1, 2, 2]})


def test_a_network_with_its_batch_of_one_inside_is_refused(tmp_path: Path) -> None:
    feeds = [{"x": np.full((1, 4), value, np.float32)} for value in (1, 2)]
    free_batch(reshaping(tmp_path / "good.onnx", [-1, 2, 2]), tmp_path / "free.onnx", feeds)
    with pytest.raises(ExportError, match=r"bad\.onnx takes one frame a call, no more"):
        free_batch(reshaping(tmp_path / "bad.onnx", [1, 2, 2]), tmp_path / "bad-free.onnx", feeds)
    assert not (tmp_path / "bad-free.onnx").exists()
