"""F on rendered scenes by two pipelines."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from fakes import fake_manifest

import export.scene_parity
from bench.parity import TaskLevel
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array, Frame
from export.models import ModelRequest
from export.scene_parity import count_on_scenes


class Guess:
    """Segments by a rule, behind what count_on_scenes needs of a pipeline."""

    def __init__(self, share: float) -> None:
        self.manifest = fake_manifest(cue=ModelRequest(model="edge", weights="random").cue, size=(64, 64))
        self.share = share

    def segment(self, small: Frame, cue: Mapping[str, Array]) -> Array:
        difference = np.abs(small.astype(np.float32) - cue["cue"][0, 3:6].transpose(1, 2, 0)).max(axis=2)
        return np.asarray(np.clip(difference * self.share / 60, 0, 1), np.float32)


def guess(share: float) -> Pipeline:
    made: object = Guess(share)
    return made  # type: ignore[return-value]


def test_equal_pipelines_have_equal_f_and_worse_ones_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.scene_parity, "SEQUENCES", 4)
    rendered: list[tuple[int, int]] = []
    counted: list[tuple[int, int]] = []
    count = count_on_scenes(guess(1.0), lambda *told: rendered.append(told))
    level = TaskLevel(count, guess(1.0), lambda *told: counted.append(told))
    assert rendered == counted == [(1, 4), (2, 4), (3, 4), (4, 4)]
    same = level.change(guess(1.0))
    assert same["delta_F"] == 0
    assert 0 < same["F_reference"] < 1
    assert level.change(guess(0.0))["F_bundle"] == 0
