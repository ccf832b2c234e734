"""The shipped networks as TensorRT plans, in every precision, for every GPU that needs not be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorrt_rtx")

import bench.parity
import export.feeds.judges
import export.job
from edgebs.files.cache import file_digest
from engines import Target
from engines.build import EngineFacts, build_engine
from export.job.export import export_bundles
from export.job.request import ExportRequest
from export.models.request import ModelRequest

AHEAD_OF_TIME = ("sm75", "sm86", "sm89", "sm120")

# torch.onnx.export calls functions of its own that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning")


class EverywhereBuilder:
    """Builds each ONNX file of an export for all four GPUs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.built: set[tuple[str, str]] = set()
        """By network and precision, and GPU."""
        self._seen: set[bytes] = set()
        """Digests of the ONNX files: `auto` builds the files of the precisions before it again."""

    def __call__(self, onnx_file: Path, target: Target, out: Path, **options: Any) -> EngineFacts:
        """See build_engine."""
        own = build_engine(onnx_file, target, out, **options)
        self._check(onnx_file, target.value, own)
        if (digest := file_digest(onnx_file)) not in self._seen:
            for name in AHEAD_OF_TIME:
                if name != target.value:
                    self._check(onnx_file, name, build_engine(onnx_file, name, self.folder / f"{name}.plan"))
            self._seen.add(digest)
        return own

    def _check(self, onnx_file: Path, gpu: str, facts: EngineFacts) -> None:
        assert facts.plan is not None
        assert facts.layers > 20
        assert facts.nbytes > 10_000
        self.built.add((onnx_file.stem, gpu))


@pytest.mark.parametrize(
    ("model", "flow", "networks"),
    [
        ("edge", "dis", {"segment.fp16", "segment.int8"}),
        ("edge", "net", {"segment.fp16", "segment.int8", "cue.fp16", "cue.int8"}),
        ("bmn-bsn", "dis", {"segment.fp16", "segment.int8", "cue.fp16", "cue.fp32"}),
        ("cdn-medal", "dis", {"segment.fp16", "cue.fp16"}),
    ],
)
def test_every_shipped_network_builds_for_every_gpu(
    model: str, flow: str, networks: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everywhere = EverywhereBuilder(tmp_path)
    monkeypatch.setattr(export.job, "build_engine", everywhere)
    monkeypatch.setattr(export.job, "SCENE_SAMPLES", 8)
    monkeypatch.setattr(export.feeds.judges, "SEQUENCES", 1)
    # So few scenes say little of F; that the plans build is what counts here.
    monkeypatch.setattr(bench.parity, "INT8_DELTA_F", 0.05)
    has_int8 = any(network.endswith(".int8") for network in networks)
    precisions = ("fp16", "int8", "auto") if has_int8 else ("fp16", "auto")
    request = ExportRequest(
        model=ModelRequest(model=model, flow=flow),
        target="sm75",
        precisions=precisions,
        out=tmp_path / "bundles",
        parity_frames=4,
    )
    bundles = export_bundles(request)
    assert [bundle.manifest.precision for bundle in bundles][:-1] == list(precisions[:-1])
    assert all((bundle.manifest.parity or {})["passed"] for bundle in bundles)
    assert set((bundles[-1].manifest.choice or {})["networks"]) == {name.split(".")[0] for name in networks}
    assert everywhere.built == {(network, gpu) for network in networks for gpu in AHEAD_OF_TIME}
